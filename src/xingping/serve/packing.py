"""Ratings as rows of numbers, which the batcher can cut and join like any other answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xingping.answers import Ratings

__all__ = ["pack", "unpack"]


def pack(ratings: Ratings) -> list[NDArray[np.float64]]:
    """Return ratings as a row of numbers each, (12,), or (2,) without probabilities."""
    columns = [ratings.rating[:, None].astype(np.float64), ratings.expected[:, None]]
    if ratings.probabilities is not None and ratings.sets is not None:
        columns += [ratings.probabilities, ratings.sets.astype(np.float64)]
    return list(np.hstack(columns))


def unpack(packed: Sequence[NDArray[np.float64]], *, classes: bool) -> Ratings:
    """Return the ratings of rows of numbers."""
    rows = np.array(packed).reshape(len(packed), 12 if classes else 2)
    rating, expected = rows[:, 0].astype(np.int64), rows[:, 1]
    return Ratings(rating, expected, rows[:, 2:7], rows[:, 7:] > 0) if classes else Ratings(rating, expected, None)
