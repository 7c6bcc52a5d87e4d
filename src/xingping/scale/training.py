"""Training a head on a Ray cluster: the same loop in each worker, on its slice of every batch."""

import shutil
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from safetensors.torch import load_file, save_file

from xingping.artifacts import atomic_path, read_json, write_json
from xingping.config import EngineSettings, HeadSettings, Task, TrainingSettings
from xingping.errors import XingpingError
from xingping.features import FeatureStore
from xingping.heads import RatingHead
from xingping.prepared import PreparedReviews
from xingping.scale.cluster import SharedFolders, connect, place_workers
from xingping.scale.failures import pack_error, unpack_error
from xingping.training import Epoch, LabelledFeatures, TrainedHead, train_head

__all__ = ["stored_splits", "train_on_ray"]

FAILURES = 4
"""How often the workers start again from their checkpoint after one of them was lost."""

REPORT_SECONDS = 0.5

WORKERS = "workers"
"""Folder of what Ray Train notes."""

ERROR = "error.json"
"""Why a worker could not begin."""

Splits: TypeAlias = Callable[[], tuple[LabelledFeatures, LabelledFeatures]]


def stored_splits(
    reviews: Path, store: FeatureStore, n_layers: int = 1, *, film_effects: bool = False
) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Return the train and the valid split of prepared reviews, with their stored features.

    With `functools.partial` it becomes what `train_on_ray` calls in each worker.

    Parameters
    ----------
    reviews
        `reviews.parquet` of a run.
    store
        Holds the features of all its texts.
    n_layers
        Layers that a vector holds side by side.
    film_effects
        Whether training takes out how each film is usually rated.

    Raises
    ------
    RunDirectoryError
        The file is missing or damaged.
    StoreError
        A text has not been encoded.
    """
    prepared = PreparedReviews.open(reviews)
    features = store.view(prepared.texts)
    train, valid = (
        LabelledFeatures(
            features.take(indices),
            prepared.ratings(indices),
            n_layers,
            prepared.named_films(indices) if film_effects else None,
        )
        for indices in map(prepared.indices, ("train", "valid"))
    )
    return train, valid


def train_on_ray(
    tasks: Task | Sequence[Task],
    splits: Splits,
    head_settings: HeadSettings,
    settings: TrainingSettings,
    *,
    seed: int,
    folder: Path,
    engine: EngineSettings,
    checkpoint: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> TrainedHead:
    """Train a head as `xingping.training.train_head` does, on the workers of a cluster.

    One worker gives what one machine gives, bit for bit. Several add up their gradients in another order than one
    does, so the last digits differ. Where a worker is lost, all go on from the last checkpoint.

    Parameters
    ----------
    tasks, head_settings, settings, seed
        As `train_head` takes them.
    splits
        Gives the train and the valid split: a `partial` of `stored_splits`, or any other function of a module. It
        is called in each worker, so all nodes see what it reads.
    folder
        A folder that all nodes see; what is exchanged there is removed at the end.
    engine
        Which cluster.
    checkpoint
        As `train_head` takes it, where all nodes see it; by default in `folder` until the end.
    progress
        Called with the number of reviews seen since the last call.

    Raises
    ------
    XingpingError
        The work raised it, or the workers keep dying.
    """
    connect(engine)
    workers = place_workers(engine)
    exchange = folder.resolve() / ".ray"
    exchange.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(exchange / WORKERS, ignore_errors=True)  # of a run that was killed
    (exchange / ERROR).unlink(missing_ok=True)
    counter = ray.remote(num_cpus=0)(_Counter).remote() if progress else None
    checkpoint = (checkpoint or exchange / "checkpoint").resolve()
    # More threads than one machine would use add up in another order.
    threads = min(workers.cpus, torch.get_num_threads())
    several: tuple[Task, ...] = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    work = _Work(several, splits, head_settings, settings, seed, checkpoint, exchange, threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Ray's own making
        trainer = TorchTrainer(
            partial(_train, work, SharedFolders.here(exchange), counter),
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if workers.gpus else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=workers.count,
                use_gpu=workers.gpus > 0,
                resources_per_worker={"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {}),
            ),
            run_config=RunConfig(
                name=WORKERS,
                storage_path=str(exchange),
                failure_config=FailureConfig(max_failures=FAILURES),
                logging_config=LoggingConfig(log_level="CRITICAL"),  # type: ignore[call-arg]  # of the second version
            ),
        )
    _fit(trainer, counter, progress)
    if (exchange / ERROR).exists():
        raise unpack_error((exchange / ERROR).read_text(encoding="utf-8"))
    trained = _read(exchange, several, head_settings)
    shutil.rmtree(exchange, ignore_errors=True)
    return trained


@dataclass(frozen=True)
class _Work:
    """What a worker trains, and where it leaves the result."""

    tasks: tuple[Task, ...]
    splits: Splits
    head_settings: HeadSettings
    settings: TrainingSettings
    seed: int
    checkpoint: Path
    exchange: Path
    threads: int


class _Counter:
    """Counts the reviews seen, for a bar in another process."""

    def __init__(self) -> None:
        self._done = 0

    def add(self, done: int) -> None:
        self._done += done

    def value(self) -> int:
        return self._done


def _train(work: _Work, shared: SharedFolders, counter: Any) -> None:  # noqa: ANN401 - a handle that Ray makes
    """Train in one of the workers; the first leaves the result.

    What keeps one from beginning is told to all, and they end without an error: Ray would only try again.
    """
    torch.set_num_threads(work.threads)
    problem = ""
    try:
        shared.enter()
        train, valid = work.splits()
    except XingpingError as error:
        problem = pack_error(error)
    problems: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(problems, problem)
    if any(problems):
        with suppress(OSError):
            (work.exchange / ERROR).write_text(max(problems), encoding="utf-8")
            return
        raise unpack_error(max(problems))
    first = ray.train.get_context().get_world_rank() == 0
    trained = train_head(
        work.tasks,
        train,
        valid,
        work.head_settings,
        work.settings,
        seed=work.seed,
        checkpoint=work.checkpoint,
        progress=_Reporter(counter) if first and counter is not None else None,
    )
    if first:
        with atomic_path(work.exchange / "head.safetensors") as temporary:
            save_file({name: value.contiguous() for name, value in trained.head.state_dict().items()}, temporary)
        write_json(
            work.exchange / "history.json", {"layers": train.n_layers, "dim": train.features.dim, **trained.history()}
        )


class _Reporter:
    """Tells the counter now and then; each step would be too often."""

    def __init__(self, counter: Any) -> None:  # noqa: ANN401 - a handle that Ray makes
        self._counter = counter
        self._done = 0
        self._told = time.monotonic()

    def __call__(self, done: int) -> None:
        self._done += done
        if time.monotonic() - self._told >= REPORT_SECONDS:
            self._counter.add.remote(self._done)
            self._done, self._told = 0, time.monotonic()


def _fit(trainer: TorchTrainer, counter: Any, progress: Callable[[int], None] | None) -> None:  # noqa: ANN401
    """Wait for the workers. In a thread of its own, for in the main one Ray takes Ctrl-C for itself, for good."""
    errors: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    seen = 0
    while thread.is_alive():
        thread.join(REPORT_SECONDS)
        if progress and thread.is_alive():
            done = ray.get(counter.value.remote())
            if done > seen:
                progress(done - seen)
            seen = done
    if errors:
        raise _explained(errors[0])


def _explained(error: Exception) -> Exception:
    """Return what went wrong in a worker in the place of Ray's report of it."""
    causes = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else [error]
    for cause in causes:
        inner: BaseException | None = cause
        while inner is not None:
            if isinstance(inner, XingpingError):
                return inner
            inner = getattr(inner, "cause", None) or getattr(inner, "_base_exc", None) or inner.__cause__
    if not isinstance(error, TrainingFailedError):
        return error
    reason = " ".join(str(causes[0]).split())[-300:]
    return XingpingError(
        f"the Ray workers cannot go on with training ({reason}); if they ran out of memory, lower --workers. "
        "The same command goes on from the last checkpoint"
    )


def _read(exchange: Path, tasks: tuple[Task, ...], head_settings: HeadSettings) -> TrainedHead:
    history = read_json(exchange / "history.json")
    head = RatingHead(history["dim"], head_settings, tasks, history["layers"])
    head.load_state_dict(load_file(exchange / "head.safetensors"))
    return TrainedHead(head.eval(), history["best_epoch"], [Epoch(**epoch) for epoch in history["epochs"]])
