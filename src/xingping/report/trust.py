"""Figures of how far answers and explanations can be trusted: reliability, faithfulness, and the words that move."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xingping import plots
from xingping.fonts import drawable
from xingping.language import _, join_list, join_sentences
from xingping.names import method_name, sentence_case, task_name
from xingping.report import interactive
from xingping.report.content import count
from xingping.report.figures import Chart, FigureFolder

__all__ = ["Faithfulness", "MovingWords", "faithfulness_section", "moving_words_section", "reliability_chart"]

Measured = Mapping[str, Any]

SHOWN_WORDS = 20


@dataclass(frozen=True)
class Faithfulness:
    """Which explanation to trust, in words, and what is lost without the words of each and with them alone."""

    finding: str
    charts: Sequence[Chart]


@dataclass(frozen=True)
class MovingWords:
    """The words that move ratings most, up and down."""

    finding: str
    up: Chart | None
    down: Chart | None


def reliability_chart(test: Mapping[str, Measured], folder: FigureFolder) -> Chart | None:
    """Draw how often the first task with probabilities is right where it is how sure; None where there is none."""
    task = next((task for task, measures in test.items() if measures.get("reliability")), None)
    if task is None:
        return None
    bins = test[task]["reliability"]
    gap = sum(each["n"] * (each["confidence"] - each["accuracy"]) for each in bins) / sum(each["n"] for each in bins)
    if abs(gap) < 0.005:
        finding = _("Where it gives its star a probability of 60%, it is right in about 60% of the cases, and so on.")
    elif gap > 0:
        finding = _("It is surer than it is right: by {gap} points on average.").format(gap=f"{100 * gap:.1f}")
    else:
        finding = _("It is right more often than it is sure: by {gap} points on average.").format(
            gap=f"{-100 * gap:.1f}"
        )
    caption = join_sentences(finding, _("Expected calibration error: {ece}.").format(ece=f"{test[task]['ece']:.3f}"))
    title = sentence_case(task_name(task))
    what = _("Dots of how often the model is right, by how sure it is.")
    figure = plots.reliability_diagram(bins, title)
    return folder.add(f"{task}-reliability", figure, what, caption, interactive.reliability(bins), title=title)


def faithfulness_section(measured: Measured | None, folder: FigureFolder) -> Faithfulness | None:
    """Draw how faithful each way to explain is, and say which to trust; None where that was not measured."""
    if not measured or not measured["methods"]:
        return None
    probable = measured["unit"] == "probability"
    scores = {method_name(name): of for name, of in measured["methods"].items()}
    beside = _("random words")
    figure = plots.faithfulness(
        {**scores, beside: measured["random"]}, _("Faithfulness of explanations"), chance=beside,
        unit=_("probability") if probable else _("stars"),
    )  # fmt: skip
    captions = {
        "comprehensiveness": _("Lost without the words that a method names first: more is better."),
        "sufficiency": _("Lost with those words alone: less is better."),
    }
    charts = []
    for measure, caption in captions.items():
        live = interactive.dots(
            [*((sentence_case(name), True, [of[measure]]) for name, of in scores.items()),
             (sentence_case(beside), False, [measured["random"][measure]])],
            [caption],
            percent=probable,
        )  # fmt: skip
        charts.append(folder.add(f"faithfulness-{measure}", figure, caption, caption, live))
    return Faithfulness(_faithfulness_finding(measured), charts)


def _faithfulness_finding(measured: Measured) -> str:
    """Say in words which explanations are true of the model."""
    by_verdict: dict[str, list[str]] = {}
    for name, of in measured["methods"].items():
        by_verdict.setdefault(of["verdict"], []).append(method_name(name))
    messages = {
        "better": _("To trust: {methods}. The words named first decide more than random words, beyond chance, when "
                    "they are taken away and when they are all that is left."),
        "partly": _("To trust in part: {methods}, better than random words by one of the two measures."),
        "mixed": _("Not to trust without doubt: {methods}, better than random words by one measure and worse by the "
                   "other."),
        "no better": _("Not to trust: {methods}. The words named first decide no more than random ones."),
        "worse": _("Not to trust: {methods}. The words named first decide less than random ones."),
    }  # fmt: skip
    found = [
        message.format(methods=join_list(by_verdict[verdict]))
        for verdict, message in messages.items()
        if verdict in by_verdict
    ]
    how = _(
        "Measured on {reviews} by comprehensiveness and sufficiency (DeYoung et al. 2020): what happens to the answer "
        "without the words that a method names first, and with those words alone."
    ).format(reviews=count(measured["reviews"], "test review"))
    return join_sentences(*found, how)


def moving_words_section(measured: Measured | None, folder: FigureFolder) -> MovingWords | None:
    """Draw the words that raise and lower ratings most over the test split; None where that was not measured."""
    if not measured or not (measured["up"] or measured["down"]):
        return None
    sides = {side: [word for word in measured[side] if drawable(word["word"]) == word["word"]][:SHOWN_WORDS]
             for side in ("up", "down")}  # fmt: skip
    pairs = {side: [(word["word"], word["effect"]) for word in words] for side, words in sides.items()}
    figure = plots.moving_words(pairs["up"], pairs["down"], _("Words that move ratings most"))
    captions = {"up": _("Words that raise a rating most."), "down": _("Words that lower a rating most.")}
    charts = {
        side: folder.add(f"moving-words-{side}", figure, captions[side], captions[side], _live(words))
        if words
        else None
        for side, words in sides.items()
    }
    finding = _(
        "By integrated gradients, over {reviews}, for words in at least {least}: how many stars a word adds or takes "
        "on average where it stands."
    ).format(reviews=count(measured["reviews"], "test review"), least=count(measured["least_reviews"], "review"))
    return MovingWords(finding, charts["up"], charts["down"])


def _live(words: Sequence[Measured]) -> interactive.Live:
    notes = [
        [
            _("95%: {low} to {high}").format(low=f"{word['low']:+.2f}", high=f"{word['high']:+.2f}"),
            count(word["n"], "review"),
        ]
        for word in words
    ]
    pairs = [(word["word"], word["effect"]) for word in words]
    return interactive.ranked(pairs, _("stars"), digits=2, notes=notes)
