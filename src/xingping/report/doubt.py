"""How sure the figures are, and where the model is weak: tables and sentences of the report."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from xingping.language import N_, _, join_clauses, join_list, ngettext
from xingping.names import baseline_name, behaviour_name, sentence_case, slice_name, task_label, task_name
from xingping.report import content
from xingping.report.content import Measures, between, share, with_interval
from xingping.report.tabular import MISSING, Column, Group, Row, Table

__all__ = [
    "HIGHER_IS_BETTER",
    "MEASURES",
    "behaviour_finding",
    "behaviour_table",
    "best_baseline",
    "ceiling_finding",
    "interval_table",
    "lead_finding",
    "set_finding",
    "slice_table",
    "verdict_of",
    "write_change",
    "write_change_ends",
    "write_ends",
    "write_figure",
]


class _Naming(NamedTuple):
    """What a measure is called: with the rule that it is taken by, without it, and within a sentence."""

    by_rule: str
    plain: str
    inline: str


MEASURES = {
    "accuracy": _Naming(N_("Exact star, by the mode"), N_("Exact star"), N_("exact star")),
    "accuracy_within_one": _Naming(N_("Within one star, by the window"), N_("Within one star"), N_("within one star")),
    "mae": _Naming(N_("Mean error in stars, by the median"), N_("Mean error in stars"), N_("mean error in stars")),
    "rmse": _Naming(
        N_("Root mean squared error in stars, by the mean"),
        N_("Root mean squared error in stars"),
        N_("root mean squared error in stars"),
    ),
    "nll": _Naming(
        N_("Negative log-likelihood, in nats"),
        N_("Negative log-likelihood, in nats"),
        N_("negative log-likelihood"),
    ),
    "ece": _Naming(N_("Calibration error (ECE)"), N_("Calibration error (ECE)"), N_("calibration error")),
}
"""Each measure; the rules are for where there are probabilities (`intervals.BEST_RULES`)."""

HIGHER_IS_BETTER = ("accuracy", "accuracy_within_one")

CALIBRATED_BY_SHARES = "majority"
"""The baseline that knows nothing but the shares of the stars: calibrated, and of no use."""


def interval_table(doubt: Mapping[str, Any], tasks: Sequence[str]) -> Table:
    """Return the measures of each task with intervals over reviews and over films, and the lead over the baselines.

    Parameters
    ----------
    doubt
        `intervals` and `differences` of `metrics.json`.
    tasks
        Which.
    """
    groups = []
    for task in tasks:
        rows = []
        for measure, naming in MEASURES.items():
            own = doubt["intervals"]["reviews"][task].get(measure)
            if own is None:
                continue
            by_film = doubt["intervals"].get("films", {}).get(task, {}).get(measure)
            best = best_baseline(doubt, task, measure)
            cells = [
                write_figure(measure, own["value"]),
                write_ends(measure, own),
                write_ends(measure, by_film) if by_film else MISSING,
            ]
            marked = frozenset[int]()
            if best is None:
                cells += [MISSING, MISSING]
            else:
                difference = doubt["differences"]["reviews"][task][best][measure]
                cells += [sentence_case(baseline_name(best)), write_change(measure, difference)]
                marked = frozenset({4} if verdict_of(measure, difference) > 0 else ())
            by_rule = "nll" in doubt["intervals"]["reviews"][task]
            rows.append(Row(_(naming.by_rule if by_rule else naming.plain), cells, marked))
        groups.append(Group(sentence_case(task_name(task)), rows))
    columns = [
        Column(_("Value")),
        Column(_("95% over reviews"), _("Bootstrap over the test reviews: what chance in this test split does")),
        Column(
            _("95% over films"),
            _("Bootstrap over whole films: what other films would do that the model knows as well as these"),
        ),
        Column(_("Best baseline")),
        Column(
            _("Difference"),
            _("On the same reviews, with its 95% interval; marked where the model is better beyond chance"),
        ),
    ]
    caption = _("Each measure by the rule that is best for it, for models and baselines alike")
    return Table(caption, _("Measure"), columns, groups)


def lead_finding(doubt: Mapping[str, Any], task: str) -> str:
    """Say for which measures a task's lead over the best baseline is beyond chance."""
    verdicts: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for measure, naming in MEASURES.items():
        best = best_baseline(doubt, task, measure)
        if best is None:
            continue
        difference = doubt["differences"]["reviews"][task][best][measure]
        verdicts[verdict_of(measure, difference)].append(_(naming.inline))
    called = {
        1: _("ahead of every baseline beyond chance: {measures}"),
        0: _("level with the best: {measures}"),
        -1: _("behind the best beyond chance: {measures}"),
    }
    parts = [called[verdict].format(measures=join_list(names)) for verdict, names in verdicts.items() if names]
    if not parts:
        return ""
    return _("The {model} is {verdicts}.").format(model=task_name(task), verdicts=join_clauses(parts))


def set_finding(measured: Mapping[str, Any] | None) -> str:
    """Say how often prediction sets hold the true star, and how large they are."""
    if not measured:
        return ""
    single = measured["sizes"][0]
    return _(
        "A prediction set holds the stars that a review may well have. Made to hold the true one in {asked} of the "
        "cases, the sets do so in {covered} of the test reviews, with {size:.2f} stars on average; {single} of them "
        "name one star only."
    ).format(
        asked=share(measured["asked"], 0),
        covered=share(measured["coverage"]),
        size=measured["mean_size"],
        single=share(single, 0),
    )


def ceiling_finding(ceiling: Mapping[str, Any]) -> str:
    """Say what no reader of texts alone can do: equal texts bear different stars."""
    if not ceiling["texts"]:
        return _("No text occurs in two reviews, so how far authors of equal texts agree cannot be said.")
    return _(
        "{reviews} share their text with another, in {texts}. Two authors of one text gave the same star in {same} of "
        "the pairs, and stars at most one apart in {near}. On these reviews, mostly short, no model that sees the text "
        "alone can name more than {best} of the exact stars, or {best_near} within one."
    ).format(
        reviews=content.count(ceiling["reviews"], "review"),
        texts=content.count(ceiling["texts"], "text"),
        same=share(ceiling["agreement"]),
        near=share(ceiling["agreement_within_one"]),
        best=share(ceiling["best"]),
        best_near=share(ceiling["best_within_one"]),
    )


def slice_table(slices: Mapping[str, Mapping[str, Any]], tasks: Sequence[str]) -> Table:
    """Return both shares and the mean error of each task on kinds of reviews of which there are enough."""
    rows = [
        Row(
            sentence_case(slice_name(name)),
            [f"{measured['n']:,}"] + [
                f"{share(measured[task]['accuracy'])} / {share(measured[task]['accuracy_within_one'])} / "
                f"{measured[task]['mae']:.2f}"
                for task in tasks
            ],
        )
        for name, measured in slices.items()
        if measured["n"] >= content.FEW_REVIEWS
    ]  # fmt: skip
    meaning = _("Exact / within one / mean error")
    columns = [Column(_("Test reviews")), *(Column(sentence_case(task_label(task)), meaning) for task in tasks)]
    caption = _("Exact / within one / mean error in stars, on kinds of reviews")
    return Table(caption, _("Reviews"), columns, [Group("", rows)])


def behaviour_table(behaviour: Sequence[Mapping[str, Any]]) -> Table:
    """Return how often the model fails tests that any reader would pass, with a case of each."""
    kinds = {
        "minimum": _("Plain cases"),
        "direction": _("A change must not move the rating the wrong way"),
        "invariance": _("A change must not move the rating by more than half a star"),
    }
    groups = []
    for kind, heading in kinds.items():
        rows = [
            Row(sentence_case(behaviour_name(test["name"])), [f"{test['n']:,}", share(test["rate"]), _example(test)])
            for test in behaviour
            if test["kind"] == kind and test["n"]
        ]
        if rows:
            groups.append(Group(heading, rows))
    columns = [
        Column(_("Cases")),
        Column(_("Failed")),
        Column(_("A failure"), _("The text, and the rating it was given"), text=True),
    ]
    return Table(_("Behavioural tests, by the expected rating"), _("Test"), columns, groups)


def behaviour_finding(behaviour: Sequence[Mapping[str, Any]]) -> str:
    """Say which test fails most often."""
    tests = [test for test in behaviour if test["n"]]
    if not tests:
        return ""
    worst = max(tests, key=lambda test: test["rate"])
    if not worst["failures"]:
        return _("No test fails.")
    return ngettext(
        "Fails most often: {test} ({failed} of {n:,} case).", "Fails most often: {test} ({failed} of {n:,} cases).",
        worst["n"],
    ).format(test=behaviour_name(worst["name"]), failed=share(worst["rate"], 0), n=worst["n"])  # fmt: skip


def best_baseline(doubt: Mapping[str, Any], task: str, measure: str) -> str | None:
    """Return the baseline with the best value; that which is calibrated for knowing nothing does not count for it."""
    rivals: dict[str, float] = {
        name: doubt["intervals"]["reviews"][name][measure]["value"]
        for name, measures in doubt["differences"]["reviews"][task].items()
        if measure in measures and not (measure == "ece" and name == CALIBRATED_BY_SHARES)
    }
    if not rivals:
        return None
    sign = 1 if measure in HIGHER_IS_BETTER else -1
    return max(rivals, key=lambda name: sign * rivals[name])


def verdict_of(measure: str, difference: Measures) -> int:
    """Return 1 where a model is better beyond chance, -1 where it is worse, else 0."""
    sign = 1 if measure in HIGHER_IS_BETTER else -1
    low, high = sorted((sign * difference["low"], sign * difference["high"]))
    return int(low > 0) - int(high < 0)


def write_figure(measure: str, value: float) -> str:
    """Write the value of a measure."""
    return share(value) if measure in HIGHER_IS_BETTER else f"{value:.3f}"


def write_ends(measure: str, interval: Measures) -> str:
    """Write the ends of an interval."""
    return between(write_figure(measure, interval["low"]), write_figure(measure, interval["high"]))


def write_change(measure: str, difference: Measures) -> str:
    """Write a difference with its interval; those of shares in points."""
    value, low, high = (_signed(measure, difference[name]) for name in ("value", "low", "high"))
    if measure in HIGHER_IS_BETTER:
        return _("{value} points ({low} to {high})").format(value=value, low=low, high=high)
    return with_interval(value, low, high)


def write_change_ends(measure: str, difference: Measures) -> str:
    """Write the ends of a difference's interval; those of shares in points."""
    return between(_signed(measure, difference["low"]), _signed(measure, difference["high"]))


def _signed(measure: str, value: float) -> str:
    shown = f"{100 * value:+.1f}" if measure in HIGHER_IS_BETTER else f"{value:+.3f}"
    return shown.replace("-", "−")


def _example(test: Mapping[str, Any]) -> str:
    if not test["examples"]:
        return MISSING
    first = test["examples"][0]
    shown = f"{first['text']} {first['expected']:.1f}"
    return f"{shown} → {first['changed']} {first['expected_changed']:.1f}" if "changed" in first else shown
