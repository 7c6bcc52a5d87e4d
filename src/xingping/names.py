"""What readers see the things called that artefacts name by keys: tasks, baselines, splits, slices and the like."""

import re
from collections.abc import Mapping

from xingping.language import N_, _

__all__ = [
    "aspect_name",
    "baseline_name",
    "behaviour_name",
    "column_name",
    "encoder_name",
    "exact_stars",
    "loss_name",
    "method_name",
    "pooling_name",
    "reason_name",
    "rule_name",
    "sentence_case",
    "side_name",
    "slice_name",
    "source_name",
    "split_name",
    "stage_name",
    "task_label",
    "task_name",
    "tuning_name",
    "unused_name",
]

LABELS = (N_("classification"), N_("ordinal"), N_("regression"))

HEADS = {
    "classification": N_("classification head"),
    "ordinal": N_("ordinal head"),
    "regression": N_("regression head"),
}

BASELINES = {
    "majority": N_("always the commonest star"),
    "char_ngram": N_("character n-grams"),
    "char_ngram_median": N_("character n-grams, median rule"),
    "word_ngram": N_("word n-grams"),
    "fasttext": N_("fastText-like"),
    "mean_features": N_("mean features, logistic regression"),
}

STARS = (N_("1 star"), N_("2 stars"), N_("3 stars"), N_("4 stars"), N_("5 stars"))

RULES = (N_("mode"), N_("window"), N_("median"), N_("mean"))

SPLITS = (N_("train"), N_("valid"), N_("test"), N_("all"))

SLICES = (
    N_("star 1"), N_("star 2"), N_("star 3"), N_("star 4"), N_("star 5"),
    N_("traditional characters"), N_("negation"), N_("contrast"), N_("names a score"),
)  # fmt: skip

NAMED_SLICES = {
    r"length (?P<first>\d+)-(?P<last>\d+)": N_("length {first}-{last}"),
    r"length (?P<first>\d+) and more": N_("length {first} and more"),
    r"(?s:film (?P<film>.+))": N_("film {film}"),
}
"""Slices whose names hold numbers or a film: their pattern, and the message."""

REASONS = {
    r"no text": N_("no text"),
    r"no star": N_("no star"),
    r"star (?P<star>.+) is not understood": N_("star {star} is not understood"),
    r"star 10 is outside 1-5: .*": N_("star 10 is outside 1-5: the column looks like a scale of 1-10"),
    r"star (?P<star>.+) is not a whole star": N_("star {star} is not a whole star"),
    r"star (?P<star>.+) is outside 1-5": N_("star {star} is outside 1-5"),
    r"1 field, the header has (?P<wanted>\d+)": N_("1 field, the header has {wanted}"),
    r"(?P<found>\d+) fields, the header has (?P<wanted>\d+)": N_("{found} fields, the header has {wanted}"),
    r"a quote is opened and never closed": N_("a quote is opened and never closed"),
    r"text after a closing quote": N_("text after a closing quote"),
    r"bytes that are no characters in its encoding": N_("bytes that are no characters in its encoding"),
    r"not an object with values": N_("not an object with values"),
    r"not valid JSON at character (?P<at>\d+): (?P<error>.*)": N_("not valid JSON at character {at}: {error}"),
    r"not valid JSON: .*": N_("not valid JSON: a number is too long or the nesting too deep"),
}
"""Why a row is rejected: the pattern of what the readers of files say, and the message."""

SIDES = {"film": N_("film"), "user": N_("author"), "time": N_("date")}
"""What whole ones of are on one side of a split."""

UNUSED = (N_("text on another side"), N_("film not known"), N_("date not known"))

STAGES = {
    "prepare": N_("preparing"),
    "encode": N_("encoding"),
    "train": N_("training"),
    "evaluate": N_("evaluating"),
    "report": N_("reporting"),
    "crossvalidate": N_("cross-validation"),
    "learning-curve": N_("learning curve"),
    "tune": N_("search"),
}

COLUMNS = {
    "text": N_("text"),
    "rating": N_("stars"),
    "movie": N_("film"),
    "date": N_("date"),
    "likes": N_("likes"),
    "user": N_("author"),
}

LOSSES = {
    "cross_entropy": N_("cross-entropy"),
    "soft_labels": N_("soft labels (SORD)"),
    "focal": N_("focal loss"),
    "emd": N_("ranked probability score (EMD)"),
    "mse": N_("squared error"),
    "huber": N_("Huber's loss"),
    "coral": "CORAL",
    "corn": "CORN",
}

POOLINGS = {"mean": N_("mean pooling"), "max": N_("maximum pooling"), "cls": N_("[CLS] pooling")}

TUNINGS = {
    r"full": N_("all layers"),
    r"lora": N_("low-rank updates, LoRA"),
    r"top-(?P<n>\d+)": N_("the last {n} layers"),
}
"""What of an encoder is trained: `--finetune`, and the message."""

BUNDLED_SAMPLE, BUNDLED_ENCODER = N_("bundled sample"), N_("bundled")

TESTS = (
    N_("plain praise is above the middle"),
    N_("plain blame is below the middle"),
    N_("negated praise is below the middle"),
    N_("double negation is above negation"),
    N_("negating praise lowers"),
    N_("negating blame raises"),
    N_("intensified praise does not lower"),
    N_("intensified blame does not raise"),
    N_("softened blame does not lower"),
    N_("what follows 但是 weighs more: praise last"),
    N_("film names swapped"),
    N_("common misspellings"),
    N_("a full stop added"),
    N_("the date added"),
    N_("a happy emoji does not lower"),
    N_("an angry emoji does not raise"),
    N_("praise added does not lower"),
    N_("blame added does not raise"),
)


METHODS = {
    "attention": N_("attention"),
    "occlusion": N_("leaving a word out"),
    "gradients": N_("integrated gradients"),
}

ASPECTS = {
    "story": N_("story"),
    "acting": N_("acting"),
    "picture": N_("picture"),
    "music": N_("music"),
    "pace": N_("pace"),
}


def aspect_name(key: str) -> str:
    """Return what an aspect of a film is called, a key of `aspects`."""
    return _(ASPECTS[key])


def method_name(key: str) -> str:
    """Return what a way to explain is called."""
    return _(METHODS[key])


def task_label(task: str) -> str:
    """Return what a task is called: classification."""
    return _(task)


def task_name(task: str) -> str:
    """Return what a task's model is called: classification head."""
    return _(HEADS[task])


def baseline_name(key: str) -> str:
    """Return what a baseline is called; an unknown one by its key."""
    return _(BASELINES.get(key, key.replace("_", " ")))


def behaviour_name(name: str) -> str:
    """Return what a test of `behaviour.behaviour_tests` is called."""
    return _(name)


def exact_stars(rating: int) -> str:
    """Write a rating, 1..5, with its noun."""
    return _(STARS[rating - 1])


def rule_name(rule: str) -> str:
    """Return what a decision rule is called."""
    return _(rule)


def split_name(split: str) -> str:
    """Return what a split is called; `all` too."""
    return _(split)


def slice_name(name: str) -> str:
    """Return what a slice of `slices.find_slices` is called."""
    return _by_pattern(NAMED_SLICES, name)


def reason_name(reason: str) -> str:
    """Return why a row is rejected (`rejected_by_reason` of `data_summary.json`)."""
    return _by_pattern(REASONS, reason)


def side_name(by: str) -> str:
    """Return what reviews are split by (`split.by` of `data_summary.json`)."""
    return _(SIDES.get(by, by))


def unused_name(reason: str) -> str:
    """Return why reviews are on no side of a split (`split.unused` of `data_summary.json`)."""
    return _(reason)


def stage_name(stage: str) -> str:
    """Return what a stage is called in a list of what took how long."""
    return _(STAGES.get(stage, stage))


def column_name(role: str) -> str:
    """Return what a column holds."""
    return _(COLUMNS.get(role, role))


def pooling_name(pooling: str) -> str:
    """Return what a pooling but self-attention is called."""
    return _(POOLINGS[pooling])


def loss_name(loss: str) -> str:
    """Return what a loss, or an ordinal output with its own, is called."""
    return _(LOSSES[loss])


def tuning_name(mode: str) -> str:
    """Return what of an encoder was trained."""
    return _by_pattern(TUNINGS, mode)


def source_name(name: str) -> str:
    """Return the name of a file of reviews as it is; that of the bundled sample is a description."""
    return _(name) if name == BUNDLED_SAMPLE else name


def encoder_name(name: str) -> str:
    """Return the name of an encoder as it is; that of the bundled one is a description."""
    return _(name) if name == BUNDLED_ENCODER else name


def _by_pattern(patterns: Mapping[str, str], name: str) -> str:
    """Return the message of the first pattern that a name has, filled in; the name's own where there is none."""
    for pattern, message in patterns.items():
        if found := re.fullmatch(pattern, name, re.DOTALL):
            return _(message).format(**found.groupdict())
    return _(name)


def sentence_case(name: str) -> str:
    """Return a name as it stands at the start of a line."""
    return name[:1].upper() + name[1:]
