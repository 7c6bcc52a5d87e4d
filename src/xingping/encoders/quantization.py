"""From fp32 to 8-bit integers: scales of weights and of activations.

Weights get a scale per output. Activations get one per token, taken from the token itself: what a text gets does
not depend on the texts beside it, as it would with a scale per batch, and no value that the sample texts did not
have is ever cut off, as it would be with a fixed one. What the largest dimensions of the activations would cost
in precision is moved to the weights (SmoothQuant, Xiao et al. 2023, arXiv 2211.10438), by how large each was on
sample texts, and the hidden units of each feed-forward network that are far larger than all others stay in fp32
(as in LLM.int8(), Dettmers et al. 2022, arXiv 2208.07339).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RECIPE_VERSION", "SHARES", "QuantizedWeights", "large_units", "migration"]

RECIPE_VERSION = 1
"""Version of the recipe; raised when the same encoder would get other integers."""

Array = NDArray[np.float32]

SHARES = {"attention": 0.8, "output": 0.5, "up": 0.65}
"""How much of the range of each input the weights take over, chosen on the bundled encoder; of `down` nothing."""

LARGE_UNITS = 1 / 96
"""Share of a feed-forward network's hidden units that stays in fp32: 32 of 3,072."""

LARGEST_WEIGHT = 127
SMALLEST = np.float32(1e-5)


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """Weights in 8 bits: ``values * scales`` are the weights, shapes (inputs, outputs) and (outputs,)."""

    values: NDArray[np.int8]
    scales: Array

    @classmethod
    def of(cls, weights: Array) -> "QuantizedWeights":
        """Round weights to 8 bits."""
        scales = np.maximum(np.abs(weights).max(axis=0), np.float32(1e-12)) / np.float32(LARGEST_WEIGHT)
        return cls(np.rint(weights / scales).astype(np.int8), scales)


def migration(largest: Array, weights: Sequence[Array], share: float) -> Array:
    """Return what each input is divided by, and each row of the weights multiplied with, shape (inputs,).

    Parameters
    ----------
    largest
        Largest magnitude of each input, shape (inputs,).
    weights
        All matrices, shape (inputs, outputs), that the input is multiplied with.
    share
        From 0, where the weights take over nothing, to 1, where all inputs come to the same range.
    """
    theirs = np.max([np.abs(matrix).max(axis=1) for matrix in weights], axis=0)
    ratio = np.maximum(largest, SMALLEST) ** share / np.maximum(theirs, SMALLEST) ** (1 - share)
    divisor: Array = (ratio / np.exp(np.log(ratio).mean())).astype(np.float32)
    return divisor


def large_units(largest: Array) -> NDArray[np.int64]:
    """Return the hidden units of a feed-forward network that stay in fp32, in ascending order."""
    count = max(1, round(len(largest) * LARGE_UNITS))
    return np.sort(np.argsort(-largest, kind="stable")[:count]).astype(np.int64)
