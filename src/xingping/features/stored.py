"""Stored features of a sequence of texts: arrays that say where each one is, and copies only on demand."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xingping.encoders import TokenFeatures
from xingping.features.shards import ShardArrays

__all__ = ["PackedFeatures", "StoredFeatures"]

Floats = NDArray[np.float16] | NDArray[np.float32]
Integers = NDArray[np.integer[Any]]
Range = tuple[ShardArrays, int, int]

MEAN_TEXTS = 512
"""Texts whose vectors are copied at a time to take their means."""


class PackedFeatures(NamedTuple):
    """Features of some texts end to end, nothing padded.

    Attributes
    ----------
    values
        (tokens, dim) float16, or float32 where the store keeps int8.
    lengths
        (batch,) tokens of each text.
    cls
        (batch, dim), of the type of `values`.
    """

    values: Floats
    lengths: NDArray[np.int64]
    cls: Floats


class StoredFeatures:
    """Memory-mapped features of a sequence of texts.

    Where the store's unit is a word, a "token" is a word everywhere here.

    Parameters
    ----------
    files
        The arrays of the shards.
    shards
        Number of the shard of each text, (texts,).
    rows
        Its row in the shard, (texts,).
    """

    def __init__(
        self, files: Sequence[ShardArrays], shards: NDArray[np.integer[Any]], rows: NDArray[np.integer[Any]]
    ) -> None:
        self._files = tuple(files)
        self._shards = shards.astype(np.int32, copy=False)
        self._rows = rows.astype(np.int32, copy=False)
        bases = np.cumsum([0, *(len(file.offsets) for file in self._files)])
        offsets = np.concatenate([file.offsets for file in self._files] or [np.zeros(1, np.int64)]).astype(np.int32)
        places = bases[self._shards] + self._rows
        self._starts = offsets[places]
        self._lengths = (offsets[places + 1] - self._starts).astype(np.int64) if len(places) else np.zeros(0, np.int64)

    @classmethod
    def of(cls, features: TokenFeatures) -> "StoredFeatures":
        """Treat features in memory like stored ones."""
        texts = len(features)
        return cls([ShardArrays.of(features)], np.zeros(texts, np.int32), np.arange(texts, dtype=np.int32))

    def take(self, indices: Sequence[int] | Integers) -> "StoredFeatures":
        """Return the features of some of the texts, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        taken = object.__new__(StoredFeatures)
        taken._files = self._files
        taken._shards, taken._rows = self._shards[chosen], self._rows[chosen]
        taken._starts, taken._lengths = self._starts[chosen], self._lengths[chosen]
        return taken

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dim(self) -> int:
        """Dimensions of a token's vector; 0 where there are no texts."""
        return self._files[0].dim if self._files else 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, (texts,)."""
        return self._lengths

    @property
    def shards(self) -> NDArray[np.int32]:
        """Number of the shard that each text lies in, (texts,); one shard is one file."""
        return self._shards

    def release(self, shards: Sequence[int] | Integers) -> None:
        """Tell the system that the pages of some shards can go; what is read again comes from disk again."""
        for shard in np.unique(np.asarray(shards, dtype=np.int64)).tolist():
            self._files[shard].release()

    def fetch(self, shards: Sequence[int] | Integers) -> None:
        """Tell the system that some shards will be read soon."""
        for shard in np.unique(np.asarray(shards, dtype=np.int64)).tolist():
            self._files[shard].fetch()

    def tokens(self, index: int) -> Floats:
        """Return the token vectors of a text, (tokens, dim).

        float16 as a view of the file, or float32 where the store keeps int8.
        """
        file, start, end = self._place(index)
        if file.scales is None or file.scaling is None:
            return file.values[start:end]  # type: ignore[return-value]  # float16 where there are no scales
        return file.scaling.tokens.restore(file.values[start:end], file.scales[start:end])  # type: ignore[arg-type]

    def spans(self, index: int) -> NDArray[np.int32]:
        """Return the half-open character span of each token of a text, (tokens, 2)."""
        file, start, end = self._place(index)
        return file.spans[start:end]

    def cls(self, index: int) -> Floats:
        """Return the vector of a text's [CLS] token, (dim,)."""
        vector: Floats = self.packed(np.array([index])).cls[0]
        return vector

    def packed(self, indices: Integers) -> PackedFeatures:
        """Copy some texts out of the store, end to end, in the order of the indices."""
        indices = np.asarray(indices, dtype=np.int64)
        lengths = self._lengths[indices]
        starts = self._starts[indices]
        files = [self._files[shard] for shard in self._shards[indices].tolist()]
        ranges = list(zip(files, starts.tolist(), (starts + lengths).tolist(), strict=True))
        singles = [(file, row, row + 1) for file, row in zip(files, self._rows[indices].tolist(), strict=True)]
        if not files:
            nothing = np.zeros((0, self.dim), dtype=np.float16)
            return PackedFeatures(nothing, lengths, nothing)
        scalings = {id(file.scaling): file.scaling for file in files}
        if len(scalings) > 1:  # shards of two machines whose rounding differs: each has its own scaling
            parts = [self._packed_alike([of_text], [single]) for of_text, single in zip(ranges, singles, strict=True)]
            return PackedFeatures(
                np.concatenate([values for values, _ in parts]), lengths, np.concatenate([cls for _, cls in parts])
            )
        values, cls = self._packed_alike(ranges, singles)
        return PackedFeatures(values, lengths, cls)

    @staticmethod
    def _packed_alike(ranges: list[Range], singles: list[Range]) -> tuple[Floats, Floats]:
        """Copy ranges of token vectors and single [CLS] vectors of shards that have one scaling."""
        values: NDArray[Any] = np.concatenate([file.values[start:end] for file, start, end in ranges])
        cls: NDArray[Any] = np.concatenate([file.cls[start:end] for file, start, end in singles])
        scaling = ranges[0][0].scaling
        if scaling is None:
            return values, cls
        scales = [file.scales[start:end] for file, start, end in ranges if file.scales is not None]
        cls_scales = [file.cls_scales[start:end] for file, start, end in singles if file.cls_scales is not None]
        return (
            scaling.tokens.restore(values, np.concatenate(scales)),
            scaling.cls.restore(cls, np.concatenate(cls_scales)),
        )

    def means(self) -> NDArray[np.float32]:
        """Return the mean token vector of each text, (texts, dim); zeros for a text without tokens."""
        result = np.zeros((len(self), self.dim), dtype=np.float32)
        filled = np.flatnonzero(self._lengths)
        filled = filled[np.argsort(self._shards[filled], kind="stable")]
        for start in range(0, len(filled), MEAN_TEXTS):
            chosen = filled[start : start + MEAN_TEXTS]
            packed = self.packed(chosen)
            starts = np.cumsum(packed.lengths) - packed.lengths
            sums = np.add.reduceat(packed.values.astype(np.float32), starts, axis=0)
            result[chosen] = sums / packed.lengths[:, None]
            self.release(np.arange(self._shards[chosen[0]], self._shards[chosen[-1]]))  # read to their end
        return result

    def batches(self, size: int) -> Iterator[NDArray[np.int64]]:
        """Yield indices of all texts in batches of similar length, shortest first."""
        order = np.argsort(self._lengths, kind="stable")
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def _place(self, index: int) -> tuple[ShardArrays, int, int]:
        start = int(self._starts[index])
        return self._files[self._shards[index]], start, start + int(self._lengths[index])
