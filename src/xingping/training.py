"""Train a head on stored features, for one task or several at once, with early stopping on the validation split.

Nothing random is kept from step to step: the order of an epoch follows from the seed and the epoch, the dropout of a
batch from the seed, the epoch and the batch, the learning rate from the step. So a training that goes on from its
checkpoint gives, byte for byte, what it would have given undisturbed; and several processes drop what one would.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xingping.artifacts import fingerprint
from xingping.batches import FeatureBatch
from xingping.checkpoints import (
    pack_checkpoint,
    read_checkpoint,
    remove_checkpoint,
    unpack_checkpoint,
    write_checkpoint,
)
from xingping.config import HeadSettings, Task, TrainingSettings
from xingping.encoders.hardware import choose_device, has_native_bf16
from xingping.epochs import Portion, load_portions, sample_tokens, slots, training_order
from xingping.features import StoredFeatures
from xingping.film_effects import EFFECTS, RATE, FilmEffects
from xingping.heads import DropoutMasks, HeadOutput, RatingHead
from xingping.losses import RatingLoss
from xingping.objective import measure_scores, training_loss
from xingping.ranks import Ranks
from xingping.schedule import one_cycle, training_length
from xingping.scoring import head_scores

__all__ = ["Epoch", "LabelledFeatures", "TrainedHead", "product_dtype", "train_head"]

logger = logging.getLogger(__name__)

LONGEST_GRADIENT = 1.0
"""Norm, of one member's, to which longer gradients are cut."""

NORM_EPSILON = 1e-6

CHECKPOINT_SECONDS, LEAST_SECONDS = 30.0, 1.0
"""Between checkpoints within an epoch, and between those at the ends of epochs, at least."""

DIGESTED_TEXTS = 100
"""Texts whose vectors tell one data set from another, beside the lengths and the ratings of all."""

ORDER, DROPOUT = 0, 1
"""What is drawn from the seed."""


@dataclass(frozen=True)
class LabelledFeatures:
    """What a head is trained on, or validated by.

    Attributes
    ----------
    features
        Of n reviews.
    ratings
        (n,) 1..5.
    n_layers
        Layers that a vector holds side by side.
    film
        (n,) numbers of their films, from 0, -1 where none is named; where it is given, a training takes out how each
        film adds to their scores (`FilmEffects`).
    """

    features: StoredFeatures
    ratings: NDArray[np.int64]
    n_layers: int = 1
    film: NDArray[np.int32] | None = None

    def digest(self) -> str:
        """Return a digest that another data set does not have."""
        digest = blake2b(self.ratings.tobytes(), digest_size=16)
        digest.update(self.features.lengths.tobytes())
        digest.update(sample_tokens(self.features, DIGESTED_TEXTS).tobytes())
        if self.film is not None:
            digest.update(self.film.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training reviews gave; losses of several tasks are sums, the rest is of the first."""

    epoch: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float
    valid_accuracy_within_one: float
    valid_mae: float
    seconds: float


@dataclass
class TrainedHead:
    """The head of the best epoch, and the history of all."""

    head: RatingHead
    best_epoch: int = 0
    epochs: list[Epoch] = field(default_factory=list)

    def history(self) -> dict[str, Any]:
        """Return the content of `history.json`."""
        return {"best_epoch": self.best_epoch, "epochs": [asdict(epoch) for epoch in self.epochs]}


def train_head(
    tasks: Task | Sequence[Task],
    train: LabelledFeatures,
    valid: LabelledFeatures,
    head_settings: HeadSettings,
    settings: TrainingSettings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    progress: Callable[[int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedHead:
    """Train a head until its validation loss stops falling, and return its best state.

    Where `torch.distributed` is set up, every process calls this with the same arguments; each takes its share of
    every batch, and all return the same head.

    Parameters
    ----------
    tasks
        What to predict; several are outputs of one network.
    train, valid
        The two splits.
    head_settings, settings
        The network, and how it is trained.
    seed
        Decides the first weights, the order of the reviews and the dropout; two runs on one machine agree.
    checkpoint
        File to go on from where it is there and belongs to the same training, written at the end of each epoch (of
        short ones once a second) and every half a minute, and removed at the end.
    progress
        Called with the number of reviews seen since the last call, by this and all other processes together.
    on_epoch
        Called at the end of each epoch; what it raises ends the training.

    Raises
    ------
    OutputError
        The checkpoint cannot be written.
    """
    several = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    return _Training(several, train, valid, head_settings, settings, seed, checkpoint, progress, on_epoch).run()


class _Item(NamedTuple):
    """What one step needs."""

    batch: FeatureBatch
    masks: DropoutMasks | None
    ratings: Tensor  # (batch,)
    film: Tensor | None  # (batch,)
    of: int  # reviews of the batch in all processes


class _Training:
    """One training: where it is, and its steps."""

    def __init__(
        self,
        tasks: tuple[Task, ...],
        train: LabelledFeatures,
        valid: LabelledFeatures,
        head_settings: HeadSettings,
        settings: TrainingSettings,
        seed: int,
        checkpoint: Path | None,
        progress: Callable[[int], None] | None,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> None:
        self.on_epoch = on_epoch or (lambda _epoch: None)
        self.train, self.valid = train, valid
        self.settings, self.penalty, self.seed = settings, head_settings.penalty, seed
        self.length = training_length(settings, len(train.ratings))
        self.progress = progress or (lambda _done: None)
        self.ranks = Ranks.here()
        self.device = torch.device(choose_device(None))
        self.dtype = product_dtype(settings.precision, self.device.type)
        torch.manual_seed(seed)
        self.head = RatingHead(train.features.dim, head_settings, tasks, train.n_layers)
        self.head.start_from(train.features, train.ratings)
        self.head.to(self.device)
        self.losses = {task: RatingLoss(task, head_settings, settings, train.ratings) for task in tasks}
        self.result = TrainedHead(self.head)
        self.parameters = dict(self.head.named_parameters())
        groups = [
            {
                "params": list(self.parameters.values()),
                "peak": settings.learning_rate,
                "weight_decay": settings.weight_decay,
            }
        ]
        self.effects: FilmEffects | None = None
        if train.film is not None:
            self.effects = FilmEffects(train.film, self.head.n_scores).to(self.device)
            self.parameters[EFFECTS] = self.effects.offsets
            groups.append({"params": [self.effects.offsets], "peak": RATE, "weight_decay": 0.0})
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.batches = -(-len(train.ratings) // settings.batch_size)
        self.best_loss: float | None = None
        self.best_state: dict[str, Tensor] = {}
        self.epoch, self.batch, self.seen, self.seconds = 1, 0, 0, 0.0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.checkpoint, self.saved = checkpoint, time.perf_counter()
        if checkpoint is not None:
            self.key = fingerprint(
                tasks, head_settings.model_dump(), settings.model_dump(), seed, str(self.dtype), self.device.type,
                train.digest(), valid.digest(), torch.__version__,
            )  # fmt: skip
            self._go_on(checkpoint)

    def run(self) -> TrainedHead:
        """Train to the end."""
        while self.epoch <= self.length.epochs and not self._is_enough():
            self._run_epoch()
        self.head.load_state_dict(self.best_state)
        self.head.cpu().eval()
        if self.checkpoint is not None and self.ranks.rank == 0:
            remove_checkpoint(self.checkpoint)
        return self.result

    def _is_enough(self) -> bool:
        return bool(self.result.epochs) and self.epoch - 1 - self.result.best_epoch >= self.length.patience

    def _run_epoch(self) -> None:
        start = time.perf_counter()
        before = self.seconds
        for item in self._items():
            self._step(item)
            self.batch += 1
            self.seen += item.of
            self.progress(item.of)
            now = time.perf_counter()
            self.seconds = before + now - start
            if now - self.saved >= CHECKPOINT_SECONDS:
                self._save()
        epoch = self._validate()
        self.seconds = before + time.perf_counter() - start
        self.result.epochs.append(Epoch(**epoch, seconds=round(self.seconds, 3)))
        logger.info("%s %s", "+".join(self.head.tasks), self.result.epochs[-1])
        if self.best_loss is None or epoch["valid_loss"] < self.best_loss:
            self.best_loss, self.result.best_epoch = epoch["valid_loss"], self.epoch
            self.best_state = {name: value.clone() for name, value in self.head.state_dict().items()}
        self.epoch, self.batch, self.seen, self.seconds = self.epoch + 1, 0, 0, 0.0
        self.loss_sum.zero_()
        if time.perf_counter() - self.saved >= LEAST_SECONDS:
            self._save()
        self.on_epoch(self.result.epochs[-1])

    def _items(self) -> Iterator[_Item]:
        """Yield what the steps of the epoch need, from where it is."""
        order = training_order(
            self.train.features, self.settings.batch_size, np.random.Generator(self._random(ORDER, self.epoch))
        )
        ahead = self.device.type != "cpu"
        loader = self.head.loader(self.dtype, slots=slots(ahead=ahead))
        numbers = iter(range(self.batch, self.batches))
        has_dropout = self.head.has_dropout

        def load(portion: Portion) -> _Item:
            share, of = self.ranks.share, len(portion.indices)
            indices = portion.indices[share]
            batch, masks = loader.load(self.train.features, indices), None
            number = next(numbers)
            if has_dropout:
                masks = self.head.draw_masks(self._random(DROPOUT, self.epoch, number), of, self.dtype).take(share)
            film = None if self.train.film is None else torch.from_numpy(self.train.film[indices].astype(np.int64))
            item = _Item(batch, masks, torch.from_numpy(self.train.ratings[indices]), film, of)
            return _pinned(item) if ahead else item

        return load_portions(islice(order, self.batch, None), load, self.train.features, ahead=ahead)

    def _random(self, *what: int) -> np.random.SFC64:
        return np.random.SFC64([self.seed, *what])

    def _step(self, item: _Item) -> None:
        for group in self.optimizer.param_groups:
            rate, momentum = one_cycle(self.step, self.length.epochs * self.batches, group["peak"])
            group["lr"], group["betas"] = rate, (momentum, group["betas"][1])
        batch, masks = item.batch.to(self.device), None if item.masks is None else item.masks.to(self.device)
        output: HeadOutput = self.head(batch, masks)
        ratings = item.ratings.to(self.device, non_blocking=True)
        loss, own = training_loss(
            self.losses,
            self.head,
            output,
            ratings,
            penalty=self.penalty,
            of=item.of,
            effects=self.effects,
            film=None if item.film is None else item.film.to(self.device, non_blocking=True),
        )
        loss_sum = own.detach() * item.of
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        self.ranks.sum([*gradients, loss_sum])
        # What cuts long gradients is handed to the optimizer, as AMP's scaler does: one pass less over all weights.
        norm = torch.nn.utils.get_total_norm(gradients) / len(output.scores) ** 0.5
        self.optimizer.grad_scale = ((norm + NORM_EPSILON) / LONGEST_GRADIENT).clamp(min=1.0)  # type: ignore[attr-defined]
        self.optimizer.step()
        self.loss_sum += loss_sum

    @property
    def step(self) -> int:
        """Steps done since the beginning."""
        return (self.epoch - 1) * self.batches + self.batch

    def _validate(self) -> dict[str, Any]:
        """Measure on the validation split; each process rates its share of it."""
        share, ratings, head = self.ranks.share, self.valid.ratings, self.head
        mine = np.arange(len(ratings))[share]
        scores = torch.zeros(len(ratings), head.n_scores)
        scores[mine] = torch.from_numpy(head_scores(head, self.valid.features.take(mine)))
        self.ranks.sum([scores])
        train_loss = self.loss_sum.item() / len(self.train.ratings)
        return {"epoch": self.epoch, "train_loss": train_loss} | measure_scores(self.losses, head, scores, ratings)

    def _save(self) -> None:
        if self.checkpoint is None or self.ranks.rank != 0:
            return
        tensors = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_state.items()}
        if self.effects is not None:
            tensors |= {f"effects.{name}": value for name, value in self.effects.state_dict().items()}
        for name, parameter in self.parameters.items():
            for part, value in self.optimizer.state[parameter].items():
                tensors[f"adam.{name}.{part}"] = value
        record = {
            "epoch": self.epoch,
            "batch": self.batch,
            "seen": self.seen,
            "seconds": self.seconds,
            "loss_sum": self.loss_sum.item(),
            "best_loss": self.best_loss,
            **self.result.history(),
        }
        write_checkpoint(self.checkpoint, pack_checkpoint(self.key, tensors, record))
        self.saved = time.perf_counter()

    def _go_on(self, path: Path) -> None:
        """Take up the state that a checkpoint holds, if one is there and fits."""
        found = self.ranks.first(read_checkpoint(path) if self.ranks.rank == 0 else None)
        content = None if found is None else unpack_checkpoint(found, self.key, path)
        if content is None:
            return
        tensors, record = content
        self.head.load_state_dict(_named(tensors, "head."))
        self.best_state = _named(tensors, "best.")
        if self.effects is not None:
            self.effects.load_state_dict(_named(tensors, "effects."))
        for name, parameter in self.parameters.items():
            state = _named(tensors, f"adam.{name}.")
            self.optimizer.state[parameter] = {part: value.to(self.device) for part, value in state.items()}
        self.epoch, self.batch = record["epoch"], record["batch"]
        self.seen, self.seconds = record["seen"], record["seconds"]
        self.loss_sum.fill_(record["loss_sum"])
        self.best_loss, self.result.best_epoch = record["best_loss"], record["best_epoch"]
        self.result.epochs = [Epoch(**epoch) for epoch in record["epochs"]]
        logger.info("going on from %s: epoch %d, batch %d", path, self.epoch, self.batch)
        self.progress(len(self.result.epochs) * len(self.train.ratings) + self.seen)


def product_dtype(precision: str, device: str) -> torch.dtype:
    """Return the type in which large matrices are multiplied."""
    wanted = precision == "bf16" or (precision == "auto" and has_native_bf16(device))
    return torch.bfloat16 if wanted else torch.float32


def _pinned(item: _Item) -> _Item:
    masks = None if item.masks is None else item.masks.pin()
    film = None if item.film is None else item.film.pin_memory()
    return item._replace(batch=item.batch.pin(), masks=masks, ratings=item.ratings.pin_memory(), film=film)


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
