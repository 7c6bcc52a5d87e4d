"""The prepared reviews on disk, read column by column: what a stage does not need stays in the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.errors import RunDirectoryError
from xingping.splits import SIDES
from xingping.texts import TextBatches

__all__ = ["PreparedReviews"]


@dataclass(frozen=True, eq=False)
class PreparedReviews:
    """What of `reviews.parquet` is in memory: a few bytes a review.

    Attributes
    ----------
    path
        The file.
    split
        (n,) int8, index in `SIDES`.
    rating
        (n,) int8, 1..5.
    film
        (n,) int32, index in `films`.
    films
        Distinct names, in the order of their first review; "" where the film is not known.
    """

    path: Path
    split: NDArray[np.int8]
    rating: NDArray[np.int8]
    film: NDArray[np.int32]
    films: Sequence[str]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the short columns of `reviews.parquet`.

        Raises
        ------
        RunDirectoryError
            The file is missing or damaged.
        """
        try:
            table = pq.read_table(path, columns=["split", "rating", "film"], read_dictionary=["split", "film"])
        except FileNotFoundError as error:
            raise RunDirectoryError(
                f"{path} is missing; run: xingping prepare DATA --out {path.resolve().parent}"
            ) from error
        except (OSError, pa.ArrowInvalid) as error:
            raise RunDirectoryError(f"cannot read {path} ({error}); run the stage prepare again") from error
        split, film = (_encoded(table[name]) for name in ("split", "film"))
        side = np.array([SIDES.index(name) for name in split.dictionary.to_pylist()], dtype=np.int8)
        return cls(
            path,
            side[split.indices.to_numpy()],
            table["rating"].to_numpy().astype(np.int8),
            film.indices.to_numpy().astype(np.int32),
            film.dictionary.to_pylist(),
        )

    def __len__(self) -> int:
        """Return the number of reviews."""
        return len(self.split)

    @property
    def texts(self) -> TextBatches:
        """The texts, streamed from the file."""
        return TextBatches.parquet(self.path, column="text")

    def indices(self, split: str) -> NDArray[np.int64]:
        """Return where the reviews of a split are."""
        return np.flatnonzero(self.split == SIDES.index(split))

    def ratings(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the stars of some reviews, 1..5."""
        return self.rating[indices].astype(np.int64)

    def film_names(self, indices: NDArray[np.int64]) -> NDArray[np.object_]:
        """Return the films of some reviews."""
        return np.asarray(self.films, dtype=object)[self.film[indices]]

    def named_films(self, indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the numbers of the films of some reviews, (n,), -1 where none is named."""
        named = np.array([name != "" for name in self.films], dtype=np.bool_)
        film = self.film[indices]
        return np.where(named[film], film, np.int32(-1))

    def film_counts(self) -> dict[str, int]:
        """Return the number of reviews of each film."""
        counts = np.bincount(self.film, minlength=len(self.films))
        return dict(zip(self.films, counts.tolist(), strict=True))

    def table(self, indices: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Read some columns of some reviews, in ascending order, one row group after the other."""
        file = pq.ParquetFile(self.path)
        parts, start = [file.schema_arrow.empty_table().select(list(columns))], 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            chosen = indices[(indices >= start) & (indices < stop)] - start
            if len(chosen):
                parts.append(file.read_row_group(group, columns=list(columns)).take(pa.array(np.sort(chosen))))
            start = stop
        return pa.concat_tables([part.select(list(columns)) for part in parts], promote_options="permissive")


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column as one array of codes and one dictionary."""
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return pa.array([], pa.string()).dictionary_encode()
    indices = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
    return pa.DictionaryArray.from_arrays(pa.array(indices), column.chunk(0).dictionary)
