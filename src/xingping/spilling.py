"""Spilling: what does not fit in memory goes to files of a folder that vanishes, also after a kill.

Rows are found again by keys, whose order is that of a hash. Each process writes the keys of its rows in order into
a file of its own; whatever has to be compared is then together in the same part of all files.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["PARTS", "KeyFile", "read_part", "read_spilled", "scratch_folder", "spill_keys", "spill_table"]

PARTS = 64
"""Parts that hashes are divided into by their highest bits; one at a time is in memory."""

_SHIFT = np.uint64(64 - 6)
_PREFIX = ".preparing-"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give a folder that is removed when the block ends; those that killed processes have left go first.

    Parameters
    ----------
    parent
        Where it is made; is made itself where it is missing.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent):
        for left in parent.glob(f"{_PREFIX}*"):
            if not _is_in_use(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, mode: int = fcntl.LOCK_EX) -> int:
    handle = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # some network file systems know no locks; then leftovers are not told from work
        fcntl.flock(handle, mode)
    return handle


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = _lock(folder)
    try:
        yield
    finally:
        os.close(handle)


def _is_in_use(folder: Path) -> bool:
    """Say whether a living process holds the lock of a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def spill_table(path: Path, table: pa.Table) -> None:
    """Write a table as Arrow IPC."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_spilled(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read what `spill_table` wrote, or some columns of it."""
    with pa.OSFile(str(path), "rb") as source:
        if columns is None:
            return pa.ipc.open_file(source).read_all()
        names = pa.ipc.open_file(source).schema.names
        wanted = pa.ipc.IpcReadOptions(included_fields=[names.index(name) for name in columns])
        return pa.ipc.open_file(source, options=wanted).read_all()


@dataclass(frozen=True)
class KeyFile:
    """A file of keys in the order of a hash.

    Attributes
    ----------
    path
        The file.
    bounds : (PARTS + 1,) int64
        Part i is ``keys[bounds[i]:bounds[i + 1]]``.
    """

    path: Path
    bounds: NDArray[np.int64]


def spill_keys(path: Path, keys: NDArray[np.void], field: str) -> KeyFile:
    """Write keys in the order of a field, a 64-bit hash."""
    hashes = keys[field]
    order = np.argsort(hashes)
    keys[order].tofile(path)
    starts = np.arange(PARTS, dtype=np.uint64) << _SHIFT
    return KeyFile(path, np.append(np.searchsorted(hashes[order], starts), keys.size))


def read_part(files: Sequence[KeyFile], number: int, dtype: np.dtype[np.void]) -> list[NDArray[np.void]]:
    """Read the keys of one part of each of several files."""
    result = []
    for file in files:
        start, stop = file.bounds[number : number + 2].tolist()
        result.append(np.fromfile(file.path, dtype, stop - start, offset=start * dtype.itemsize))
    return result
