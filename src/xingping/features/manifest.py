"""The list of a store's shards: which there are, how large, and the checksum of each."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock

from xingping.errors import OutputError, StoreError
from xingping.features.claims import is_claimed, sync_folder
from xingping.features.layout import StoreLayout
from xingping.features.shards import file_checksum, is_intact, open_shard

__all__ = ["Manifest", "ShardEntry"]

Signature = tuple[int, int, int]


@dataclass(frozen=True)
class ShardEntry:
    """One line of the manifest.

    Attributes
    ----------
    name
        File name, a digest of the texts.
    texts, tokens, bytes
        How many it holds, and the size of the file.
    checksum
        XXH3 (128 bits) of the file.
    first
        Key of its first text as hex: where among texts to encode the shard would begin.
    """

    name: str
    texts: int
    tokens: int
    bytes: int
    checksum: str
    first: str

    @classmethod
    def of(cls, path: Path, layout: StoreLayout) -> "ShardEntry":
        """Return the entry of a shard's file as it is now.

        Raises
        ------
        StoreError
            The file is no shard of this layout.
        """
        arrays = open_shard(path, layout)
        return cls(
            name=path.name,
            texts=len(arrays.keys),
            tokens=len(arrays.values),
            bytes=path.stat().st_size,
            checksum=file_checksum(path),
            first=arrays.keys[:1].tobytes().hex(),
        )


class Manifest:
    """`manifest.json` of a store: read without a lock, changed under one.

    Parameters
    ----------
    folder
        Of the store.
    layout
        Of the store.
    """

    def __init__(self, folder: Path, layout: StoreLayout) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"
        self.layout = layout

    def signature(self) -> Signature | None:
        """Return what tells one state of the file from another; None where it is missing."""
        try:
            state = self.path.stat()
        except OSError:
            return None
        return state.st_ino, state.st_size, state.st_mtime_ns

    def read(self) -> dict[str, ShardEntry]:
        """Return the entries by name, sorted; none where there is no manifest.

        Raises
        ------
        StoreError
            The manifest is damaged.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error
        try:
            value = json.loads(text)
            entries = [ShardEntry(**entry) for entry in value["shards"]]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path} is damaged: {error}") from error
        if text != _render(self.layout, entries):  # the checksum is part of it
            raise StoreError(f"{self.path} is damaged: its checksum does not fit")
        return {entry.name: entry for entry in entries}

    def rebuild(self) -> dict[str, ShardEntry]:
        """Return the entries of all shards in the folder that are whole, read one by one.

        Those that a process is about to list are left to it.
        """
        entries = {}
        for path in sorted(self.folder.glob("shard-*.arrow")):
            if is_claimed(path):
                continue
            try:
                entry = ShardEntry.of(path, self.layout)
            except (OSError, StoreError):
                continue
            if is_intact(path):
                entries[path.name] = entry
        return entries

    def add(self, added: Iterable[ShardEntry] = ()) -> dict[str, ShardEntry]:
        """List further shards, and return all; those already listed by the same name are replaced.

        A damaged or lost manifest is built anew.

        Raises
        ------
        OutputError
            The store cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.folder}.lock"):
                entries = self._read_or_rebuild()
                entries |= {entry.name: entry for entry in added}
                self._write(entries)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}; free some space or set XINGPING_CACHE to "
                "another disk, then run it again: what was stored stays"
            ) from error
        return entries

    def _read_or_rebuild(self) -> dict[str, ShardEntry]:
        if self.signature() is None:
            return self.rebuild()
        try:
            return self.read()
        except StoreError:
            return self.rebuild()

    def _write(self, entries: dict[str, ShardEntry]) -> None:
        text = _render(self.layout, list(entries.values()))
        temporary = self.path.with_name(".manifest.json.part")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
            sync_folder(self.folder)
        finally:
            temporary.unlink(missing_ok=True)


def _render(layout: StoreLayout, entries: list[ShardEntry]) -> str:
    """Return the text of a manifest: a line a shard, sorted, so that equal stores have equal manifests."""
    described = {name: value for name, value in layout.describe().items() if value != ""}
    lines = [json.dumps(asdict(entry), ensure_ascii=False) for entry in sorted(entries, key=lambda entry: entry.name)]
    body = ",\n  ".join(lines)
    checksum = xxhash.xxh3_128(json.dumps(described).encode() + body.encode()).hexdigest()
    head: dict[str, Any] = {**described, "checksum": checksum}
    fields = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    return f'{{\n{fields} "shards": [\n  {body}\n ]\n}}\n' if lines else f'{{\n{fields} "shards": []\n}}\n'
