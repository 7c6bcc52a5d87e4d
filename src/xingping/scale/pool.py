"""A pool of Ray Data actors that work through numbered pieces of text."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from xingping.errors import XingpingError
from xingping.scale.cluster import SharedFolders, Workers
from xingping.scale.failures import pack_error, unpack_error

__all__ = ["Job", "map_pieces"]

TRIES = 8
"""How often a piece is begun by workers that die before the work is given up: it may be what they die of."""

QUEUED = 2
"""Pieces that wait at each worker, so that none is idle between two."""


class Job(Protocol):
    """Work on one piece: loads what it needs when it first needs it, and keeps it for the pieces that follow."""

    def __call__(self, texts: list[str]) -> bytes:
        """Return the result of a piece."""


def map_pieces(
    pieces: Iterable[Sequence[str]], make_job: Callable[[], Job], workers: Workers, shared: SharedFolders
) -> Iterator[tuple[int, bytes]]:
    """Give each piece to one of the workers, and yield its number and result as they come, in any order.

    The pieces go into Ray's object store one by one, so they are never all in the memory of this process. A worker
    that dies is replaced and its piece is done again: `make_job` must make work that may be done twice.

    Raises
    ------
    XingpingError
        The work raised it, or the workers keep dying.
    """
    tables = [ray.put(pa.table({"piece": [number], "texts": [list(piece)]})) for number, piece in enumerate(pieces)]
    if not tables:
        return
    dataset = ray.data.from_arrow_refs(tables)  # type: ignore[arg-type]  # two names of one class
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    dataset.context.max_consecutive_actor_init_deaths = TRIES
    results = dataset.map_batches(
        _Worker,
        fn_constructor_args=(make_job, shared, _count_tries()),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(workers.count, len(tables)), max_tasks_in_flight_per_actor=QUEUED),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus or None,
    )
    try:
        for row in results.iter_rows():
            if row["error"]:
                raise unpack_error(row["error"])
            yield row["piece"], row["result"]
    except RayError as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise XingpingError(
            f"the Ray cluster cannot go on ({reason}). What is finished is kept: the same command goes on from there"
        ) from error


class _Tries:
    """Counts how often each piece was begun.

    Ray repeats without end; its own bound would also count every call to a worker that waits for another node.
    """

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, piece: int) -> int:
        self._begun[piece] += 1
        return self._begun[piece]


def _count_tries() -> Any:  # noqa: ANN401 - a handle that Ray makes
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # it dies with us only
    return ray.remote(num_cpus=0)(_Tries).options(scheduling_strategy=here).remote()


class _Worker:
    """One actor of the pool. What xingping raises travels back as a value, for Ray wraps what is raised."""

    def __init__(self, make_job: Callable[[], Job], shared: SharedFolders, tries: Any) -> None:  # noqa: ANN401
        self._make_job = make_job
        self._shared = shared
        self._tries = tries
        self._job: Job | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        result, error = b"", ""
        try:
            self._begin(batch["piece"][0].as_py())
            if self._job is None:
                self._shared.enter()
                self._job = self._make_job()
            result = self._job(batch["texts"][0].as_py())
        except XingpingError as raised:
            error = pack_error(raised)
        return pa.table({"piece": batch["piece"], "result": pa.array([result], pa.large_binary()), "error": [error]})

    def _begin(self, piece: int) -> None:
        tries = ray.get(self._tries.begin.remote(piece))
        if tries > TRIES:
            raise XingpingError(
                f"{TRIES} workers died over one piece of the texts; if they ran out of memory, lower --workers. What "
                "is finished is kept: the same command goes on from there"
            )
