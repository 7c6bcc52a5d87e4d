"""The words that move ratings most, up and down, over many reviews."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from xingping.attribution import integrated_gradients
from xingping.features import StoredFeatures
from xingping.predictor import RatingPredictor
from xingping.segmentation import Segmenter

__all__ = ["find_moving_words"]

REVIEWS = 1500
"""Reviews whose gradients are integrated unless told otherwise."""

LEAST_REVIEWS = 5
"""Reviews that a word must occur in."""

WORDS = 25
"""Words that are listed in each direction."""

LEVEL = 0.975
"""Quantile of the upper end of an interval of 95 %."""


def find_moving_words(
    predictor: RatingPredictor,
    features: StoredFeatures,
    texts: Sequence[str],
    segmenter: Segmenter,
    *,
    reviews: int = REVIEWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the words with the greatest mean effect on the expected rating of reviews that hold them.

    A word's effect in a review is its part of the rating by integrated gradients (`xingping.attribution`), all its
    occurrences together. Listed are words whose interval lies on one side of 0.

    Parameters
    ----------
    predictor, features, texts
        As `RatingPredictor.predict_features` takes them.
    segmenter
        Finds the words.
    reviews
        A random sample of so many is taken where there are more.
    seed
        Of the sample.

    Returns
    -------
    dict
        `task, method, reviews, of, least_reviews`, and `up` and `down`, the strongest first: `{"word", "effect", "low",
        "high", "n"}`, in stars, with the interval of 95 % of the mean over the `n` reviews (Student's t).
    """
    chosen = np.arange(len(texts))
    if len(texts) > reviews:
        chosen = np.sort(np.random.default_rng(seed).choice(len(texts), reviews, replace=False))
    some = [texts[index] for index in chosen.tolist()]
    effects: dict[str, list[float]] = defaultdict(list)
    for text, found in zip(some, integrated_gradients(predictor, features.take(chosen), some), strict=True):
        here: dict[str, float] = defaultdict(float)
        for word in segmenter.spans(text):
            here[word.text] += float(found.at_character[word.start : word.end].sum())
        for name, effect in here.items():
            effects[name].append(effect)
    rows = [_row(word, of_word) for word, of_word in sorted(effects.items()) if len(of_word) >= LEAST_REVIEWS]
    up = sorted((row for row in rows if row["low"] > 0), key=lambda row: -row["effect"])
    down = sorted((row for row in rows if row["high"] < 0), key=lambda row: row["effect"])
    return {
        "task": predictor.task, "method": "gradients", "reviews": len(some), "of": len(texts),
        "least_reviews": LEAST_REVIEWS, "up": up[:WORDS], "down": down[:WORDS],
    }  # fmt: skip


def _row(word: str, effects: Sequence[float]) -> dict[str, Any]:
    mean, n = float(np.mean(effects)), len(effects)
    half = float(student.ppf(LEVEL, n - 1) * np.std(effects, ddof=1) / np.sqrt(n))
    return {"word": word, "effect": mean, "low": mean - half, "high": mean + half, "n": n}
