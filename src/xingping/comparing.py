"""Runs side by side: the measures of each on the test reviews that all rated, and what differs beyond chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.artifacts import RunDirectory
from xingping.config import Task
from xingping.errors import InputError, RunDirectoryError
from xingping.intervals import Bootstrap, review_values

__all__ = ["compare_runs"]

Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class _Rated:
    """What one run said of its test reviews."""

    name: str
    data: str
    rows: NDArray[np.int64]
    table: pa.Table

    @classmethod
    def read(cls, path: Path) -> "_Rated":
        record = RunDirectory.open(path, needs="evaluate").record
        file = path / "predictions.parquet"
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise RunDirectoryError(f"cannot read {file} ({error}); evaluate the run again") from error
        return cls(str(path), record["data"]["sha256"], table["row"].to_numpy(), table)

    def at(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return some of the reviews, by the numbers of their rows."""
        order = np.argsort(self.rows)
        return self.table.take(pa.array(order[np.searchsorted(self.rows, rows, sorter=order)]))

    def values(self, task: Task, rows: NDArray[np.int64]) -> Values | None:
        """Return what each of some reviews adds to each measure; None where the run has no such model."""
        names = self.table.column_names
        if f"{task}_expected" not in names:
            return None
        shared = self.at(rows)
        true = shared["rating"].to_numpy().astype(np.int64)
        if task == "regression":
            return review_values(true, expected=shared["regression_expected"].to_numpy())
        # The first of the models with probabilities has the short names.
        prefix = f"{task}_p" if f"{task}_p1" in names else "p"
        columns = [shared[f"{prefix}{star}"].to_numpy() for star in range(1, 6)]
        return review_values(true, probabilities=np.column_stack(columns))


def compare_runs(paths: Sequence[Path], *, task: Task | None = None, seed: int = 0) -> dict[str, Any]:
    """Compare runs on the same data by the models of one task.

    Parameters
    ----------
    paths
        Two run directories or more; differences are to the first.
    task
        By default the first that all runs have.
    seed
        Of the bootstrap.

    Returns
    -------
    dict
        `task`; `n`, the test reviews that all runs share; `films`, of how many films; `runs`: `{path: {measure:
        {"value", "low", "high"}}}`; `differences`: the same of each but the first, less the first, with intervals by
        `reviews` and, of two films or more, by `films`.

    Raises
    ------
    InputError
        Fewer than two runs, other data, no shared test review, or no task in common.
    RunDirectoryError
        One is not evaluated.
    """
    runs = [_Rated.read(path) for path in dict.fromkeys(paths)]
    if len(runs) < 2:
        raise InputError("give two run directories or more to compare")
    first, rows = runs[0], _shared_rows(runs)
    task, values = _shared_values(runs, rows, task)
    film = _encoded(first.at(rows)["film"])
    films = len(np.unique(film))
    draws = {"reviews": Bootstrap(values, seed=seed)}
    if films > 1:
        draws["films"] = Bootstrap(values, groups=film, seed=seed)
    return {
        "task": task,
        "n": len(rows),
        "films": films,
        "runs": {run.name: draws["reviews"].interval(run.name) for run in runs},
        "differences": {
            unit: {run.name: drawn.difference(run.name, first.name) for run in runs[1:]}
            for unit, drawn in draws.items()
        },
    }


def _shared_rows(runs: Sequence[_Rated]) -> NDArray[np.int64]:
    """Return the numbers of the rows that all runs rated."""
    first, *others = runs
    rows = first.rows
    for run in others:
        if run.data != first.data:
            raise InputError(f"{run.name} is on other data than {first.name}; compare runs of one file")
        rows = np.intersect1d(rows, run.rows)
    if not len(rows):
        raise InputError("the runs share no test review; give them the same --seed and --split")
    return rows


def _shared_values(
    runs: Sequence[_Rated], rows: NDArray[np.int64], task: Task | None
) -> tuple[Task, dict[str, Values]]:
    """Return the task to compare by, and what each review adds to each measure of each run."""
    tasks: tuple[Task, ...] = (task,) if task else ("classification", "ordinal", "regression")
    for each in tasks:
        values = {run.name: found for run in runs if (found := run.values(each, rows)) is not None}
        if len(values) == len(runs):
            return each, values
    wanted = f"a model for {task}" if task else "a task in common"
    raise InputError(f"not all of the runs have {wanted}; see --tasks of xingping run")


def _encoded(names: pa.ChunkedArray) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = names.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return codes
