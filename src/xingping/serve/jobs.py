"""Tables that are rated in the background, one after the other, a few texts at a time between the other requests."""

import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.batch import predict_file
from xingping.config import Language
from xingping.errors import InputError, UsageError
from xingping.language import speaking
from xingping.serve.batching import Batcher
from xingping.serve.model import LoadedModel
from xingping.serve.observation import log
from xingping.serve.packing import unpack
from xingping.serve.problems import Problem
from xingping.serve.schemas import FilmMean, State, StudyState, TableState
from xingping.unrated import read_film, write_film

__all__ = ["KIND_PATTERN", "TableJobs"]

KIND_PATTERN = r"\.([Cc][Ss][Vv]|[Tt][Ss][Vv]|[Jj][Ss][Oo][Nn][Ll]?)$"
"""How the name of a table ends: what is taken is text of a known size."""

PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"PAR1")
"""How files begin that can unpack to anything, whatever their names say."""

MOST_WAITING = 8
MOST_KEPT = 32
KEPT_SECONDS = 3600.0

TOGETHER = 64
"""Texts that are rated between other requests."""

STUDIED_ROWS, STUDIED_REVIEWS = 200_000, 50_000
"""Rows of a table, and reviews of a film, of which a case study is made; more take a process of their own."""

SHOWN_NAME = 80
"""Characters of a file's name that a case study shows."""

MOST_FILMS = 500
"""Films of a table that are told of, the most reviewed first."""

CLOSING_SECONDS = 10.0
"""How long a case study that is being made is waited for at the end."""


@dataclass
class _Job:
    id: str
    folder: Path
    source: Path
    name: str
    language: Language
    study_state: StudyState
    state: State = "waiting"
    study_message: str = ""
    film: str = ""
    expected: dict[str, float] = field(default_factory=dict)
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
        return self.folder / "films.parquet"

    @property
    def page(self) -> Path:
        return self.folder / "study" / "index.html"


class TableJobs:
    """Rates tables on a thread of its own.

    Parameters
    ----------
    batcher
        Does the work.
    model
        Gives the model, once it is loaded.
    most_characters
        Of a longer text only the beginning is rated.
    """

    def __init__(self, batcher: Batcher, model: Callable[[], LoadedModel], *, most_characters: int) -> None:
        self._batcher, self._model, self._most_characters = batcher, model, most_characters
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._folder = Path()
        self._is_open = False
        self._thread = threading.Thread(target=self._serve, name="tables", daemon=True)

    def start(self) -> None:
        """Begin to take tables."""
        self._folder = Path(tempfile.mkdtemp(prefix="xingping-tables-"))
        self._is_open = True
        self._thread.start()

    def submit(self, name: str, content: bytes, *, study: bool = False, language: Language = "en") -> TableState:
        """Take a table.

        Parameters
        ----------
        name
            Of the file; its ending says what it is.
        content
            The file.
        study
            Whether to make a case study, too.
        language
            Of that.

        Raises
        ------
        Problem
            415: the ending is not one of `KIND_PATTERN`, or the file is packed. 503: too many tables wait.
        """
        ending = re.search(KIND_PATTERN, name)
        if ending is None or name.endswith("\n"):
            raise Problem(415, "unknown_format", "name the file .csv, .tsv, .jsonl or .json; unpack it first")
        if content.startswith(PACKED):
            raise Problem(415, "unknown_format", "the file is packed, whatever its name says; unpack it first")
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
            source = folder / f"table.{ending[1].lower()}"
            shown = re.split(r"[/\\]", name)[-1][-SHOWN_NAME:]
            job = self._jobs[job_id] = _Job(job_id, folder, source, shown, language, "waiting" if study else "none")
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

    def study(self, job_id: str) -> Path:
        """Return the case study of a table.

        Raises
        ------
        Problem
            404: as `state`. 409: there is none, or not yet.
        """
        job = self._job(job_id)
        if job.study_state != "done":
            why = "none is made of this table" if job.study_state == "none" else f"it is {job.study_state}"
            raise Problem(409, "not_done", f"there is no case study: {why}")
        return job.page

    def close(self) -> None:
        """Drop what waits, and remove all files; it must have been started."""
        with self._lock:
            self._is_open = False
        self._queue.put(None)
        self._thread.join(CLOSING_SECONDS)
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
            failure = self._attempt(job, self._rate)
            if failure:
                job.message, job.study_state, job.state = failure, "none", "failed"
            elif job.study_state == "none":
                job.state = "done"
            else:
                job.study_state, job.state = "working", "done"  # in this order: who sees it done sees that more comes
                job.study_message = self._attempt(job, self._study)
                job.study_state = "failed" if job.study_message else "done"
            job.source.unlink(missing_ok=True)
            job.expected.clear()
            job.ended = time.monotonic()

    def _attempt(self, job: _Job, work: Callable[[_Job], None]) -> str:
        """Do something with a table, and return why that failed, or ""."""
        try:
            work(job)
        except UsageError as error:
            return str(error).replace(str(job.source), "the table").replace(str(job.folder), "the server's folder")
        except _ClosingError:
            return "the server was closed"
        except Exception as error:
            log("table_failed", table=job.id, what=work.__name__.strip("_"), error=type(error).__name__)
            return "the server failed on this table"
        return ""

    def _rate(self, job: _Job) -> None:
        model = self._model()
        predictor = model.predictor

        def rate(texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Ratings:
            rows: list[NDArray[np.float64]] = []
            for start in range(0, len(texts), TOGETHER):
                if not self._is_open:
                    raise _ClosingError
                chunk = [text[: self._most_characters] for text in texts[start : start + TOGETHER]]
                rows += self._batcher.run(model.table, chunk)
                if progress is not None:
                    progress(len(chunk))
            ratings = unpack(rows, classes=predictor.task != "regression")
            if len(job.expected) <= STUDIED_ROWS:
                job.expected |= zip(predictor.clean(texts), ratings.expected.tolist(), strict=True)
            return ratings

        arguments = (predictor, job.source, job.target)
        try:
            summary = predict_file(*arguments, films=job.films, rate=rate, progress=_JobProgress(job))
        except InputError as error:
            if "--movie-column" not in str(error):
                raise
            summary = predict_file(*arguments, rate=rate, progress=_JobProgress(job))
        job.rows, job.unrated = summary.rows, summary.unrated

    def _study(self, job: _Job) -> None:
        if job.rows > STUDIED_ROWS:
            raise InputError(
                f"a case study is made of tables of up to {STUDIED_ROWS:,} rows; for more: xingping report --reviews"
            )
        model = self._model()
        film = read_film(job.source, model.predictor, name=job.name, most=STUDIED_REVIEWS)
        longest = max(map(len, film.texts))
        if longest > self._most_characters:
            raise InputError(
                f"a case study takes reviews of up to {self._most_characters:,} characters; one has {longest:,}"
            )
        expected = np.array([job.expected[text] for text in film.texts])
        with speaking(job.language):
            write_film(job.page, model.predictor, film, expected, source=job.name, versions=model.versions)
        job.film = film.film


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


def _state(job: _Job) -> TableState:
    films: list[FilmMean] | None = None
    if job.state == "done" and job.films.is_file():
        films = [FilmMean.model_validate(row) for row in pq.read_table(job.films).slice(0, MOST_FILMS).to_pylist()]
    return TableState(
        id=job.id, state=job.state, done=job.done, total=job.total, rows=job.rows, unrated=job.unrated,
        message=job.message or None, films=films, study=job.study_state, study_message=job.study_message or None,
        film=job.film or None,
    )  # fmt: skip
