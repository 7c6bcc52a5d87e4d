"""Texts by the batch, as often as wanted: a table's column is never in memory as a whole."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from xingping.errors import InputError

__all__ = ["TextBatches", "Texts"]

BATCH_TEXTS = 16_384
"""Texts a batch: some megabytes, and enough for NumPy to be worth its while."""


class TextBatches:
    """Texts that can be gone through in batches again and again, always in the same order.

    Made by `of`, `arrow` or `parquet`.

    Parameters
    ----------
    read
        Starts a pass over the batches.
    length
        Number of texts of a pass.
    """

    def __init__(self, read: Callable[[], Iterator[list[str]]], length: int) -> None:
        self._read = read
        self._length = length

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the batches, from the first."""
        return self._read()

    def __len__(self) -> int:
        """Return the number of texts, not of batches."""
        return self._length

    @classmethod
    def of(cls, texts: "Texts") -> "TextBatches":
        """Return batches of a sequence of texts; batches stay what they are.

        Raises
        ------
        TypeError
            `texts` is one string.
        """
        if isinstance(texts, TextBatches):
            return texts
        if isinstance(texts, str):
            raise TypeError("a list of texts is needed, got one string; write [text]")
        sequence = texts

        def read() -> Iterator[list[str]]:
            for start in range(0, len(sequence), BATCH_TEXTS):
                yield list(sequence[start : start + BATCH_TEXTS])

        return cls(read, len(sequence))

    @classmethod
    def arrow(cls, column: pa.ChunkedArray) -> "TextBatches":
        """Return batches of a column of a table; a missing text is an empty one."""

        def read() -> Iterator[list[str]]:
            for start in range(0, len(column), BATCH_TEXTS):
                yield _strings(column.slice(start, BATCH_TEXTS))

        return cls(read, len(column))

    @classmethod
    def parquet(cls, path: Path, column: str = "text") -> "TextBatches":
        """Return batches of a column of a Parquet file, read anew at every pass.

        Raises
        ------
        InputError
            The file cannot be read, or has no such column.
        """
        try:
            with pq.ParquetFile(path) as file:
                length, names = file.metadata.num_rows, file.schema_arrow.names
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"cannot read {path}: {error}; give a Parquet file") from error
        if column not in names:
            raise InputError(f"{path} has no column {column!r}; it has {', '.join(names)}")

        def read() -> Iterator[list[str]]:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH_TEXTS, columns=[column]):
                    yield _strings(batch.column(0))

        return cls(read, length)


Texts: TypeAlias = Sequence[str] | TextBatches
"""Texts as a sequence, or as batches."""


def _strings(values: pa.Array | pa.ChunkedArray) -> list[str]:
    return [text or "" for text in values.to_pylist()]
