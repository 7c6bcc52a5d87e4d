"""One shard: an Arrow IPC file with the features of some texts, mapped into memory when read."""

import ctypes
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from xingping.encoders import TokenFeatures
from xingping.errors import StoreError
from xingping.features.keys import KEY_BYTES, Keys, keys_of
from xingping.features.layout import StoreLayout
from xingping.features.quantization import Scaling

__all__ = ["ShardArrays", "StoreScaling", "file_checksum", "make_batch", "open_shard", "shard_bytes", "shard_name"]

READ_BYTES = 1 << 22

_libc = ctypes.CDLL(None)


@dataclass(frozen=True, eq=False)
class StoreScaling:
    """How vectors become eight bits: those of tokens (or words), and those of [CLS]."""

    tokens: Scaling
    cls: Scaling

    def to_bytes(self) -> bytes:
        """Return both as bytes."""
        return self.tokens.to_bytes() + self.cls.to_bytes()

    @staticmethod
    @lru_cache(maxsize=8)
    def from_bytes(data: bytes) -> "StoreScaling":
        """Read what `to_bytes` gave; equal bytes give one object."""
        half = len(data) // 2
        return StoreScaling(Scaling.from_bytes(data[:half]), Scaling.from_bytes(data[half:]))


@dataclass(frozen=True, eq=False)
class ShardArrays:
    """The arrays of a shard, as views of its file or of features in memory.

    Attributes
    ----------
    keys
        (texts, 2).
    offsets
        (texts + 1,); text `i` has the rows `offsets[i]` to `offsets[i + 1]`.
    values
        (tokens, dim) float16, or int8 to be restored.
    scales
        (tokens,) of int8 values.
    spans
        (tokens, 2).
    cls, cls_scales
        (texts, dim) and, of int8, (texts,).
    scaling
        Restores int8.
    """

    keys: Keys
    offsets: NDArray[np.int64]
    values: NDArray[np.float16] | NDArray[np.int8]
    scales: NDArray[np.float16] | None
    spans: NDArray[np.int32]
    cls: NDArray[np.float16] | NDArray[np.int8]
    cls_scales: NDArray[np.float16] | None
    scaling: StoreScaling | None
    _file: pa.Buffer | None = None  # the whole file, mapped

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.values.shape[1])

    @classmethod
    def of(cls, features: TokenFeatures) -> "ShardArrays":
        """Return arrays of features in memory."""
        none = np.zeros((0, 2), dtype=np.uint64)
        return cls(none, features.offsets, features.values, None, features.spans, features.cls, None, None)

    def release(self) -> None:
        """Tell the system that the pages in memory are not needed for now; reading fetches them again."""
        self._advise(mmap.MADV_DONTNEED)

    def fetch(self) -> None:
        """Tell the system that the pages will be needed soon: it reads them while the caller goes on."""
        self._advise(mmap.MADV_WILLNEED)

    def _advise(self, advice: int) -> None:
        if self._file is not None and self._file.address % mmap.PAGESIZE == 0:
            address, size = ctypes.c_void_p(self._file.address), ctypes.c_size_t(self._file.size)
            _libc.madvise(address, size, ctypes.c_int(advice))


def shard_name(keys: Keys) -> str:
    """Return the file name of a shard: a digest of the texts in it, in their order."""
    digest = blake2b(np.ascontiguousarray(keys, dtype="<u8").tobytes(), digest_size=12).hexdigest()
    return f"shard-{digest}.arrow"


def make_batch(
    keys: Keys, features: TokenFeatures, layout: StoreLayout, scaling: StoreScaling | None
) -> pa.RecordBatch:
    """Return the content of a shard.

    Parameters
    ----------
    keys
        Of the texts, (texts, 2).
    features
        Theirs, already in the layout's unit.
    layout
        Of the store.
    scaling
        Needed for int8.
    """
    offsets, dim = features.offsets, features.values.shape[1]
    columns = {"key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY_BYTES), len(keys), [None, _buffer(keys)])}
    if layout.dtype == "int8":
        if scaling is None:
            raise StoreError(f"{layout.name}: int8 needs its scaling; call calibrate(encoder) first")
        values, scales = scaling.tokens.quantise(features.values)
        cls, cls_scales = scaling.cls.quantise(features.cls)
        columns["tokens"] = pa.LargeListArray.from_arrays(offsets, _vectors(values, dim))
        columns["scales"] = pa.LargeListArray.from_arrays(offsets, pa.array(scales))
        columns["cls"] = _vectors(cls, dim)
        columns["cls_scale"] = pa.array(cls_scales)
    else:
        columns["tokens"] = pa.LargeListArray.from_arrays(offsets, _vectors(features.values, dim))
        columns["cls"] = _vectors(features.cls, dim)
    columns["spans"] = pa.LargeListArray.from_arrays(offsets, _vectors(features.spans, 2))
    batch = pa.record_batch(columns)
    metadata: dict[str, str | bytes] = {name: str(value) for name, value in layout.describe().items()}
    if layout.dtype == "int8" and scaling is not None:
        metadata["scaling"] = scaling.to_bytes()
    return batch.replace_schema_metadata({**metadata, "content": _content_checksum(batch)})


def shard_bytes(texts: int, tokens: int, dim: int, layout: StoreLayout) -> int:
    """Return the size of a shard's file, exactly."""
    vector = np.zeros((1, dim), np.float16)
    smallest = TokenFeatures(vector, np.array([0, 1]), np.zeros((1, 2), np.int32), vector)
    scaling = StoreScaling(Scaling.measure(vector), Scaling.measure(vector)) if layout.dtype == "int8" else None
    batch = make_batch(np.zeros((1, 2), np.uint64), smallest, layout, scaling)
    sink = pa.MockOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    around = int(sink.size()) - _buffer_bytes(1, 1, dim, layout)
    return around + _buffer_bytes(texts, tokens, dim, layout)


def _buffer_bytes(texts: int, tokens: int, dim: int, layout: StoreLayout) -> int:
    """Return the size of the buffers of a shard, each a multiple of 8 as in a file."""
    offsets = 8 * (texts + 1)
    if layout.dtype == "int8":
        sizes = [3 * offsets, KEY_BYTES * texts, dim * tokens, 2 * tokens, 8 * tokens, dim * texts, 2 * texts]
    else:
        sizes = [2 * offsets, KEY_BYTES * texts, 2 * dim * tokens, 8 * tokens, 2 * dim * texts]
    return sum(-(-size // 8) * 8 for size in sizes)


def open_shard(path: Path, layout: StoreLayout) -> ShardArrays:
    """Map a shard's file; nothing is read but its ends.

    Raises
    ------
    StoreError
        It is no whole shard of this layout; the message says why.
    """
    try:
        file, batch = _map(path)
        metadata = batch.schema.metadata or {}
        for name, value in layout.describe().items():
            found = metadata.get(name.encode(), b"").decode(errors="replace")
            if found != str(value):
                raise StoreError(f"{path} has the {name} {found or 'unknown'}, expected {value}")
        _check_types(batch, layout, path)
        batch.validate()
        arrays = _arrays(batch, metadata, file)
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    _check(arrays, path)
    return arrays


def is_intact(path: Path) -> bool:
    """Say whether the content of a shard is what was written, by the checksum that it carries."""
    try:
        batch = _map(path)[1]
        return bool((batch.schema.metadata or {}).get(b"content", b"").decode() == _content_checksum(batch))
    except (pa.ArrowException, OSError, ValueError, IndexError):
        return False


def file_checksum(path: Path) -> str:
    """Return XXH3 (128 bits) of a file as hex, read without mapping it."""
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        block = bytearray(READ_BYTES)
        while count := file.readinto(block):
            digest.update(memoryview(block)[:count])
    return digest.hexdigest()


def _check_types(batch: pa.RecordBatch, layout: StoreLayout, path: Path) -> None:
    dim = getattr(batch.schema.field("cls").type, "list_size", 0)
    number = pa.int8() if layout.dtype == "int8" else pa.float16()
    vector = pa.list_(number, dim) if dim > 0 else pa.null()
    expected = {"key": pa.binary(KEY_BYTES), "tokens": pa.large_list(vector), "cls": vector}
    expected["spans"] = pa.large_list(pa.list_(pa.int32(), 2))
    if layout.dtype == "int8":
        expected |= {"scales": pa.large_list(pa.float16()), "cls_scale": pa.float16()}
    found = {field.name: field.type for field in batch.schema}
    if found != expected:
        raise StoreError(f"{path} has columns of other types")


def _map(path: Path) -> tuple[pa.Buffer, pa.RecordBatch]:
    """Map a file; the mapping outlives its handle, so that thousands of shards can be open."""
    with pa.memory_map(str(path)) as source:
        file = source.read_buffer()
    return file, pa.ipc.open_file(pa.BufferReader(file)).get_batch(0)


def _arrays(batch: pa.RecordBatch, metadata: dict[bytes, bytes], file: pa.Buffer) -> ShardArrays:
    dim = batch.schema.field("cls").type.list_size
    tokens, spans, cls = batch.column("tokens"), batch.column("spans"), batch.column("cls")
    is_int8 = "scales" in batch.schema.names
    return ShardArrays(
        keys=keys_of(batch.column("key").buffers()[1] or b""),
        offsets=tokens.offsets.to_numpy(),
        values=tokens.values.values.to_numpy().reshape(-1, dim),
        scales=batch.column("scales").values.to_numpy() if is_int8 else None,
        spans=spans.values.values.to_numpy().reshape(-1, 2),
        cls=cls.values.to_numpy().reshape(-1, dim),
        cls_scales=batch.column("cls_scale").to_numpy() if is_int8 else None,
        scaling=StoreScaling.from_bytes(metadata[b"scaling"]) if is_int8 else None,
        _file=file,
    )


def _check(arrays: ShardArrays, path: Path) -> None:
    """See that the arrays fit each other, so that no later read leaves them."""
    offsets, texts, tokens = arrays.offsets, len(arrays.keys), len(arrays.values)
    fits = len(offsets) == texts + 1 == len(arrays.cls) + 1 and len(arrays.spans) == tokens
    fits = fits and offsets[0] == 0 and offsets[-1] == tokens and bool((np.diff(offsets) >= 0).all())
    if arrays.scales is not None and arrays.cls_scales is not None:
        fits = fits and len(arrays.scales) == tokens and len(arrays.cls_scales) == texts
    if not fits:
        raise StoreError(f"{path} has columns that do not fit each other")
    if shard_name(arrays.keys) != path.name:
        raise StoreError(f"{path} holds keys of other texts than its name says")


def _content_checksum(batch: pa.RecordBatch) -> str:
    digest = xxhash.xxh3_128()
    for buffer in _buffers(batch):
        digest.update(memoryview(buffer))
    return digest.hexdigest()


def _buffers(batch: pa.RecordBatch) -> Iterator[pa.Buffer]:
    for column in batch.columns:
        yield from (buffer for buffer in column.buffers() if buffer is not None)


def _vectors(values: NDArray[np.generic], dim: int) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), dim)


def _buffer(keys: Keys) -> pa.Buffer:
    return pa.py_buffer(np.ascontiguousarray(keys, dtype="<u8"))
