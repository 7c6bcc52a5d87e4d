"""What is done of a file, beside the result that it will be part of: a killed job goes on from there."""

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from xingping.artifacts import atomic_path, file_sha256, fingerprint
from xingping.errors import OutputError
from xingping.predictor import RatingPredictor

__all__ = ["Parts", "folder_beside"]


@dataclass(frozen=True)
class Parts:
    """What was added to some rows of a file, part by part, in a folder beside the target.

    Attributes
    ----------
    folder
        Named after the target and all that decides what is in the parts.
    """

    folder: Path

    @classmethod
    def beside(cls, target: Path, predictor: RatingPredictor, source: Path, *settings: str) -> "Parts":
        """Return the parts of one job, and remove those of others with the same target.

        Parameters
        ----------
        target
            What is to be written.
        predictor, source, settings
            The model, the file, and what else decides the result.
        """
        model = [predictor.card.model_dump_json(), predictor.scorer.digest]
        key = fingerprint(file_sha256(source), source.name, model, *settings)
        parts = cls(target.parent / f".{target.name}.{key}.parts")
        for other in _leftovers(target, "parts"):
            if other != parts.folder:
                shutil.rmtree(other, ignore_errors=True)
        return parts

    def read(self, number: int) -> pa.Table | None:
        """Return a part, or None where it is not there."""
        file = self._file(number)
        return pa.ipc.open_file(pa.memory_map(str(file))).read_all() if file.is_file() else None

    def write(self, number: int, table: pa.Table) -> None:
        """Write a part, whole."""
        with atomic_path(self._file(number)) as temporary, pa.ipc.new_file(str(temporary), table.schema) as file:
            file.write_table(table)

    @contextmanager
    def whole(self, target: Path) -> Iterator[Path]:
        """Give a path among the parts, so that a kill leaves nothing elsewhere; at the end it becomes the target.

        Raises
        ------
        OutputError
            The target cannot be written.
        """
        path = self.folder / f"whole.{target.name}"
        yield path
        try:
            path.replace(target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error

    def remove(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.arrow"


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Give an empty folder beside a target, on its disk; what killed jobs of the target left is removed first.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    for leftover in _leftovers(target, "unpacked"):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(
            prefix=f".{target.name}.", suffix=".unpacked", dir=target.parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}; choose another folder") from error
    with folder as path:
        yield Path(path)


def _leftovers(target: Path, kind: str) -> list[Path]:
    return list(target.parent.glob(f".{glob.escape(target.name)}.*.{kind}"))
