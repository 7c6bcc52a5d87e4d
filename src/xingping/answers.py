"""What a model answers: ratings of texts, and where its head looked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOWHERE", "Attention", "Ratings", "spread"]


@dataclass(frozen=True)
class Attention:
    """Where a head looked in one text.

    Attributes
    ----------
    weights
        (hops, tokens), those of all members of the head; each row sums to 1.
    spans
        (tokens, 2) half-open character spans in the cleaned text.
    """

    weights: NDArray[np.float32]
    spans: NDArray[np.int32]


NOWHERE = Attention(np.zeros((0, 0), dtype=np.float32), np.zeros((0, 2), dtype=np.int32))
"""Of a text that was not looked at."""


@dataclass(frozen=True)
class Ratings:
    """Predicted ratings of n texts.

    Attributes
    ----------
    rating
        (n,) int, 1..5: by the rule that `--optimize` names, or for regression the nearest star.
    expected
        (n,) float, the rating as a real number in 1..5.
    probabilities
        (n, 5), rows sum to 1; None for regression.
    sets
        (n, 5) which stars are in the prediction set; None for regression.
    attention
        One entry a text; None unless asked for, or where the head does not attend.
    """

    rating: NDArray[np.int64]
    expected: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None
    sets: NDArray[np.bool_] | None = None
    attention: tuple[Attention, ...] | None = None

    def __len__(self) -> int:
        return len(self.rating)

    def take(self, indices: Sequence[int]) -> "Ratings":
        """Return the ratings of some of the texts, in that order."""
        where = np.asarray(indices, dtype=np.int64)
        return Ratings(
            self.rating[where],
            self.expected[where],
            None if self.probabilities is None else self.probabilities[where],
            None if self.sets is None else self.sets[where],
            None if self.attention is None else tuple(self.attention[index] for index in indices),
        )

    @classmethod
    def join(cls, parts: "Sequence[Ratings]") -> "Ratings":
        """Put the ratings of one model side by side; at least one part."""
        probabilities = [part.probabilities for part in parts if part.probabilities is not None]
        sets = [part.sets for part in parts if part.sets is not None]
        attention = [part.attention for part in parts if part.attention is not None]
        return cls(
            np.concatenate([part.rating for part in parts]),
            np.concatenate([part.expected for part in parts]),
            np.concatenate(probabilities) if probabilities else None,
            np.concatenate(sets) if sets else None,
            tuple(entry for part in attention for entry in part) if attention else None,
        )


def spread(spans: NDArray[np.integer[Any]], amounts: NDArray[np.floating[Any]], length: int) -> NDArray[np.float64]:
    """Give the amount of each half-open span, (n, 2), to its characters in equal parts, (length,).

    An amount of an empty span goes nowhere.
    """
    lengths = spans[:, 1].astype(np.int64) - spans[:, 0]
    filled = np.flatnonzero(lengths > 0)
    sizes = lengths[filled]
    ends = np.cumsum(sizes)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    places = np.repeat(spans[filled, 0].astype(np.int64), sizes) + within
    parts = np.repeat(amounts[filled].astype(np.float64) / sizes, sizes)
    return np.bincount(places, weights=parts, minlength=length).astype(np.float64)
