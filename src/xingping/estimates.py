"""Means of stars, and differences of them, with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xingping.ratings import NUM_CLASSES, RATINGS

__all__ = ["Estimate", "difference_estimate", "mean_estimate", "star_deviation"]

Z = 1.96
"""Standard errors to each side of an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the ends of its 95 % interval, in stars."""

    value: float
    low: float
    high: float


def star_deviation(values: NDArray[np.floating]) -> float:
    """Return the standard deviation of stars, such that few equal ones do not pass for certainty.

    One more review counts in the squares, spread evenly over the five stars. Without it, two reviews of five stars
    would have a mean of 5 with an interval of no width; of a hundred reviews it changes hardly anything.

    Parameters
    ----------
    values
        (n,) 1..5, at least one; whole or real.
    """
    mean = values.mean()
    spread = float(np.mean((np.array(RATINGS) - mean) ** 2))
    return float(np.sqrt((((values - mean) ** 2).sum() + spread) / len(values)))


def mean_estimate(mean: float, deviation: float, n: int) -> Estimate:
    """Return a mean of stars with its normal interval, cut at 1 and 5.

    It says how far chance among reviews like these reaches. Of predicted stars it does not know the model's error
    (`calibration.FilmMeans` does).

    Parameters
    ----------
    mean, deviation
        Of the reviews (`star_deviation`), in stars.
    n
        How many they are, at least 1.
    """
    half = Z * deviation / np.sqrt(n)
    return Estimate(mean, float(max(mean - half, 1)), float(min(mean + half, NUM_CLASSES)))


def difference_estimate(difference: float, *variances: float) -> Estimate:
    """Return a difference with its normal interval, from the variances of its independent parts, in stars²."""
    half = Z * float(np.sqrt(sum(variances)))
    return Estimate(difference, difference - half, difference + half)
