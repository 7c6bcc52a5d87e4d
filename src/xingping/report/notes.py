"""What the report says of the data, the method and its own figures, as sentences and facts."""

from collections.abc import Mapping, Sequence
from typing import Any

from xingping.config import RunSettings, TrainingSettings
from xingping.language import _, join_clauses, join_list, join_sentences, ngettext
from xingping.names import (
    column_name,
    encoder_name,
    loss_name,
    pooling_name,
    reason_name,
    sentence_case,
    side_name,
    source_name,
    task_label,
    tuning_name,
    unused_name,
)
from xingping.report.content import ngram_kinds, share
from xingping.schedule import training_length

__all__ = [
    "data_note",
    "facts",
    "film_index_caption",
    "film_index_note",
    "film_index_title",
    "film_note",
    "highlight_note",
    "map_note",
    "measured_on",
    "method_note",
    "reject_reasons",
    "split_note",
    "suspect_finding",
]

Record = Mapping[str, Any]

MOST_REASONS = 10
"""Reasons of rejected rows that are listed: some hold a value of the file, so there may be very many."""


def measured_on(n: int) -> str:
    """Return the caption of a table of measures."""
    return ngettext("Measures on {n} test review", "Measures on {n} test reviews", n).format(n=f"{n:,}")


def film_index_title(n: int) -> str:
    """Return the heading of the page that lists the films."""
    return ngettext("{n} film", "{n} films", n).format(n=f"{n:,}")


def film_index_note(finding: str) -> str:
    """Say what the page that lists the films is of, and what comes of it."""
    what = _("What their reviewers give them, and what the model reads from the texts alone.")
    return join_sentences(what, finding)


def film_index_caption() -> str:
    """Say what the table of the films shows."""
    return _(
        "Reviews, their mean and the shares of their stars are of all reviews; all else is of the test reviews. The "
        "predicted mean has its 95% interval; figures on few reviews are rough. Each name leads to a case study."
    )


def data_note(summary: Record) -> str:
    """Say what became of the rows."""
    return _(
        "Of {rows} rows read, {kept} were kept, {rejected} rejected and {duplicate} left out as duplicates."
    ).format(
        rows=f"{summary['rows_read']:,}",
        kept=f"{summary['rows_kept']:,}",
        rejected=f"{summary['rows_rejected']:,}",
        duplicate=f"{summary['rows_duplicate']:,}",
    )


def reject_reasons(summary: Record) -> list[tuple[str, str]]:
    """Return how many rows were rejected and why, the commonest reasons first; the rest are added up."""
    counted = [(number, reason_name(reason)) for reason, number in summary["rejected_by_reason"].items()]
    shown, rest = counted[:MOST_REASONS], counted[MOST_REASONS:]
    if rest:
        shown.append((sum(number for number, _reason in rest), _("other reasons, all in rejects.csv")))
    return [(f"{number:,}", reason) for number, reason in shown]


def split_note(summary: Record) -> str:
    """Say how the reviews were split and which are on no side; "" for a split at random."""
    split = summary.get("split")
    if split is None:
        return ""
    unused = join_list([f"{unused_name(reason)} {number:,}" for reason, number in split["unused"].items()])
    return _(
        "The reviews are split by {by}, and no text is on two sides. Unused, since they would be on two or it cannot "
        "be told on which: {unused}."
    ).format(by=side_name(split["by"]), unused=unused)


def suspect_finding(suspects: Record | None) -> str:
    """Say how many stars are suspect, and what that means."""
    n = (suspects or {"n": 0})["n"]
    return ngettext(
        "{n} test review where the model claims a star two or more away from the author's, as surely as it usually "
        "does when it is right (confident learning, Northcutt et al. 2021). The model may be wrong; so may the star. "
        "The most suspect:",
        "{n} test reviews where the model claims a star two or more away from the author's, as surely as it usually "
        "does when it is right (confident learning, Northcutt et al. 2021). The model may be wrong; so may the star. "
        "The most suspect:",
        n,
    ).format(n=f"{n:,}")


def map_note(points: int, of: int) -> str:
    """Say what the maps show.

    Parameters
    ----------
    points, of
        Test reviews on the maps, and in all.
    """
    drawn = _("{points} test reviews").format(points=f"{points:,}")
    if points < of:
        drawn = _("{points} test reviews, drawn at random from {of},").format(points=f"{points:,}", of=f"{of:,}")
    return _(
        "{drawn} placed by t-SNE, so that similar vectors lie close together: as the frozen encoder sees them, and as "
        "the trained head does."
    ).format(drawn=drawn)


def highlight_note(attends: bool) -> str:
    """Say what the shades of the words mean."""
    if attends:
        return _(
            "Test reviews by their true star. By attention: the stronger a word's colour, the more the head looks at "
            "it, on a scale of its own for each review; that is where it looks, not why it decides. By effect: what "
            "the expected rating loses without the word, blue for words that raise it and red for words that lower it."
        )
    return _(
        "Test reviews by their true star. This head pools without attention, so words are shaded by their effect: "
        "what the expected rating loses without the word, blue for words that raise it, red for words that lower it."
    )


def film_note(shown: int, of: int) -> str:
    """Say which films are in the table."""
    if of > shown:
        which = _("The {shown} films with most test reviews; all {of} are in metrics.json.").format(shown=shown, of=of)
    else:
        which = _("All {of} films with test reviews.").format(of=of)
    return join_sentences(which, _("Figures on few reviews are rough."))


def method_note(encoder: Record, settings: Record) -> str:
    """Say in a sentence or two how ratings are made."""
    if "tuned" in encoder:
        how = _(
            "An encoder turns each review into one vector a token, and a small head turns these into stars; both were "
            "trained together ({how})."
        ).format(how=tuning_name(encoder["tuned"]))
    else:
        how = _("A frozen encoder turns each review into one vector a token; a small head turns these into stars.")
    beside = _("A linear model on n-grams stands beside it.") if ngram_kinds(settings["ngrams"]) else ""
    return join_sentences(how, beside)


def facts(record: Record, summary: Record, encoder: Record, seconds: str) -> dict[str, str]:
    """Return names and values of all that decided the run.

    Parameters
    ----------
    record, summary
        `run.json` and `data_summary.json`.
    encoder
        The one used.
    seconds
        How long all stages took, written out.
    """
    settings = record["settings"]
    source, training, split = summary["source"], settings["training"], settings["split"]
    trained_on = summary["splits"]["train"]["reviews"]
    columns = [
        _("{what}: {column}").format(what=column_name(role), column=column)
        for role, column in summary["columns"].items() if column
    ]  # fmt: skip
    return {
        _("Data"): join_list([source_name(source["name"]), source["format"], source["encoding"]]),
        _("Columns"): join_list(columns),
        _("Encoder"): _("{name}: {parameters} parameters, {precision}, layers {layers}, {dim} numbers a token").format(
            name=encoder_name(encoder["name"]),
            parameters=f"{encoder['parameters']:,}",
            precision=encoder["precision"],
            layers=join_list([str(layer) for layer in encoder["layers"]]),
            dim=f"{encoder['dim']:,}",
        ),
        _("Head"): _head(settings["head"]),
        _("N-grams"): _ngrams(ngram_kinds(settings["ngrams"])),
        _("Training"): _tuning(settings["finetuning"]) if "tuned" in encoder else _training(training, trained_on),
        _("Losses"): _losses(settings, names_films=summary["columns"]["movie"] is not None),
        _("Splits"): join_list(
            [
                *([_("by {what}").format(what=side_name(summary["split"]["by"]))] if "split" in summary else []),
                _("validation {share}").format(share=share(split["valid"], 0)),
                _("test {share}").format(share=share(split["test"], 0)),
                _("seed {seed}").format(seed=settings["seed"]),
            ]
        ),
        _("Time"): _("{time} in all").format(time=seconds),
    }


def _training(training: Record, reviews: int) -> str:
    length = training_length(TrainingSettings.parse(dict(training)), reviews)
    said = _(
        "at most {epochs} epochs of batches of {batch}, learning rate {rate}, stopped after {patience} without gain"
    ).format(
        epochs=length.epochs,
        batch=training["batch_size"],
        rate=training["learning_rate"],
        patience=length.patience,
    )
    return join_clauses([said, *([_("one network for all tasks")] if training["joint"] else [])])


def _tuning(finetuning: Record) -> str:
    return _("{epochs} epochs of batches of {batch}, the best on validation kept; one network for all tasks").format(
        epochs=finetuning["epochs"], batch=finetuning["batch_size"]
    )


def _losses(settings: Record, *, names_films: bool) -> str:
    training = settings["training"]
    names = {
        "classification": [loss_name(loss) for loss in _as_list(training["classification_loss"])],
        "regression": [loss_name(training["regression_loss"])],
        "ordinal": [loss_name(settings["head"]["ordinal"])],
    }
    parts = [
        _("{what}: {column}").format(what=sentence_case(task_label(task)), column=" + ".join(names[task]))
        for task in settings["tasks"]
    ]
    if training["class_weights"] == "balanced":
        parts.append(_("every star counts as much"))
    if names_films and RunSettings.parse(dict(settings)).takes_film_effects:
        parts.append(_("how each film is usually rated is taken out"))
    return join_clauses(parts)


def _ngrams(kinds: str) -> str:
    return _("{kinds}; validation decides how much they weigh").format(kinds=kinds) if kinds else _("none")


def _head(head: Record) -> str:
    poolings = [
        _("structured self-attention, {hops} hops of width {width}").format(
            hops=head["n_hops"], width=head["attention_dim"]
        )
        if pooling == "self_attention"
        else pooling_name(pooling)
        for pooling in _as_list(head["pooling"])
    ]
    parts = [
        *([_("a layer of {dim} on each token").format(dim=head["token_dim"])] if head["token_dim"] else []),
        *poolings,
        _("hidden layer of {dim}").format(dim=head["hidden_dim"]),
        _("dropout {rate}").format(rate=head["dropout"]),
    ]
    if head["members"] > 1:
        parts.insert(0, _("{n} networks that answer together").format(n=head["members"]))
    return join_list(parts)


def _as_list(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
