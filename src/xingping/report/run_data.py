"""The artefacts of a run that the report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.artifacts import RunDirectory, read_json
from xingping.errors import InputError, RunDirectoryError
from xingping.film_study import FilmReviews

__all__ = ["TASKS", "FilmReviews", "Projection", "RunData", "Suspect", "load_film"]

TASKS = ("classification", "ordinal", "regression")


@dataclass(frozen=True)
class Projection:
    """Reviews as points of two maps, n of them.

    Attributes
    ----------
    trained, frozen
        (n, 2) places by the trained head's vectors, and by the encoder's mean.
    ratings
        (n,) true stars.
    film
        (n,) names.
    is_test
        (n,) whether a review is in the test split.
    """

    trained: NDArray[np.float64]
    frozen: NDArray[np.float64]
    ratings: NDArray[np.int64]
    film: NDArray[np.object_]
    is_test: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path) -> "Projection":
        """Read `projection.parquet`."""
        table = _read_table(path)
        x, y, frozen_x, frozen_y = (table[name].to_numpy() for name in ("x", "y", "frozen_x", "frozen_y"))
        return cls(
            np.stack([x, y], axis=1).astype(np.float64),
            np.stack([frozen_x, frozen_y], axis=1).astype(np.float64),
            table["rating"].to_numpy().astype(np.int64),
            np.asarray(table["film"].to_pylist(), dtype=object),
            np.asarray(table["split"].to_pylist()) == "test",
        )

    def take(self, where: NDArray[np.bool_]) -> "Projection":
        """Return some of the points."""
        return Projection(
            self.trained[where],
            self.frozen[where],
            self.ratings[where],
            self.film[where],
            self.is_test[where],
        )


@dataclass(frozen=True)
class Suspect:
    """A test review whose star its text contradicts, and the rating that the model expects."""

    text: str
    film: str
    rating: int
    expected: float


@dataclass(frozen=True)
class RunData:
    """What a run left on disk, read.

    Attributes
    ----------
    path
        The run directory.
    record, summary, metrics, explanations
        `run.json`, `data_summary.json`, `metrics.json`, `explanations.json`.
    histories
        `history.json` by task.
    projection
        `projection.parquet`.
    """

    path: Path
    record: Mapping[str, Any]
    summary: Mapping[str, Any]
    metrics: Mapping[str, Any]
    explanations: Mapping[str, Any]
    histories: Mapping[str, Mapping[str, Any]]
    projection: Projection

    @classmethod
    def read(cls, path: Path) -> "RunData":
        """Read the artefacts of an evaluated run.

        Raises
        ------
        RunDirectoryError
            The folder is no run directory, or an artefact is missing.
        """
        run = RunDirectory.open(path, needs="evaluate")
        metrics = read_json(run.file("metrics.json"))
        return cls(
            path,
            run.record,
            read_json(run.file("data_summary.json")),
            metrics,
            read_json(run.file("explanations.json")),
            {task: read_json(run.file(f"models/{task}/history.json")) for task in TASKS if task in metrics["test"]},
            Projection.read(run.file("projection.parquet")),
        )

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks that were evaluated, those with probabilities first."""
        return [task for task in TASKS if task in self.metrics["test"]]

    def suspects(self, most: int) -> list[Suspect]:
        """Read the test reviews with the most suspect stars, the worst first."""
        path = self.path / "predictions.parquet"
        table = _read_table(path, filters=[("suspect_rank", "<=", most)]) if self.metrics["suspect_labels"] else None
        if table is None or not table.num_rows:
            return []
        table = table.sort_by("suspect_rank")
        rows = table["row"].to_pylist()
        texts = _read_table(self.path / "reviews.parquet", columns=["row", "text"], filters=[("row", "in", rows)])
        by_row = dict(zip(texts["row"].to_pylist(), texts["text"].to_pylist(), strict=True))
        task = next(task for task in self.tasks if "nll" in self.metrics["test"][task])
        columns = (table[name].to_pylist() for name in ("film", "rating", f"{task}_expected"))
        return [Suspect(by_row[row], *values) for row, *values in zip(rows, *columns, strict=True)]

    def film_reviews(self, film: str) -> FilmReviews:
        """Read all kept reviews of one film, whatever their split (`load_film`)."""
        return load_film(self.path, film)


def load_film(path: Path, film: str) -> FilmReviews:
    """Read all kept reviews of one film, whatever their split, with the model's rating of those it was tested on.

    Parameters
    ----------
    path
        The run directory; before it is evaluated there are no ratings of a model.
    film
        Its name, which is only ever compared with names in the data.

    Returns
    -------
    FilmReviews
        In the order of the data. `expected` is of the first task that was evaluated, and honest throughout:
        of test reviews only.

    Raises
    ------
    InputError
        No review is of this film; the empty name is that of no film.
    RunDirectoryError
        The reviews cannot be read.
    """
    columns = ["row", "text", "words", "rating", "date", "likes"]
    table = _read_table(path / "reviews.parquet", columns, _of_film(film)).sort_by("row") if _can_be(film) else None
    if table is None or not table.num_rows:
        raise InputError(f"{path} has no review of the film {film!r}; data_summary.json lists its films")
    rows = table["row"].to_numpy().astype(np.int64)
    return FilmReviews(
        film=film,
        texts=table["text"].to_pylist(),
        words=_shared_lists(table["words"]),
        ratings=table["rating"].to_numpy().astype(np.int64),
        expected=_expected(path / "predictions.parquet", film, rows),
        rows=rows,
        dates=table["date"].to_pylist(),
        likes=table["likes"].to_pylist(),
    )


def _of_film(film: str) -> list[Any]:
    return [("film", "=", film)]


def _can_be(film: str) -> bool:
    """Say whether a name can be in the data: not the empty one, nor one that is no UTF-8."""
    try:
        return bool(film.encode())
    except UnicodeEncodeError:
        return False


def _expected(path: Path, film: str, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Read the expected ratings of a film's reviews, (n,), NaN where there is none; None before evaluation."""
    if not path.exists():
        return None
    known = pq.read_schema(path).names
    name = next((f"{task}_expected" for task in TASKS if f"{task}_expected" in known), None)
    if name is None:
        return None
    table = _read_table(path, ["row", name], _of_film(film))
    expected = np.full(len(rows), np.nan)
    _, places, found = np.intersect1d(rows, table["row"].to_numpy(), return_indices=True)
    expected[places] = table[name].to_numpy().astype(np.float64)[found]
    return expected


def _shared_lists(column: pa.ChunkedArray) -> list[list[str]]:
    """Return lists of words that share one object a distinct word: a tenth of the memory of `to_pylist`."""
    lists = column.combine_chunks()
    encoded = lists.flatten().dictionary_encode()
    distinct = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)[:-1]
    words = distinct[encoded.indices.to_numpy(zero_copy_only=False)].tolist()
    ends = np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False)).tolist()
    return [words[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _read_table(path: Path, columns: list[str] | None = None, filters: list[Any] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, filters=filters)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunDirectoryError(f"cannot read {path} ({error}); run the stage that makes it again") from error
