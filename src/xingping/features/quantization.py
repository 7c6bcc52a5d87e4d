"""Vectors in eight bits: standardised by dimension, then scaled by vector.

Frozen states have a few dimensions that are orders of magnitude larger than the rest and nearly constant (Timkey and
van Schijndel 2021, arXiv 2109.04404). One scale for a whole vector as it is would spend all 255 steps on them. So each
dimension first gets mean 0 and deviation 1, by figures that are the same for all vectors of a store.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scaling"]

STEPS = 127

ROWS = 8192
"""Vectors at a time: the copy in 32 bits stays small."""

SMALLEST_SHARE = 0.01
"""Least deviation of a dimension, as a share of the median: a constant one must not blow up rounding errors."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and deviation of each dimension, (dim,) float32 both."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def measure(cls, vectors: NDArray[np.float16]) -> Self:
        """Measure on vectors, (n, dim); of none, mean 0 and deviation 1."""
        if not len(vectors):
            return cls(np.zeros(vectors.shape[1], np.float32), np.ones(vectors.shape[1], np.float32))
        exact = vectors.astype(np.float64)
        deviation = exact.std(axis=0)
        floor = SMALLEST_SHARE * float(np.median(deviation)) or 1.0
        return cls(exact.mean(axis=0).astype(np.float32), np.maximum(deviation, floor).astype(np.float32))

    def quantise(self, vectors: NDArray[np.float16]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
        """Return codes, (n, dim) in -127..127, and the scale of each vector, (n,).

        A vector is about `mean + deviation * scale * codes`.
        """
        codes = np.empty(vectors.shape, dtype=np.int8)
        scales = np.empty(len(vectors), dtype=np.float16)
        largest = float(np.finfo(np.float16).max)
        for start in range(0, len(vectors), ROWS):
            part = slice(start, start + ROWS)
            standard = (vectors[part].astype(np.float32) - self.mean) / self.deviation
            scale = np.minimum(np.abs(standard).max(axis=1, initial=0) / STEPS, largest).astype(np.float16)
            divisor = np.where(scale > 0, scale, 1).astype(np.float32)[:, None]
            codes[part] = np.clip(np.rint(standard / divisor), -STEPS, STEPS)
            scales[part] = scale
        return codes, scales

    def restore(self, codes: NDArray[np.int8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
        """Return the vectors, (n, dim)."""
        vectors: NDArray[np.float32] = codes * scales.astype(np.float32)[:, None]
        vectors *= self.deviation
        vectors += self.mean
        return vectors

    def to_bytes(self) -> bytes:
        """Return mean and deviation as bytes."""
        return np.stack([self.mean, self.deviation]).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` gave."""
        mean, deviation = np.frombuffer(data, dtype="<f4").reshape(2, -1)
        return cls(mean, deviation)
