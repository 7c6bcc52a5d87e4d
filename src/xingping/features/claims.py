"""The sole right to write one shard, and writing it so that a kill leaves nothing half done."""

import fcntl
import os
from pathlib import Path

import pyarrow as pa

from xingping.errors import OutputError

__all__ = ["Claim", "is_claimed", "remove_leftovers", "sync_folder"]


class Claim:
    """The sole right of this process to write one shard.

    It is held as a lock on a file beside the shard, so a killed process loses it at once. Made by `take`.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    @classmethod
    def take(cls, path: Path, *, wait: bool) -> "Claim | None":
        """Claim the shard that is to be at a path.

        Parameters
        ----------
        path
            Of the shard.
        wait
            Whether to wait while another process has it; else that gives None.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        lock = _lock_path(path)
        while True:
            try:
                lock.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise _failure(path, error) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(handle)
                return None
            except OSError as error:
                os.close(handle)
                raise _failure(path, error) from error
            if _is_at(handle, lock):
                return cls(path, handle)
            os.close(handle)  # whoever had it has removed the file meanwhile

    def write(self, batch: pa.RecordBatch) -> None:
        """Write the shard: whole and on disk, or not at all.

        Raises
        ------
        OutputError
            It cannot be written, such as where the disk is full; nothing of it stays.
        """
        temporary = _temporary_path(self.path)
        try:
            with temporary.open("wb") as file:
                with pa.ipc.new_file(file, batch.schema) as writer:
                    writer.write_batch(batch)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise _failure(self.path, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the claim back; what it left half done goes."""
        if self._handle < 0:
            return
        _temporary_path(self.path).unlink(missing_ok=True)
        _lock_path(self.path).unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1


def is_claimed(path: Path) -> bool:
    """Say whether a process, living or killed, had claimed a shard and not given it back."""
    return _lock_path(path).exists()


def remove_leftovers(folder: Path) -> int:
    """Remove what killed processes left in a store, and nothing that a living one works on; return how many."""
    removed = 0
    for lock in sorted(folder.glob(".shard-*.lock")):
        claim = Claim.take(folder / lock.name[1:].removesuffix(".lock"), wait=False)
        if claim is not None:
            claim.release()
            removed += 1
    return removed


def sync_folder(folder: Path) -> None:
    """See that the names in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _failure(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {path}: {error.strerror or error}; free some space or set XINGPING_CACHE to another disk, "
        "then run it again: what was stored stays"
    )
