"""Batches of stored features as the network multiplies them: scaled, in its number type, of one length.

A batch is made piece by piece in memory that stays in the processor's cache, and laid into a block that is used
again: fresh memory costs more than all the arithmetic, since the system hands it out page by page.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xingping.features import StoredFeatures

__all__ = ["BatchLoader", "FeatureBatch"]

PIECE_TOKENS = 512
"""Tokens that are converted at one time; with 768 dimensions 1.5 MB of float32."""


class FeatureBatch(NamedTuple):
    """Features of some reviews, padded to the longest; batches of similar length have little padding."""

    values: Tensor  # (batch, tokens, dim), zero behind the end of a review
    mask: Tensor  # (batch, tokens) bool, True on a token
    cls: Tensor  # (batch, dim)

    def pin(self) -> Self:
        """Move to memory that a GPU can read while the CPU works on."""
        return type(self)(*(part.pin_memory() for part in self))

    def to(self, device: torch.device) -> Self:
        """Move to a device, without waiting where the memory is pinned."""
        return type(self)(*(part.to(device, non_blocking=True) for part in self))


class BatchLoader:
    """Copies texts out of the store.

    Parameters
    ----------
    mean, scale
        (dim,) of `heads.Standardise`: each value becomes `(value - mean) * scale`.
    dtype
        Type of the values.
    slots
        Blocks of memory used in turn: a batch holds until as many more are loaded. 0 gives every batch its own.
    """

    def __init__(self, mean: Tensor, scale: Tensor, dtype: torch.dtype = torch.float32, slots: int = 0) -> None:
        self._scale = scale.cpu()
        self._offset = -mean.cpu() * self._scale
        self._dtype = dtype
        self._blocks = [torch.empty(0, dtype=dtype) for _ in range(slots)]
        self._next = 0
        self._piece = torch.empty(0, len(scale))

    def load(self, features: StoredFeatures, indices: NDArray[np.int64]) -> FeatureBatch:
        """Copy some texts; it pays to sort them by length."""
        lengths = features.lengths[indices]
        longest = max(1, int(lengths.max(initial=0)))
        values = self._block(len(indices), longest)
        cls = torch.empty(len(indices), len(self._scale), dtype=self._dtype)
        for rows in _pieces(lengths):
            packed = features.packed(indices[rows])
            tokens = self._scaled(torch.from_numpy(packed.values))
            at = 0
            for first, last, length in _runs(packed.lengths):
                end = at + (last - first) * length
                block = values[rows][first:last]
                block[:, :length].copy_(tokens[at:end].view(last - first, length, tokens.shape[1]))
                block[:, length:].zero_()
                at = end
            cls[rows] = torch.addcmul(self._offset, torch.from_numpy(packed.cls).float(), self._scale).to(self._dtype)
        return FeatureBatch(values, torch.from_numpy(np.arange(longest) < lengths[:, None]), cls)

    def _block(self, batch: int, longest: int) -> Tensor:
        size, shape = batch * longest * len(self._scale), (batch, longest, len(self._scale))
        if not self._blocks:
            return torch.empty(shape, dtype=self._dtype)
        self._next = (self._next + 1) % len(self._blocks)
        if len(self._blocks[self._next]) < size:
            self._blocks[self._next] = torch.empty(size, dtype=self._dtype)
        return self._blocks[self._next][:size].view(shape)

    def _scaled(self, values: Tensor) -> Tensor:
        """Return stored vectors scaled, as float32, (tokens, dim), in memory that the next call overwrites."""
        if len(self._piece) < len(values):
            self._piece = torch.empty(max(PIECE_TOKENS, len(values)), len(self._scale))
        piece = self._piece[: len(values)]
        piece.copy_(values)
        return torch.addcmul(self._offset, piece, self._scale, out=piece)


def _pieces(lengths: NDArray[np.int64]) -> Iterator[slice]:
    """Cut a batch into pieces of about `PIECE_TOKENS` tokens, at least one text each."""
    first, tokens = 0, 0
    for row, length in enumerate(lengths.tolist()):
        if tokens + length > PIECE_TOKENS and row > first:
            yield slice(first, row)
            first, tokens = row, 0
        tokens += length
    if first < len(lengths):
        yield slice(first, len(lengths))


def _runs(lengths: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield start, end (exclusive) and length of each run of neighbours of one length."""
    borders = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    for first, last in pairwise(borders):
        yield first, last, int(lengths[first])
