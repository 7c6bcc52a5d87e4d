"""Measures of predicted ratings: pure functions on arrays. Ratings are 1..5; `probabilities` are (n, 5)."""

from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xingping.ratings import NUM_CLASSES, RATINGS, to_classes, to_ratings

__all__ = [
    "DECISION_RULES",
    "calibration_gaps",
    "confusion_matrix",
    "decide",
    "expected_calibration_error",
    "expected_rating",
    "macro_f1",
    "negative_log_likelihood",
    "quadratic_weighted_kappa",
    "rating_metrics",
    "reliability_bins",
    "round_rating",
    "wilson_interval",
    "within_one",
]

DecisionRule = Literal["mode", "window", "median", "mean"]

DECISION_RULES: tuple[DecisionRule, ...] = ("mode", "window", "median", "mean")
"""Ways from probabilities to one rating; each is best for another measure (`decide`)."""

CONFIDENCE_BINS = 15
"""Equal widths of confidence; of the calibration error and of the reliability diagram alike."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def rating_metrics(
    true: ArrayLike,
    predicted: ArrayLike,
    *,
    expected: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return all measures of one set of predictions.

    Parameters
    ----------
    true, predicted
        (n,) ratings, n >= 1.
    expected
        (n,) real-valued ratings. Where given, `mae` and `rmse` are theirs instead of the rounded ratings'.
    probabilities
        (n, 5). Where given, `nll`, `ece`, `reliability` and `decisions` are added.

    Returns
    -------
    dict
        `n, accuracy, accuracy_within_one, mae, rmse` (stars), `macro_f1, quadratic_weighted_kappa, confusion`
        (5 x 5 counts, rows true), and of probabilities `nll` (nats), `ece`, `reliability` and
        `reliability_within_one` (`reliability_bins`), `decisions` (the same measures by each rule of `decide`).

    Raises
    ------
    ValueError
        The arrays are empty or differ in length.
    """
    true, predicted = np.asarray(true, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if len(true) == 0 or len(true) != len(predicted):
        raise ValueError(f"{len(true)} true ratings against {len(predicted)} predicted ones")
    confusion = confusion_matrix(true, predicted)
    error = (predicted if expected is None else np.asarray(expected, dtype=np.float64)) - true
    measures: dict[str, Any] = {
        "n": len(true),
        "accuracy": float(np.trace(confusion) / len(true)),
        "accuracy_within_one": within_one(confusion),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "macro_f1": macro_f1(confusion),
        "quadratic_weighted_kappa": quadratic_weighted_kappa(confusion),
        "confusion": confusion.tolist(),
    }
    if probabilities is not None:
        proba = np.asarray(probabilities, dtype=np.float64)
        measures["nll"] = negative_log_likelihood(true, proba)
        measures["ece"] = expected_calibration_error(true, proba)
        measures["reliability"] = reliability_bins(true, proba)
        measures["reliability_within_one"] = reliability_bins(true, proba, within_one=True)
        mean = expected_rating(proba)
        measures["decisions"] = {
            rule: rating_metrics(true, decide(proba, rule), expected=mean if rule == "mean" else None)
            for rule in DECISION_RULES
        }
    return measures


def decide(probabilities: ArrayLike, rule: DecisionRule) -> Ints:
    """Turn probabilities into ratings by a rule.

    Parameters
    ----------
    probabilities
        (n, 5).
    rule
        `mode`, the likeliest star, is best for accuracy; `window`, the star with most probability on it and its
        neighbours, for accuracy within one; `median` for the mean absolute error; `mean`, rounded, for the
        squared error.

    Returns
    -------
    ndarray
        (n,) ratings. Of equal modes the lowest, of equal windows that with the likeliest star in the middle; the median
        is the first star with half of the probability at or below it, and a mean half-way between two goes up.
    """
    proba = np.asarray(probabilities, dtype=np.float64)
    if rule == "mode":
        return to_ratings(proba.argmax(axis=1))
    if rule == "window":
        padded = np.pad(proba, ((0, 0), (1, 1)))
        window = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
        # At the ends a window holds two stars, so 1 and 5 win only where 3 has no probability at all.
        best = window >= window.max(axis=1, keepdims=True) - 1e-12
        return to_ratings(np.where(best, proba, -1.0).argmax(axis=1))
    if rule == "median":
        below = proba.cumsum(axis=1) < 0.5 * proba.sum(axis=1, keepdims=True)
        return to_ratings(below.sum(axis=1).clip(max=NUM_CLASSES - 1))
    return round_rating(expected_rating(proba))


def expected_rating(probabilities: ArrayLike) -> Floats:
    """Return the mean rating under the probabilities, (n,)."""
    result: Floats = np.asarray(probabilities, dtype=np.float64) @ np.array(RATINGS)
    return result


def round_rating(expected: ArrayLike) -> Ints:
    """Return the nearest rating of real numbers, (n,); halves go up, and the ends hold."""
    return np.floor(np.asarray(expected, dtype=np.float64) + 0.5).clip(1, NUM_CLASSES).astype(np.int64)


def confusion_matrix(true: Ints, predicted: Ints) -> Ints:
    """Count ratings, (5, 5): rows true, columns predicted."""
    cells = to_classes(true) * NUM_CLASSES + to_classes(predicted)
    return np.bincount(cells, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)


def within_one(confusion: Ints) -> float:
    """Return the share of predictions at most one star off."""
    row, column = np.indices(confusion.shape)
    return float(confusion[np.abs(row - column) <= 1].sum() / confusion.sum())


def macro_f1(confusion: Ints) -> float:
    """Return the mean F1 of the stars that occur in the truth or the predictions."""
    hits, totals = np.diag(confusion), confusion.sum(0) + confusion.sum(1)
    present = totals > 0
    return float((2 * hits[present] / totals[present]).mean())


def quadratic_weighted_kappa(confusion: Ints) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen 1968, doi:10.1037/h0026256).

    Where truth and predictions are one and the same star, agreement is no better than chance could give: 0.
    """
    row, column = np.indices(confusion.shape)
    weights = np.square(row - column)
    chance = np.outer(confusion.sum(1), confusion.sum(0)) / confusion.sum()
    by_chance = (weights * chance).sum()
    return float(1 - (weights * confusion).sum() / by_chance) if by_chance else 0.0


def negative_log_likelihood(true: Ints, probabilities: Floats) -> float:
    """Return the mean negative log-probability of the true star, in nats; probabilities are floored at 1e-12."""
    return float(-np.log(probabilities[np.arange(len(true)), to_classes(true)].clip(1e-12)).mean())


def expected_calibration_error(true: Ints, probabilities: Floats, n_bins: int = CONFIDENCE_BINS) -> float:
    """Return the gap between confidence and accuracy over equal-width bins (Guo et al. 2017, arXiv 1706.04599)."""
    return float(np.abs(calibration_gaps(true, probabilities, n_bins).mean(axis=0)).sum())


def calibration_gaps(true: Ints, probabilities: Floats, n_bins: int = CONFIDENCE_BINS) -> Floats:
    """Return confidence less hit (0 or 1) of each review in the column of its bin of confidence, (n, n_bins)."""
    confidence = probabilities.max(axis=1)
    gap = confidence - (probabilities.argmax(axis=1) == to_classes(true))
    gaps: Floats = np.where(_bins(confidence, n_bins)[:, None] == np.arange(n_bins), gap[:, None], 0.0)
    return gaps


def reliability_bins(
    true: Ints, probabilities: Floats, n_bins: int = CONFIDENCE_BINS, *, within_one: bool = False
) -> list[dict[str, Any]]:
    """Return how often predictions of like confidence are right (DeGroot and Fienberg 1983, doi:10.2307/2987588).

    Parameters
    ----------
    true
        (n,) 1..5.
    probabilities
        (n, 5).
    n_bins
        Equal widths between no confidence and all.
    within_one
        False: a prediction is the likeliest star, its confidence that star's probability, and it is right where it is
        the true star. True: it is the star by the rule `window`, its confidence the probability of that star and its
        neighbours, and it is right at most one star off.

    Returns
    -------
    list of dict
        Of each bin with a review, by rising confidence: `n`, the mean `confidence`, the `accuracy`, and `low` and
        `high`, the accuracy's interval of 95 % (`wilson_interval`). Empty without reviews.
    """
    rating = decide(probabilities, "window" if within_one else "mode")
    reach = int(within_one)
    near = np.abs(np.array(RATINGS) - rating[:, None]) <= reach  # (n, 5)
    # Probabilities of four-byte floats may add up to a little more than 1.
    confidence = np.where(near, probabilities, 0.0).sum(axis=1).clip(0, 1)
    right = np.abs(rating - true) <= reach
    bins = _bins(confidence, n_bins)
    n = np.bincount(bins, minlength=n_bins)
    hits, total = (np.bincount(bins, weights=each, minlength=n_bins) for each in (right, confidence))
    low, high = wilson_interval(hits, n)
    return [
        {
            "n": int(n[index]),
            "confidence": float(total[index] / n[index]),
            "accuracy": float(hits[index] / n[index]),
            "low": float(low[index]),
            "high": float(high[index]),
        }
        for index in np.flatnonzero(n)
    ]


def wilson_interval(hits: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the ends of the interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Parameters
    ----------
    hits, n
        Counts, of one shape; hits of n.
    level
        Share of such intervals that hold the true share, 0..1.

    Returns
    -------
    low, high
        Within 0..1; of nothing counted, 0 and 1.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    hits, n = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    middle = (hits + z**2 / 2) / (n + z**2)
    reach = z * np.sqrt(hits * (1 - hits / np.maximum(n, 1)) + z**2 / 4) / (n + z**2)
    return (middle - reach).clip(0, 1), (middle + reach).clip(0, 1)


def _bins(confidence: Floats, n_bins: int) -> Ints:
    """Return the bin of each confidence, (n,); a bin holds its lower end, the last one both."""
    return np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)
