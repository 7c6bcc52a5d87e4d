"""The feature store: token features on disk, one entry per distinct text and encoder.

A store is a folder named by the encoder's fingerprint. It holds shards, Arrow IPC files that are written once,
atomically, and memory-mapped ever after. A shard is named by the texts in it, so two processes that encode the
same texts write the same file. Nothing else is kept: the shards that are there are the store.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.artifacts import atomic_path
from xingping.cache import cache_folder
from xingping.encoders import FrozenEncoder, TokenFeatures
from xingping.errors import StoreError

__all__ = ["FeatureStore", "StoredFeatures"]

logger = logging.getLogger(__name__)

SHARD_TEXTS = 4096
"""Texts a shard; what a killed run loses at most. About 120 MB for 384 dimensions."""

KEY_BYTES = 16


class FeatureStore:
    """Token features of one encoder on disk.

    Parameters
    ----------
    fingerprint
        The encoder's (`FrozenEncoder.fingerprint`); features of another never mix in.
    root
        Folder of all stores; by default `features` in the user's cache.
    """

    def __init__(self, fingerprint: str, root: Path | None = None) -> None:
        self.fingerprint = fingerprint
        self.folder = (root or cache_folder() / "features") / fingerprint
        self._shards: dict[str, _Shard] = {}
        self._places: dict[bytes, tuple[_Shard, int]] = {}

    def _refresh(self) -> None:
        """Open shards that appeared since the last look, and drop damaged ones."""
        for path in sorted(self.folder.glob("shard-*.arrow")):
            if path.name in self._shards:
                continue
            try:
                shard = _Shard.open(path, self.fingerprint)
            except (pa.ArrowInvalid, OSError, StoreError) as error:
                logger.warning("dropping the damaged shard %s (%s); its texts are encoded again", path, error)
                path.unlink(missing_ok=True)
                continue
            self._shards[path.name] = shard
            for row, key in enumerate(shard.keys):
                self._places.setdefault(key, (shard, row))

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the distinct texts that have no features yet, in order of appearance."""
        self._refresh()
        return [text for text in dict.fromkeys(texts) if text_key(text) not in self._places]

    def encode(
        self, encoder: FrozenEncoder, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> int:
        """Encode the texts that are not stored yet, shard by shard.

        Parameters
        ----------
        encoder
            Its fingerprint must be this store's.
        texts
            Repeats are encoded once.
        progress
            Called with the number of texts done since the last call.

        Returns
        -------
        int
            How many texts were encoded.

        Raises
        ------
        StoreError
            The encoder is another one.
        OutputError
            The store cannot be written.
        """
        if encoder.fingerprint != self.fingerprint:
            raise StoreError(f"{self.folder} holds features of {self.fingerprint}, not of {encoder.fingerprint}")
        missing = self.missing(texts)
        for start in range(0, len(missing), SHARD_TEXTS):
            chunk = missing[start : start + SHARD_TEXTS]
            _write_shard(self.folder, self.fingerprint, chunk, encoder.encode(chunk, progress=progress))
        self._refresh()
        return len(missing)

    def view(self, texts: Sequence[str]) -> "StoredFeatures":
        """Return the stored features of texts, in their order, without copying.

        Raises
        ------
        StoreError
            A text has not been encoded.
        """
        self._refresh()
        try:
            places = [self._places[text_key(text)] for text in texts]
        except KeyError:
            raise StoreError(
                f"{len(self.missing(texts))} of {len(texts)} texts have no features in {self.folder}; encode them first"
            ) from None
        return StoredFeatures(places)


class StoredFeatures:
    """Memory-mapped features of a sequence of texts."""

    def __init__(self, places: "Sequence[tuple[_Shard, int]]") -> None:
        self._shards = [shard for shard, _ in places]
        self._rows = [row for _, row in places]
        starts_ends = [shard.bounds(row) for shard, row in places]
        self._bounds = np.array(starts_ends, dtype=np.int64).reshape(-1, 2)  # (texts, 2)

    @classmethod
    def of(cls, features: TokenFeatures) -> "StoredFeatures":
        """Treat features in memory like stored ones."""
        shard = _Shard([], features.offsets, features.values, features.spans, features.cls)
        return cls([(shard, row) for row in range(len(features))])

    def take(self, indices: Sequence[int]) -> "StoredFeatures":
        """Return the features of some of the texts, in that order."""
        return StoredFeatures([(self._shards[index], self._rows[index]) for index in indices])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dim(self) -> int:
        """Dimensions of a token's vector; 0 where there are no texts."""
        return self._shards[0].dim if self._shards else 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, (texts,)."""
        return self._bounds[:, 1] - self._bounds[:, 0]

    def tokens(self, index: int) -> NDArray[np.float16]:
        """Return the token vectors of a text, (tokens, dim), float16, as a view of the file."""
        start, end = self._bounds[index]
        vectors: NDArray[np.float16] = self._shards[index].values[start:end]
        return vectors

    def spans(self, index: int) -> NDArray[np.int32]:
        """Return the half-open character span of each token of a text, (tokens, 2)."""
        start, end = self._bounds[index]
        return self._shards[index].spans[start:end]

    def cls(self, index: int) -> NDArray[np.float16]:
        """Return the vector of a text's [CLS] token, (dim,), float16."""
        vector: NDArray[np.float16] = self._shards[index].cls[self._rows[index]]
        return vector

    def padded(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.float16]]:
        """Copy some texts into one padded block.

        Returns
        -------
        values
            (batch, most tokens, dim) float16, zero behind the end of a text.
        lengths
            (batch,) tokens of each text.
        cls
            (batch, dim) float16.
        """
        lengths = self.lengths[indices]
        values = np.zeros((len(indices), max(1, int(lengths.max(initial=0))), self.dim), dtype=np.float16)
        cls = np.empty((len(indices), self.dim), dtype=np.float16)
        for row, (index, length) in enumerate(zip(indices.tolist(), lengths.tolist(), strict=True)):
            values[row, :length] = self.tokens(index)
            cls[row] = self.cls(index)
        return values, lengths, cls

    def means(self) -> NDArray[np.float32]:
        """Return the mean token vector of each text, (texts, dim); zeros for a text without tokens."""
        result = np.zeros((len(self), self.dim), dtype=np.float32)
        for index in np.flatnonzero(self.lengths):
            result[index] = self.tokens(int(index)).mean(axis=0, dtype=np.float32)
        return result

    def batches(self, size: int) -> Iterator[NDArray[np.int64]]:
        """Yield indices of all texts in batches of similar length, shortest first."""
        order = np.argsort(self.lengths, kind="stable")
        for start in range(0, len(order), size):
            yield order[start : start + size]


@dataclass(frozen=True)
class _Shard:
    """One memory-mapped file: features of some texts."""

    keys: list[bytes]
    offsets: NDArray[np.int64]  # (texts + 1,)
    values: NDArray[np.float16]  # (tokens, dim)
    spans: NDArray[np.int32]  # (tokens, 2)
    cls: NDArray[np.float16]  # (texts, dim)

    @property
    def dim(self) -> int:
        return int(self.values.shape[1])

    def bounds(self, row: int) -> tuple[int, int]:
        return int(self.offsets[row]), int(self.offsets[row + 1])

    @classmethod
    def open(cls, path: Path, fingerprint: str) -> "_Shard":
        with pa.memory_map(str(path)) as file:
            batch = pa.ipc.open_file(file).get_batch(0)
        found = (batch.schema.metadata or {}).get(b"fingerprint", b"").decode()
        if found != fingerprint:
            raise StoreError(f"{path} was written by the encoder {found or 'unknown'}")
        dim = batch.schema.field("cls").type.list_size
        tokens, spans = batch.column("tokens"), batch.column("spans")
        return cls(
            keys=batch.column("key").to_pylist(),
            offsets=tokens.offsets.to_numpy(),
            values=tokens.values.values.to_numpy().reshape(-1, dim),
            spans=spans.values.values.to_numpy().reshape(-1, 2),
            cls=batch.column("cls").values.to_numpy().reshape(-1, dim),
        )


def text_key(text: str) -> bytes:
    """Return the key of a text: 128 bits of BLAKE2b."""
    return blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def _write_shard(folder: Path, fingerprint: str, texts: Sequence[str], features: TokenFeatures) -> None:
    keys = [text_key(text) for text in texts]
    dim = features.values.shape[1]
    batch = pa.record_batch(
        {
            "key": pa.array(keys, pa.binary(KEY_BYTES)),
            "tokens": pa.LargeListArray.from_arrays(features.offsets, _vectors(features.values, dim)),
            "spans": pa.LargeListArray.from_arrays(features.offsets, _vectors(features.spans, 2)),
            "cls": _vectors(features.cls, dim),
        }
    ).replace_schema_metadata({"fingerprint": fingerprint})
    name = blake2b(b"".join(keys), digest_size=8).hexdigest()
    with (
        atomic_path(folder / f"shard-{name}.arrow") as temporary,
        pa.ipc.new_file(str(temporary), batch.schema) as writer,
    ):
        writer.write_batch(batch)


def _vectors(values: NDArray[np.generic], dim: int) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), dim)
