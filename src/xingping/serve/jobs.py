"""Tables that are rated in the background, one after the other, a few texts at a time between the other requests."""

import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.batch import predict_file
from xingping.errors import InputError, UsageError
from xingping.predictor import RatingPredictor
from xingping.serve.batching import Batcher, Work
from xingping.serve.observation import log
from xingping.serve.problems import Problem
from xingping.serve.schemas import FilmMean, TableState

__all__ = ["TableJobs", "pack", "unpack"]

KINDS = (".csv", ".tsv", ".jsonl", ".json")
"""What is taken: text of a known size. What is packed can unpack to anything."""

MOST_WAITING = 8
MOST_KEPT = 32
KEPT_SECONDS = 3600.0

TOGETHER = 64
"""Texts that are rated between other requests."""


@dataclass
class _Job:
    id: str
    folder: Path
    source: Path
    state: str = "waiting"
    done: int = 0
    total: int = 0
    rows: int = 0
    unrated: int = 0
    message: str = ""
    ended: float = 0.0

    @property
    def target(self) -> Path:
        return self.folder / "rated.csv"

    @property
    def films(self) -> Path:
        return self.folder / "films.csv"


class TableJobs:
    """Rates tables on a thread of its own.

    Parameters
    ----------
    batcher
        Does the work.
    model
        Gives the predictor and the work that rates texts to rows of numbers (`unpack`), once they are loaded.
    """

    def __init__(self, batcher: Batcher, model: Callable[[], tuple[RatingPredictor, Work]]) -> None:
        self._batcher, self._model = batcher, model
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._folder = Path(tempfile.mkdtemp(prefix="xingping-tables-"))
        self._is_open = True
        self._thread = threading.Thread(target=self._serve, name="tables", daemon=True)
        self._thread.start()

    def submit(self, name: str, content: bytes) -> TableState:
        """Take a table.

        Parameters
        ----------
        name
            Of the file; its ending says what it is.
        content
            The file.

        Raises
        ------
        Problem
            415: the ending is none of `KINDS`. 503: too many tables wait.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in KINDS:
            raise Problem(
                415, "unknown_format", f"name the file {', '.join(KINDS[:-1])} or {KINDS[-1]}; unpack it first"
            )
        with self._lock:
            self._forget()
            if (
                not self._is_open
                or sum(job.state in ("waiting", "working") for job in self._jobs.values()) >= MOST_WAITING
            ):
                raise Problem(503, "queue_full", "too many tables wait; try again later", {"Retry-After": "30"})
            job_id = uuid.uuid4().hex
            folder = self._folder / job_id
            folder.mkdir()
            job = self._jobs[job_id] = _Job(job_id, folder, folder / f"table{suffix}")
        job.source.write_bytes(content)
        self._queue.put(job)
        return _state(job)

    def state(self, job_id: str) -> TableState:
        """Say how far a table is.

        Raises
        ------
        Problem
            404: there is none of that name (any more).
        """
        return _state(self._job(job_id))

    def result(self, job_id: str) -> Path:
        """Return the rated table.

        Raises
        ------
        Problem
            404: as `state`. 409: it is not done.
        """
        job = self._job(job_id)
        if job.state != "done":
            raise Problem(409, "not_done", f"the table is {job.state}")
        return job.target

    def close(self) -> None:
        """Drop what waits, and remove all files."""
        with self._lock:
            self._is_open = False
        self._queue.put(None)
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _job(self, job_id: str) -> _Job:
        with self._lock:
            self._forget()
            job = self._jobs.get(job_id)
        if job is None:
            raise Problem(404, "no_such_table", "there is no such table; results are kept for an hour")
        return job

    def _forget(self) -> None:
        """Remove what is old, and the oldest of what is too much."""
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.ended)
        now = time.monotonic()
        for job in ended:
            if now - job.ended > KEPT_SECONDS or len(self._jobs) > MOST_KEPT:
                shutil.rmtree(job.folder, ignore_errors=True)
                del self._jobs[job.id]

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None and self._is_open:
            job.state = "working"
            try:
                self._rate(job)
                job.state = "done"
            except UsageError as error:
                job.state, job.message = "failed", str(error).replace(str(job.source), "the table")
            except _ClosingError:
                job.state, job.message = "failed", "the server was closed"
            except Exception as error:
                job.state, job.message = "failed", "the server failed on this table"
                log("table_failed", table=job.id, error=type(error).__name__)
            job.source.unlink(missing_ok=True)
            job.ended = time.monotonic()

    def _rate(self, job: _Job) -> None:
        predictor, work = self._model()

        def rate(texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Ratings:  # noqa: ARG001
            rows: list[NDArray[np.float64]] = []
            for start in range(0, len(texts), TOGETHER):
                if not self._is_open:
                    raise _ClosingError
                rows += self._batcher.run(work, texts[start : start + TOGETHER])
            return unpack(rows, classes=predictor.task != "regression")

        arguments = (predictor, job.source, job.target)
        try:
            summary = predict_file(*arguments, films=job.films, rate=rate, progress=_JobProgress(job))
        except InputError as error:
            if "--movie-column" not in str(error):
                raise
            summary = predict_file(*arguments, rate=rate, progress=_JobProgress(job))
        job.rows, job.unrated = summary.rows, summary.unrated


class _ClosingError(Exception):
    """The server is closing."""


class _JobProgress:
    """Notes in a job how far it is."""

    def __init__(self, job: _Job) -> None:
        self._job = job

    def say(self, line: str) -> None:
        """Say nothing."""

    @contextmanager
    def bar(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - one signature
        """Count what is done."""
        self._job.done, self._job.total = 0, total

        def advance(done: int) -> None:
            self._job.done = min(total, self._job.done + done)

        yield advance


def pack(ratings: Ratings) -> list[NDArray[np.float64]]:
    """Return ratings as a row of numbers each, (12,), or (2,) without probabilities."""
    columns = [ratings.rating[:, None].astype(np.float64), ratings.expected[:, None]]
    if ratings.probabilities is not None and ratings.sets is not None:
        columns += [ratings.probabilities, ratings.sets.astype(np.float64)]
    return list(np.hstack(columns))


def unpack(packed: Sequence[NDArray[np.float64]], *, classes: bool) -> Ratings:
    """Return the ratings of rows of numbers."""
    rows = np.array(packed).reshape(len(packed), 12 if classes else 2)
    rating, expected = rows[:, 0].astype(np.int64), rows[:, 1]
    return Ratings(rating, expected, rows[:, 2:7], rows[:, 7:] > 0) if classes else Ratings(rating, expected, None)


def _state(job: _Job) -> TableState:
    films: list[FilmMean] | None = None
    if job.state == "done" and job.films.is_file():
        films = [FilmMean.model_validate(row) for row in pyarrow.csv.read_csv(job.films).to_pylist()]
    return TableState(
        id=job.id, state=job.state, done=job.done, total=job.total, rows=job.rows, unrated=job.unrated,
        message=job.message or None, films=films,
    )  # fmt: skip
