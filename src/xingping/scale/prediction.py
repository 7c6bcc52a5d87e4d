"""Rating a whole table on a Ray cluster."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.batch import FileSummary, predict_file
from xingping.config import ColumnSettings, EngineSettings, Task
from xingping.predictor import CHUNK_TEXTS, RatingPredictor
from xingping.progress import Progress
from xingping.scale.cluster import SharedFolders, connect, place_workers
from xingping.scale.pool import map_pieces

__all__ = ["predict_on_ray"]


def predict_on_ray(
    run: Path,
    source: Path,
    target: Path,
    columns: ColumnSettings | None = None,
    *,
    films: Path | None = None,
    task: Task | None = None,
    engine: EngineSettings,
    progress: Progress | None = None,
) -> FileSummary:
    """Rate every row of a table, as `xingping.batch.predict_file` does, with the texts rated by a cluster.

    This process reads the table and writes the result, which is the same as on one machine; the nodes need to see
    the model, not the table.

    Parameters
    ----------
    run
        A model bundle or a run directory, where all nodes see it.
    source, target, columns, films
        As `predict_file` takes them.
    task
        Which model of a run directory; by default classification where there is one.
    engine
        Which cluster.
    progress
        Who watches.

    Raises
    ------
    UsageError
        What `predict_file` and `RatingPredictor.load` raise, or the cluster cannot be used.
    """
    predictor = RatingPredictor.load(run, task=task)
    rate = partial(_rate, predictor, run.resolve(), task, engine)
    return predict_file(predictor, source, target, columns, films=films, rate=rate, progress=progress)


def _rate(
    predictor: RatingPredictor,
    run: Path,
    task: Task | None,
    engine: EngineSettings,
    texts: Sequence[str],
    *,
    progress: Callable[[int], None] | None = None,
) -> Ratings:
    """Rate texts as `RatingPredictor.predict` does; the pieces are those that it makes, so the digits are the same."""
    cleaned = predictor.clean(texts)
    distinct = list(dict.fromkeys(cleaned))
    if not distinct:
        return predictor.predict([])
    connect(engine)
    pieces = (distinct[start : start + CHUNK_TEXTS] for start in range(0, len(distinct), CHUNK_TEXTS))
    answers = map_pieces(pieces, partial(_RateTexts, run, task), place_workers(engine), SharedFolders.here(run))
    parts: dict[int, Ratings] = {}
    for number, answer in answers:
        parts[number] = _unpacked(answer, classes=predictor.task != "regression")
        if progress:
            progress(len(parts[number]))
    place = {text: index for index, text in enumerate(distinct)}
    return Ratings.join([parts[number] for number in sorted(parts)]).take([place[text] for text in cleaned])


class _RateTexts:
    """The job of a worker: a model and its encoder, loaded once."""

    def __init__(self, run: Path, task: Task | None) -> None:
        self._predictor = RatingPredictor.load(run, task=task)

    def __call__(self, texts: list[str]) -> bytes:
        ratings = self._predictor.predict(texts)
        columns = [ratings.rating[:, None].astype(np.float64), ratings.expected[:, None]]
        if ratings.probabilities is not None and ratings.sets is not None:
            columns += [ratings.probabilities, ratings.sets.astype(np.float64)]
        return np.hstack(columns).tobytes()


def _unpacked(answer: bytes, *, classes: bool) -> Ratings:
    table: NDArray[np.float64] = np.frombuffer(answer, dtype=np.float64).reshape(-1, 12 if classes else 2)
    rating, expected = table[:, 0].astype(np.int64), table[:, 1]
    return Ratings(rating, expected, table[:, 2:7], table[:, 7:] > 0) if classes else Ratings(rating, expected, None)
