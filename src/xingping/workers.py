"""Workers: processes that do one thing after another, and are gone when the process that wants it is.

They are plain children that take work from their standard input and end with it, so none outlives a parent that is
killed; and they import nothing but what their work needs, so they start fast beside a parent that has loaded torch.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

from xingping.errors import XingpingError

__all__ = ["Workers", "cores"]

T = TypeVar("T")


def cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """A few worker processes, or this process alone.

    Parameters
    ----------
    count
        How many; with 0 or 1 the work is done here when its result is asked for.
    """

    def __init__(self, count: int) -> None:
        self.count = max(count, 1)
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.count > 1:
            self._threads = ThreadPoolExecutor(self.count)
            # With the same search path, whatever has been done to it; `-c` would put the current folder first.
            code = f"import sys; sys.path[:] = {sys.path!r}; from xingping.workers import serve; serve()"
            for _ in range(self.count):
                process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for the parent, which then ends them
                )
                self._processes.append(process)
                self._idle.put(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what was not sent when the process ended
                        pipe.close()

    @property
    def processes(self) -> list[int]:
        """The ids of the worker processes."""
        return [process.pid for process in self._processes]

    def call(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - whatever the function takes
        """Have a function of a module called by a worker.

        Raises
        ------
        XingpingError
            The worker was killed.
        """
        if self._threads is None:
            return function(*arguments)
        return self._threads.submit(self._call, function, arguments).result()

    def map(self, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """Have a function of a module called for each tuple of arguments; give the results in order.

        Arguments are taken only a few ahead of the results, so both may be many and large.
        """
        if self._threads is None:
            for some in arguments:
                yield function(*some)
            return
        pending: deque[Future[T]] = deque()
        for some in arguments:
            pending.append(self._threads.submit(self._call, function, some))
            if len(pending) >= 2 * self.count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _call(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        process = self._idle.get()
        try:
            requests, replies = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
            pickle.dump((function, arguments), requests)
            requests.flush()
            done, result = pickle.load(replies)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            process.kill()
            raise XingpingError(
                f"a worker process ended with code {process.wait()}, perhaps for lack of memory; run it again"
            ) from error
        finally:
            self._idle.put(process)
        if not done:
            raise result
        return result  # type: ignore[no-any-return]  # what the function returned


def serve() -> None:
    """Do the work of a worker process until its input ends."""
    import pyarrow as pa

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)  # each worker is for one core
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    while True:
        try:
            function, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            reply = pickle.dumps((True, function(*arguments)))
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            reply = _pickled(error)
        try:
            replies.write(reply)
            replies.flush()
        except BrokenPipeError:
            os._exit(1)


def _pickled(error: Exception) -> bytes:
    try:
        data = pickle.dumps((False, error))
        pickle.loads(data)
    except Exception:
        data = pickle.dumps((False, RuntimeError("".join(traceback.format_exception(error)))))
    return data
