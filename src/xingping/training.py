"""Train a head on stored features, with early stopping on the validation split."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xingping.config import HeadSettings, Task, TrainingSettings
from xingping.features import StoredFeatures
from xingping.heads import FeatureBatch, RatingHead
from xingping.losses import rating_loss, redundancy_penalty
from xingping.metrics import confusion_matrix, round_rating, within_one
from xingping.ratings import to_ratings

__all__ = ["Epoch", "LabelledFeatures", "TrainedHead", "train_head"]

logger = logging.getLogger(__name__)

WINDOW_BATCHES = 50
"""Batches whose reviews are sorted by length together: little padding, and still shuffled."""

WARM_UP = 0.05
"""Share of all steps over which the learning rate rises."""


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of some reviews and their ratings, (n,) 1..5."""

    features: StoredFeatures
    ratings: NDArray[np.int64]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training reviews gave."""

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
    task: Task,
    train: LabelledFeatures,
    valid: LabelledFeatures,
    head_settings: HeadSettings,
    settings: TrainingSettings,
    *,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> TrainedHead:
    """Train a head until its validation loss stops falling, and return its best state.

    Parameters
    ----------
    task
        What to predict.
    train, valid
        The two splits.
    head_settings, settings
        The network, and how it is trained.
    seed
        Decides the first weights, the order of the reviews and the dropout; two runs on one machine agree.
    progress
        Called with the number of reviews seen since the last call.
    """
    torch.manual_seed(seed)
    head = RatingHead(train.features.dim, head_settings, task)
    head.start_from(train.features, train.ratings)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(train.ratings) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=steps + 1, pct_start=WARM_UP
    )
    rng = np.random.default_rng(seed)
    result = TrainedHead(head)
    best_loss, best_state = np.inf, {}
    for number in range(1, settings.epochs + 1):
        start = time.perf_counter()
        head.train()
        losses = []
        for indices in training_batches(train.features.lengths, settings.batch_size, rng):
            batch = FeatureBatch.load(train.features, indices)
            output = head(batch)
            loss = rating_loss(output, torch.from_numpy(train.ratings[indices]), task)
            losses.append(loss.item() * len(indices))
            if output.attention is not None and head_settings.penalty:
                loss = loss + head_settings.penalty * redundancy_penalty(output.attention)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if progress:
                progress(len(indices))
        train_loss = sum(losses) / len(train.ratings)
        epoch = _validate(head, valid, number, train_loss, settings.batch_size, start)
        result.epochs.append(epoch)
        logger.info("%s %s", task, epoch)
        if epoch.valid_loss < best_loss:
            best_loss, result.best_epoch = epoch.valid_loss, number
            best_state = {name: value.clone() for name, value in head.state_dict().items()}
        elif number - result.best_epoch >= settings.patience:
            break
    head.load_state_dict(best_state)
    head.eval()
    return result


def training_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield every index once, shuffled, in batches of similar length."""
    order = rng.permutation(len(lengths))
    window = batch_size * WINDOW_BATCHES
    batches = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    for place in rng.permutation(len(batches)):
        yield batches[place]


def _validate(
    head: RatingHead, valid: LabelledFeatures, number: int, train_loss: float, batch_size: int, start: float
) -> Epoch:
    head.eval()
    loss = 0.0
    expected = np.empty(len(valid.ratings))
    predicted = np.empty(len(valid.ratings), dtype=np.int64)
    with torch.inference_mode():
        for indices in valid.features.batches(batch_size):
            output = head(FeatureBatch.load(valid.features, indices))
            loss += rating_loss(output, torch.from_numpy(valid.ratings[indices]), head.task).item() * len(indices)
            if head.task == "regression":
                expected[indices] = output.scores[:, 0].numpy()
                predicted[indices] = round_rating(expected[indices])
            else:
                predicted[indices] = to_ratings(output.scores.argmax(1).numpy())
                expected[indices] = predicted[indices]
    confusion = confusion_matrix(valid.ratings, predicted)
    return Epoch(
        epoch=number,
        train_loss=train_loss,
        valid_loss=loss / len(valid.ratings),
        valid_accuracy=float(np.trace(confusion) / len(valid.ratings)),
        valid_accuracy_within_one=within_one(confusion),
        valid_mae=float(np.abs(expected - valid.ratings).mean()),
        seconds=round(time.perf_counter() - start, 3),
    )
