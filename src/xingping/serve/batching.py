"""Requests that wait are rated together: one thread works for all of them.

While it works, requests gather; when it is free, it takes as many as fit its budget, of one kind of work, in the order
they came. So a lone request never waits for others, and many at once share the cost of a batch (adaptive batching, as
in Clipper: Crankshaw et al. 2017, arXiv 1612.03079). What may wait is bounded, so that a flood is turned away at once
in place of being answered too late.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from xingping.serve.problems import Problem

__all__ = ["Batcher", "Work"]

logger = logging.getLogger(__name__)

TEXT_TOKENS = 2
"""Tokens that every text costs beside its characters."""

FORGET = 0.9
"""How much of the measured speed is kept at each batch."""

LONGEST_WAIT = 60
"""Most seconds after which a client is told to try again."""


@dataclass(frozen=True, eq=False)
class Work:
    """A kind of work.

    Attributes
    ----------
    name
        For metrics.
    run
        From texts to as many answers.
    cost
        About how many tokens a text costs: in rating one a character, as Chinese has.
    """

    name: str
    run: Callable[[Sequence[str]], Sequence[Any]]
    cost: Callable[[str], int] = len

    def tokens(self, texts: Sequence[str]) -> int:
        """Return about how many tokens texts cost."""
        return sum(self.cost(text) + TEXT_TOKENS for text in texts)


@dataclass
class _Job:
    work: Work
    texts: Sequence[str]
    tokens: int
    deadline: float
    future: "Future[Sequence[Any]]" = field(default_factory=Future)


class Batcher:
    """Does the work of all requests on one thread.

    Parameters
    ----------
    budget
        Tokens that are worked on together; 0 takes each request alone.
    capacity
        Tokens that may wait.
    on_batch
        Called with the kind of work, the texts and the seconds of each batch.
    """

    def __init__(
        self, *, budget: int, capacity: int, on_batch: Callable[[str, int, float], None] | None = None
    ) -> None:
        self._budget, self._capacity = budget, capacity
        self._on_batch = on_batch or (lambda _work, _texts, _seconds: None)
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._speed = 0.0  # tokens a second
        self._changed = threading.Condition()
        self._is_open = True
        self._thread = threading.Thread(target=self._serve, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Tokens that wait."""
        return self._waiting

    async def submit(self, work: Work, texts: Sequence[str], *, seconds: float) -> Sequence[Any]:
        """Return the answers of some work.

        Parameters
        ----------
        work
            Of which kind.
        texts
            What it is done on.
        seconds
            How long to wait for it.

        Raises
        ------
        Problem
            503: too much waits already, the time is up, or the server is closing.
        """
        job = _Job(work, texts, work.tokens(texts), time.monotonic() + seconds)
        with self._changed:
            if not self._is_open:
                raise Problem(503, "closing", "the server is closing; try another", {"Retry-After": "1"})
            # What is larger than the whole queue may go in where nothing else waits: it is within the limits.
            if self._waiting and self._waiting + job.tokens > self._capacity:
                raise Problem(
                    503, "queue_full", "too many requests wait; try again later", {"Retry-After": self._retry_after()}
                )
            self._jobs.append(job)
            self._waiting += job.tokens
            self._changed.notify()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job.future), seconds)
        except TimeoutError:
            raise Problem(
                503, "deadline", f"no answer within {seconds:g} s; send fewer texts, or try again later",
                {"Retry-After": self._retry_after()},
            ) from None  # fmt: skip

    def run(self, work: Work, texts: Sequence[str]) -> Sequence[Any]:
        """Return the answers of some work that is not urgent, on a thread that may wait; it is taken in any case."""
        job = _Job(work, texts, work.tokens(texts), float("inf"))
        with self._changed:
            if not self._is_open:
                raise Problem(503, "closing", "the server is closing")
            self._jobs.append(job)
            self._waiting += job.tokens
            self._changed.notify()
        return job.future.result()

    def close(self) -> None:
        """Finish what was accepted, and take nothing more."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()

    def _retry_after(self) -> str:
        seconds = self._waiting / self._speed if self._speed else 1
        return str(max(1, min(LONGEST_WAIT, round(seconds))))

    def _serve(self) -> None:
        while jobs := self._take():
            # A job whose client has gone or waited too long is cancelled already.
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if wanted:
                self._run(wanted)

    def _take(self) -> list[_Job]:
        """Wait for jobs, and take the first and those of its kind that fit beside it; none at the end."""
        with self._changed:
            while not self._jobs and self._is_open:
                self._changed.wait()
            if not self._jobs:
                return []
            taken = [self._jobs.popleft()]
            tokens = taken[0].tokens
            left: deque[_Job] = deque()
            while self._jobs and tokens < self._budget:
                job = self._jobs.popleft()
                if job.work is taken[0].work and tokens + job.tokens <= self._budget:
                    taken.append(job)
                    tokens += job.tokens
                else:
                    left.append(job)
            self._jobs.extendleft(reversed(left))
            self._waiting -= tokens
            return taken

    def _run(self, jobs: Sequence[_Job]) -> None:
        work, start = jobs[0].work, time.perf_counter()
        texts = [text for job in jobs for text in job.texts]
        try:
            answers = work.run(texts)
        except Exception as error:
            logger.exception("%s failed on a batch of %d texts", work.name, len(texts))
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:  # one of them may be to blame: each again, alone
                for job in jobs:
                    self._run([job])
            return
        seconds = time.perf_counter() - start
        speed = sum(job.tokens for job in jobs) / max(seconds, 1e-6)
        self._speed = FORGET * self._speed + (1 - FORGET) * speed if self._speed else speed
        self._on_batch(work.name, len(texts), seconds)
        at = 0
        for job in jobs:
            job.future.set_result(answers[at : at + len(job.texts)])
            at += len(job.texts)
