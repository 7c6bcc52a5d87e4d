"""What readers see the things called that artefacts name by keys: tasks, baselines, rules, splits, slices, tests."""

import re

from xingping.language import N_, _

__all__ = [
    "aspect_name",
    "baseline_name",
    "behaviour_name",
    "exact_stars",
    "method_name",
    "rule_name",
    "sentence_case",
    "slice_name",
    "split_name",
    "task_label",
    "task_name",
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

TESTS = (
    N_("plain praise is above the middle"),
    N_("plain blame is below the middle"),
    N_("negated praise is below the middle"),
    N_("double negation is above the middle"),
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
    for pattern, message in NAMED_SLICES.items():
        if found := re.fullmatch(pattern, name):
            return _(message).format(**found.groupdict())
    return _(name)


def sentence_case(name: str) -> str:
    """Return a name as it stands at the start of a line."""
    return name[:1].upper() + name[1:]
