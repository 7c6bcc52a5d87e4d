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
from xingping.errors import RunDirectoryError

__all__ = ["TASKS", "FilmReviews", "Projection", "RunData", "Suspect"]

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
    texts
        (n,) what they say.
    """

    trained: NDArray[np.float64]
    frozen: NDArray[np.float64]
    ratings: NDArray[np.int64]
    film: NDArray[np.object_]
    is_test: NDArray[np.bool_]
    texts: NDArray[np.object_]

    @classmethod
    def read(cls, path: Path, reviews: Path) -> "Projection":
        """Read `projection.parquet`, and the texts of its reviews from `reviews.parquet`."""
        table = _read_table(path)
        rows = table["row"].to_pylist()
        texts = _read_texts(reviews, rows)
        x, y, frozen_x, frozen_y = (table[name].to_numpy() for name in ("x", "y", "frozen_x", "frozen_y"))
        return cls(
            np.stack([x, y], axis=1).astype(np.float64),
            np.stack([frozen_x, frozen_y], axis=1).astype(np.float64),
            table["rating"].to_numpy().astype(np.int64),
            np.asarray(table["film"].to_pylist(), dtype=object),
            np.asarray(table["split"].to_pylist()) == "test",
            np.asarray([texts[row] for row in rows], dtype=object),
        )

    def take(self, where: NDArray[np.bool_]) -> "Projection":
        """Return some of the points."""
        return Projection(
            self.trained[where],
            self.frozen[where],
            self.ratings[where],
            self.film[where],
            self.is_test[where],
            self.texts[where],
        )


@dataclass(frozen=True)
class FilmReviews:
    """All kept reviews of one film, whatever their split."""

    words: list[list[str]]
    ratings: list[int]


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
            Projection.read(run.file("projection.parquet"), run.file("reviews.parquet")),
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
        by_row = _read_texts(self.path / "reviews.parquet", rows)
        task = next(task for task in self.tasks if "nll" in self.metrics["test"][task])
        columns = (table[name].to_pylist() for name in ("film", "rating", f"{task}_expected"))
        return [Suspect(by_row[row], *values) for row, *values in zip(rows, *columns, strict=True)]

    def film_reviews(self, film: str) -> FilmReviews:
        """Read the words and stars of one film's reviews."""
        table = _read_table(self.path / "reviews.parquet", columns=["words", "rating"], filters=[("film", "=", film)])
        return FilmReviews(table["words"].to_pylist(), table["rating"].to_pylist())


def _read_texts(path: Path, rows: list[int]) -> dict[int, str]:
    """Read the texts of some reviews, by the numbers of their rows."""
    table = _read_table(path, columns=["row", "text"], filters=[("row", "in", rows)])
    return dict(zip(table["row"].to_pylist(), table["text"].to_pylist(), strict=True))


def _read_table(path: Path, columns: list[str] | None = None, filters: list[Any] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, filters=filters)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunDirectoryError(f"cannot read {path} ({error}); run the stage that makes it again") from error
