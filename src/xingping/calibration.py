"""From the answers of a model's parts to probabilities that can be believed, and what to do with them.

All that is fitted here is fitted on the validation split: a few numbers on thousands of reviews.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize

from xingping.config import Settings
from xingping.ratings import NUM_CLASSES, to_classes

__all__ = ["SMALLEST", "Blend", "FilmMeans", "LinearBlend", "PredictionSets"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SMALLEST = 1e-9
"""Probabilities below count as this: a part that never saw a star does not rule it out for the others."""

ROUNDING = 1e-9
"""What a number that should be whole may lack."""

PULL = 4.0
"""Penalty that pulls a blend to the plain mean of its parts, against the loss of all reviews, or films, together: it
decides where validation has few of them, and hardly counts where it has thousands."""

FOLDS = 5
"""Folds of validation for what must not see the reviews that it was fitted to."""

UNKNOWN_FILMS = 0.1
"""Variance between films, stars², where validation knows fewer than two: about that of real reviews of films that the
model had not seen (results/rating.md); of films that it knew it is .04."""


class Blend(Settings):
    """Weighted product of the parts' probabilities: log p = sum of weight * log p of each part + bias, normalised.

    Of one part, this is temperature scaling (Guo et al. 2017, arXiv 1706.04599) with a bias for each star (Alexandari,
    Kundaje and Shrikumar 2020, arXiv 1901.06852, "bias-corrected"); of several, a log-linear opinion pool (Genest and
    Zidek 1986) whose weights are stacked on data that no part was trained on (Wolpert 1992).

    Attributes
    ----------
    weights
        One a part; a single part's is the inverse of its temperature.
    bias
        One a star.
    """

    weights: tuple[float, ...]
    bias: tuple[float, ...] = Field(min_length=NUM_CLASSES, max_length=NUM_CLASSES)

    @classmethod
    def fit(cls, parts: Sequence[Floats], true: Ints, groups: NDArray[np.int32] | None = None) -> "Blend":
        """Choose weights and bias with the least negative log-likelihood.

        Parameters
        ----------
        parts
            Probabilities of each part, (n, 5) each, of reviews that no part was trained on.
        true
            (n,) 1..5.
        groups
            (n,) numbers of what is independent of each other, such as films; by default each review is.
        """
        logs = np.stack([_log(part) for part in parts])  # (parts, n, 5)
        rows, classes = np.arange(len(true)), to_classes(true)
        hits = np.eye(NUM_CLASSES)[classes]
        start = np.concatenate([np.full(len(parts), 1 / len(parts)), np.zeros(NUM_CLASSES)])
        strength = PULL / _count(groups, len(true))

        def objective(values: Floats) -> tuple[float, Floats]:
            weights, bias = values[: len(parts)], values[len(parts) :]
            scores = _normalised(np.tensordot(weights, logs, axes=1) + bias)
            gap = np.exp(scores) - hits  # (n, 5)
            pull = values - start
            loss = -scores[rows, classes].mean() + strength * (pull @ pull)
            gradient = np.concatenate([(logs * gap).sum(axis=2).mean(axis=1), gap.mean(axis=0)]) + 2 * strength * pull
            return loss, gradient

        best = minimize(objective, start, jac=True, method="L-BFGS-B").x
        return cls(weights=tuple(best[: len(parts)].tolist()), bias=tuple(best[len(parts) :].tolist()))

    @classmethod
    def cross_fitted(cls, parts: Sequence[Floats], true: Ints, groups: NDArray[np.int32] | None = None) -> Floats:
        """Return what blends answer that were fitted on the other reviews, (n, 5), in `FOLDS` folds of whole groups.

        Parameters
        ----------
        parts, true, groups
            As `fit` takes them; at least two reviews. Of a single group, what is fitted on itself.
        """
        places = np.arange(len(true)) if groups is None else np.unique(groups, return_inverse=True)[1]
        fold = places % FOLDS
        if not fold.any():
            return cls.fit(parts, true, groups)(parts)
        answers = np.empty((len(true), NUM_CLASSES))
        for number in np.unique(fold):
            inside, others = fold == number, fold != number
            of_others = None if groups is None else groups[others]
            blend = cls.fit([part[others] for part in parts], true[others], of_others)
            answers[inside] = blend([part[inside] for part in parts])
        return answers

    def __call__(self, parts: Sequence[Floats]) -> Floats:
        """Return probabilities, (n, 5), from those of the parts, (n, 5) each."""
        logs = np.stack([_log(part) for part in parts])
        result: Floats = np.exp(_normalised(np.tensordot(np.array(self.weights), logs, axes=1) + np.array(self.bias)))
        return result


class LinearBlend(Settings):
    """Weighted sum of the parts' real-valued ratings and a constant, by least squares.

    Attributes
    ----------
    weights
        One a part.
    bias
        In stars.
    """

    weights: tuple[float, ...]
    bias: float

    @classmethod
    def fit(cls, parts: Sequence[Floats], true: Ints, groups: NDArray[np.int32] | None = None) -> "LinearBlend":
        """Choose weights and constant.

        Parameters
        ----------
        parts
            Ratings of each part, (n,) each, of reviews that no part was trained on.
        true, groups
            As `Blend.fit` takes them.
        """
        columns = np.column_stack(parts)
        centre, mean = columns.mean(axis=0), true.mean()
        start = np.full(len(parts), 1 / len(parts))
        centred, strength = columns - centre, PULL / _count(groups, len(true))
        gram = centred.T @ centred / len(true) + strength * np.eye(len(parts))
        weights = start + np.linalg.solve(gram, centred.T @ (true - mean - centred @ start) / len(true))
        bias = centre @ (start - weights) + (mean - centre @ start) / (1 + strength)
        return cls(weights=tuple(weights.tolist()), bias=float(bias))

    def __call__(self, parts: Sequence[Floats]) -> Floats:
        """Return ratings, (n,), from those of the parts, (n,) each."""
        result: Floats = np.column_stack(parts) @ np.array(self.weights) + self.bias
        return result


class PredictionSets(Settings):
    """Sets of stars that hold the true one with a stated probability, whatever the model is worth.

    Split conformal prediction with the least ambiguous sets (Sadinle, Lei and Wasserman 2019,
    doi:10.1080/01621459.2017.1395341): all stars above a threshold, which validation gives. The coverage holds on
    average over reviews like those of validation; it says nothing of a single film.

    Attributes
    ----------
    coverage
        Asked for.
    threshold
        Least probability of a star in the set.
    """

    coverage: float = Field(gt=0, lt=1)
    threshold: float

    @classmethod
    def fit(cls, probabilities: Floats, true: Ints, coverage: float = 0.9) -> "PredictionSets":
        """Choose the threshold on reviews that the probabilities were not fitted to.

        Parameters
        ----------
        probabilities
            (n, 5).
        true
            (n,) 1..5.
        coverage
            Between 0 and 1.
        """
        of_true = np.sort(probabilities[np.arange(len(true)), to_classes(true)])
        # Reviews that may be left out, counted from the least likely; (1 - 0.9) * 10 is a little less than 1.
        missed = int((1 - coverage) * (len(true) + 1) + ROUNDING)
        return cls(coverage=coverage, threshold=float(of_true[missed - 1]) if missed else 0.0)

    def __call__(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Return which stars are in the sets, (n, 5); the likeliest one always is."""
        likeliest = probabilities >= probabilities.max(axis=1, keepdims=True)
        result: NDArray[np.bool_] = (probabilities >= self.threshold) | likeliest
        return result

    def measure(self, probabilities: Floats, true: Ints) -> dict[str, Any]:
        """Return how the sets do on other reviews: coverage, mean size, and the share of each size 1..5."""
        sets = self(probabilities)
        sizes = sets.sum(axis=1)
        return {
            "asked": self.coverage,
            "coverage": float(sets[np.arange(len(true)), to_classes(true)].mean()),
            "coverage_by_star": [
                float(sets[true == star, star - 1].mean()) if (true == star).any() else None
                for star in range(1, NUM_CLASSES + 1)
            ],
            "mean_size": float(sizes.mean()),
            "sizes": (np.bincount(sizes, minlength=NUM_CLASSES + 1)[1:] / len(sizes)).tolist(),
        }


class FilmMeans(Settings):
    """The mean rating of a film from predictions alone, with an interval that knows the model's own error.

    The error of a film's mean has two parts: that of single reviews, which falls with their number, and one that the
    film's reviews share (the model reads this film too kindly), which does not. Both are estimated from the
    residuals of validation by the method of moments (DerSimonian and Laird 1986, doi:10.1016/0197-2456(86)90046-2).
    What films share is known of films like those of validation: after a random split the model was trained on them,
    so the interval of a film that it has not seen is too narrow; after a split by film it is not.

    Attributes
    ----------
    bias
        Mean residual, true - predicted, in stars.
    within
        Variance of residuals around their film's mean, stars².
    between
        Variance of the films' mean residuals, stars²; `UNKNOWN_FILMS` where there are fewer than two.
    films
        How many films it was estimated from.
    """

    bias: float
    within: float = Field(ge=0)
    between: float = Field(ge=0)
    films: int

    @classmethod
    def fit(cls, expected: Floats, true: Ints, film: NDArray[np.int32]) -> "FilmMeans":
        """Estimate from rated reviews, (n,) each; `film` numbers the films, -1 where none is named."""
        residual = true - expected
        overall = float(residual.mean())
        named = film >= 0
        of_films = residual[named]
        _, codes, counts = np.unique(film[named], return_inverse=True, return_counts=True)
        n, k = len(of_films), len(counts)
        if k < 2:
            return cls(bias=overall, within=float(residual.var()), between=UNKNOWN_FILMS, films=k)
        means = np.bincount(codes, weights=of_films) / counts
        squares = float(((of_films - means[codes]) ** 2).sum())
        within = squares / (n - k) if n > k else float(residual.var())
        spread = float((counts * (means - of_films.mean()) ** 2).sum())
        scale = n - float((counts**2).sum()) / n
        between = max(0.0, (spread - (k - 1) * within) / scale)
        return cls(bias=overall, within=within, between=between, films=k)

    def interval(self, expected: float, n: int, *, z: float = 1.96) -> tuple[float, float, float]:
        """Return the mean rating of all who reviewed one film, and its 95 % interval.

        Parameters
        ----------
        expected
            Mean predicted rating of its reviews, in stars.
        n
            How many they are, at least 1.
        z
            Half-width in standard errors.
        """
        mean = expected + self.bias
        half = z * float(np.sqrt(self.within / n + self.between))
        return (
            float(np.clip(mean, 1, NUM_CLASSES)),
            float(np.clip(mean - half, 1, NUM_CLASSES)),
            float(np.clip(mean + half, 1, NUM_CLASSES)),
        )


def _count(groups: NDArray[np.int32] | None, reviews: int) -> int:
    """Return how many independent things there are."""
    return reviews if groups is None else len(np.unique(groups))


def _log(probabilities: Floats) -> Floats:
    clipped: Floats = np.log(np.maximum(probabilities, SMALLEST))
    return clipped


def _normalised(scores: Floats) -> Floats:
    """Return log-probabilities of unnormalised ones, (n, 5)."""
    shifted: Floats = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
