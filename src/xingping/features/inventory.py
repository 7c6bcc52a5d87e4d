"""What a store holds as one process sees it: the open shards, which of them are sound, and where each text is."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xingping.errors import OutputError, StoreError
from xingping.features.keys import KeyIndex, Keys
from xingping.features.manifest import Manifest, ShardEntry, Signature
from xingping.features.shards import ShardArrays, file_checksum, open_shard

__all__ = ["Inventory"]

logger = logging.getLogger(__name__)

FileState = tuple[str, int, int, int]

READERS = 4
"""Shards whose checksums are read at a time; a disk likes more than one request."""

LOCATED_TEXTS = 65_536
"""Texts looked up at a time, for the sake of memory."""

_verified: set[tuple[FileState, str]] = set()
"""Files, with size and time, that had a checksum when this process looked."""


class Inventory:
    """The shards that are listed and whole, in the order of their names.

    A shard of another size than listed is damaged as soon as it is seen; one with another checksum when it is first
    used. Damaged ones are named in a warning and left out, so that their texts count as missing.

    Parameters
    ----------
    manifest
        Of the store.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.files: tuple[ShardArrays, ...] = ()
        self.damaged: dict[str, ShardEntry] = {}
        self._entries: tuple[ShardEntry, ...] = ()
        self._states: tuple[FileState, ...] = ()
        self._bases = np.zeros(1, dtype=np.int64)
        self._index = KeyIndex(np.zeros((0, 2), dtype=np.uint64))
        self._signature: Signature | None = None
        self._listed: dict[str, ShardEntry] = {}
        self._bad: set[tuple[FileState, str]] = set()
        self._warned: set[tuple[str, str]] = set()

    def refresh(self) -> None:
        """Look at the manifest and the files again."""
        listed = self.listed()
        opened = dict(zip(self._states, self.files, strict=True))
        self.damaged = {}
        found: list[tuple[ShardEntry, FileState, ShardArrays]] = []
        for entry in listed.values():
            path = self.manifest.folder / entry.name
            try:
                state = _state(path)
                self._check(entry, state)
                arrays = opened.get(state) or open_shard(path, self.manifest.layout)
            except (OSError, StoreError) as error:
                self._drop(entry, f"{path} is missing" if isinstance(error, FileNotFoundError) else str(error))
                continue
            found.append((entry, state, arrays))
        self._hold(found)

    def _check(self, entry: ShardEntry, state: FileState) -> None:
        name, size, *_ = state
        if size != entry.bytes:
            raise StoreError(f"{name} has {size:,} bytes, expected {entry.bytes:,}")
        if (state, entry.checksum) in self._bad:
            raise StoreError(f"{name} has another checksum than the manifest")

    def listed(self) -> dict[str, ShardEntry]:
        """Return the manifest's entries as they are now; a damaged or lost manifest is built anew from the shards."""
        signature = self.manifest.signature()
        if signature is not None and signature == self._signature:
            return self._listed
        problem = f"{self.manifest.path} is missing"
        try:
            self._listed = self.manifest.read()
            if signature is not None or not any(self.manifest.folder.glob("shard-*.arrow")):
                problem = ""
        except StoreError as error:
            problem = str(error)
        if problem:
            try:
                self._listed = self.manifest.add()
                signature = self.manifest.signature()
            except OutputError:  # a store that cannot be written can still be read
                self._listed = self.manifest.rebuild()
            logger.warning("%s; rebuilt from %d whole shards", problem, len(self._listed))
        self._signature = signature
        return self._listed

    def locate(self, keys: Keys) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the shard and the row in it of each text, (n,) both; -1 for one that is not stored."""
        shards = np.full(len(keys), -1, dtype=np.int32)
        rows = np.full(len(keys), -1, dtype=np.int32)
        for start in range(0, len(keys), LOCATED_TEXTS):
            places = self._index.find(keys[start : start + LOCATED_TEXTS])
            found = np.flatnonzero(places >= 0)
            numbers = np.searchsorted(self._bases, places[found], side="right") - 1
            shards[start + found] = numbers
            rows[start + found] = places[found] - self._bases[numbers]
        return shards, rows

    def locate_sound(self, keys: Keys) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Locate texts in shards whose checksums have been verified."""
        while True:
            shards, rows = self.locate(keys)
            if self.verify(np.unique(shards[shards >= 0]).tolist()):
                return shards, rows

    def verify(self, shards: Iterable[int]) -> bool:
        """Read the checksums of shards that this process has not read yet.

        Returns
        -------
        bool
            False where one was wrong; then it is left out and the numbers of the shards have changed.
        """
        due = [shard for shard in shards if (self._states[shard], self._entries[shard].checksum) not in _verified]
        if not due:
            return True
        with ThreadPoolExecutor(READERS) as pool:
            checksums = list(pool.map(_checksum, [self.manifest.folder / self._entries[shard].name for shard in due]))
        sound = True
        for shard, checksum in zip(due, checksums, strict=True):
            state, entry = self._states[shard], self._entries[shard]
            if checksum == entry.checksum:
                _verified.add((state, checksum))
            else:
                sound = False
                self._bad.add((state, entry.checksum))
        if not sound:
            self._signature = None  # another process may have written and listed a shard anew meanwhile
            self.refresh()
        return sound

    def _drop(self, entry: ShardEntry, reason: str) -> None:
        self.damaged[entry.name] = entry
        if (entry.name, reason) not in self._warned:
            self._warned.add((entry.name, reason))
            logger.warning("damaged shard: %s; its %s texts are encoded again", reason, f"{entry.texts:,}")

    def _hold(self, found: list[tuple[ShardEntry, FileState, ShardArrays]]) -> None:
        states = tuple(state for _, state, _ in found)
        self._entries = tuple(entry for entry, _, _ in found)
        if states == self._states:
            return
        self._states = states
        self.files = tuple(arrays for _, _, arrays in found)
        self._bases = np.cumsum([0, *(len(arrays.keys) for arrays in self.files)])
        keys = [arrays.keys for arrays in self.files]
        self._index = KeyIndex(np.concatenate(keys) if keys else np.zeros((0, 2), dtype=np.uint64))
        for arrays in self.files:
            arrays.release()


def _state(path: Path) -> FileState:
    state = path.stat()
    return str(path), state.st_size, state.st_mtime_ns, state.st_ino


def _checksum(path: Path) -> str:
    try:
        return file_checksum(path)
    except OSError:
        return ""
