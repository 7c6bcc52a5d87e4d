"""The Ray cluster: connecting to it, what it has, and how its work is divided among workers."""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by Ray when it starts. Nothing is sent to anybody, and its C++ side keeps off the terminal.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import ray
from ray.data import DataContext

from xingping.cache import CACHE_VARIABLE, cache_folder
from xingping.config import EngineSettings
from xingping.errors import SettingsError, UsageError

__all__ = ["Workers", "connect", "disconnect", "place_workers"]

PROBE_SECONDS = 10
"""How long a cluster has to answer; left alone, Ray tries for two minutes and then ends the process."""

OBJECT_STORE_BYTES = 512 * 2**20
"""Shared memory of a cluster of one's own machine: it carries texts and ratings; what exceeds it goes to disk."""

START = "start one with: ray start --head, or leave --ray-address out to use this machine alone"


@dataclass(frozen=True)
class Workers:
    """How work is divided: `count` processes, each with so many CPUs and GPUs."""

    count: int
    cpus: int
    gpus: int


def connect(engine: EngineSettings) -> None:
    """Connect this process to a cluster, or start one of this machine alone; a second call changes nothing.

    Parameters
    ----------
    engine
        `ray_address` is `host:port`, or `auto` for the cluster that this machine belongs to. Without one, the
        variable RAY_ADDRESS counts, which Ray sets for submitted jobs, and else a cluster is started here that
        ends with this process.

    Raises
    ------
    UsageError
        No cluster answers, or it runs other versions.
    SettingsError
        The address is not one of these.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # made once, it sets options that it deprecates itself
        DataContext.get_current()
    if ray.is_initialized():
        return
    address = engine.ray_address or os.environ.get("RAY_ADDRESS")
    local = address in (None, "", "local")
    if address and not local and address != "auto":
        _probe(address)
    _say_little()
    try:
        with _silence(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's own making
            ray.init(
                address="local" if local else address,
                num_cpus=_usable_cpus() if local else None,
                object_store_memory=OBJECT_STORE_BYTES if local else None,
                include_dashboard=False if local else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError, SystemExit) as error:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        if local:
            raise UsageError(f"cannot start Ray on this machine ({reason}); use --engine local") from error
        raise UsageError(f"cannot use the Ray cluster at {address} ({reason}); {START}") from error
    _say_little()


def disconnect() -> None:
    """Leave the cluster; one that `connect` started ends. Without this call, that happens when the process ends."""
    ray.shutdown()


def place_workers(engine: EngineSettings) -> Workers:
    """Divide the cluster: a worker for each GPU; where there is none, for each node; or as many as are asked for.

    Each gets an equal share of the CPUs, as large as fits where it has to run.

    Raises
    ------
    SettingsError
        More workers are asked for than there are GPUs, or CPUs.
    """
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it unannotated
    nodes = [node["Resources"] for node in known if node["Alive"]]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    places = sum(map(min, cpus, gpus)) if any(gpus) else sum(cpus)
    count = engine.workers or (places if any(gpus) else sum(map(bool, cpus)))
    if not 1 <= count <= places:
        raise SettingsError(
            f"{count} workers need as many {'GPUs, each with a CPU' if any(gpus) else 'CPUs'}, and the cluster has "
            f"{places}; lower --workers or add nodes"
        )
    share = sum(cpus) // count
    while sum(min(g, c // share) if any(gpus) else c // share for c, g in zip(cpus, gpus, strict=True)) < count:
        share -= 1
    return Workers(count, share, int(any(gpus)))


@dataclass(frozen=True)
class SharedFolders:
    """What a worker needs to know of the file system that all nodes share.

    Attributes
    ----------
    cache, working
        The cache folder and the working folder of the process that started the work.
    witness
        A file or folder that every node must see.
    """

    cache: str
    working: str
    witness: str

    @classmethod
    def here(cls, witness: Path) -> "SharedFolders":
        """Return those of this process."""
        return cls(str(cache_folder().resolve()), str(Path.cwd()), str(witness.resolve()))

    def enter(self) -> None:
        """Use them in this worker.

        Raises
        ------
        UsageError
            This node does not see the witness.
        """
        if not Path(self.witness).exists():
            raise UsageError(
                f"the node {socket.gethostname()} does not see {self.witness}; put the run directory and "
                f"{CACHE_VARIABLE} on storage that all nodes mount at the same path"
            )
        os.environ[CACHE_VARIABLE] = self.cache
        if Path(self.working).is_dir():  # so that relative paths mean the same
            os.chdir(self.working)


def _probe(address: str) -> None:
    host, separator, port = address.rpartition(":")
    if "://" in address:
        raise SettingsError(
            f"--ray-address {address}: Ray's client protocol is not supported; run the command on a node of the "
            "cluster with --ray-address auto, or hand it in with: ray job submit"
        )
    if not separator or not host or not port.isdigit():
        raise SettingsError(f"--ray-address {address}: expected auto or HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"no Ray cluster answers at {address} ({error}); {START}") from error


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what Ray's C++ side writes while it connects off the terminal, which nothing else can."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - no path of ours
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _say_little() -> None:
    """Keep Ray's log off the terminal; its files have it all."""
    for name in ("ray", "ray.data"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setLevel(logging.CRITICAL)
