"""Train an encoder and a head on it together, for one task or several at once; the best epoch on validation is kept.

As in `training`, nothing random is kept from step to step: order, dropout and learning rates follow from the seed and
the step. So on one machine a training that goes on from its checkpoint gives, byte for byte, what it would have given
undisturbed.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xingping.artifacts import fingerprint
from xingping.checkpoints import pack_checkpoint, read_checkpoint, unpack_checkpoint, write_checkpoint
from xingping.config import HeadSettings, Task, TrainingSettings
from xingping.encoders.batching import padded_batches
from xingping.encoders.hardware import choose_device
from xingping.end_to_end import LabelledTexts, TokenBatch, TokenizedSplit, TunedNetwork
from xingping.epochs import like_length
from xingping.features import StoredFeatures
from xingping.film_effects import EFFECTS, RATE, FilmEffects
from xingping.heads import DropoutMasks, HeadOutput, RatingHead
from xingping.losses import RatingLoss
from xingping.objective import measure_scores, training_loss
from xingping.schedule import warm_up_and_fall
from xingping.training import (
    LONGEST_GRADIENT,
    NORM_EPSILON,
    Epoch,
    TrainedHead,
    product_dtype,
)
from xingping.unfreezing import Rate, TrainableEncoder

__all__ = ["finetune"]

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 300.0
"""A checkpoint of all weights and their moments takes some seconds."""

STANDARDISED_TEXTS = 512
"""Texts whose frozen vectors tell mean and deviation of each dimension, which the head then keeps to."""

WINDOW_REVIEWS = 4096
"""Reviews that are sorted by length together: little padding, and still shuffled."""

MOST_TOKENS = 8192
"""Tokens that are computed at one time, padding included; a larger batch is computed in pieces."""

AVERAGED_EVERY = 10
"""Steps from one state of the weights to the next that counts in their average."""

ORDER, HEAD_DROPOUT, ENCODER_DROPOUT, TOKEN_DROPOUT = 0, 1, 2, 3
"""What is drawn from the seed."""


def finetune(
    tasks: Sequence[Task],
    encoder: TrainableEncoder,
    train: LabelledTexts,
    valid: LabelledTexts,
    head_settings: HeadSettings,
    training: TrainingSettings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    progress: Callable[[int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedHead:
    """Train an encoder and a head, and return the head of the epoch with the least validation loss.

    The encoder has the weights of that epoch afterwards. Each step leaves out some tokens of its reviews, so that no
    word is relied upon alone (word dropout: Iyyer et al. 2015, doi:10.3115/v1/P15-1162). From where weights are
    averaged on (Izmailov et al. 2018, arXiv 1803.05407), it is the average that is validated and kept.

    Parameters
    ----------
    tasks
        What to predict; several are outputs of one network.
    encoder
        Says what of it is trained, and how (`FinetuneSettings`).
    train, valid
        The two splits. Reviews without a single token, special ones included, are left out.
    head_settings
        The head.
    training
        Losses and class weights.
    seed
        Decides the first weights, the order of the reviews and the dropout.
    checkpoint
        File to go on from where it is there and belongs to the same training, written at the end of each epoch and
        every five minutes. It stays when the training is over, and tells a second call the result: who keeps the
        result removes it.
    progress
        Called with the number of reviews seen since the last call.
    on_epoch
        Called at the end of each epoch; what it raises ends the training.

    Raises
    ------
    EncoderError
        The encoder cannot be loaded.
    SettingsError
        The encoder does not allow what is to be trained.
    OutputError
        The checkpoint cannot be written.
    """
    several = tuple(tasks)
    return _Finetuning(
        several, encoder, train, valid, head_settings, training, seed, checkpoint, progress, on_epoch
    ).run()


class _Finetuning:
    """One training: where it is, and its steps."""

    def __init__(
        self,
        tasks: tuple[Task, ...],
        encoder: TrainableEncoder,
        train: LabelledTexts,
        valid: LabelledTexts,
        head_settings: HeadSettings,
        training: TrainingSettings,
        seed: int,
        checkpoint: Path | None,
        progress: Callable[[int], None] | None,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> None:
        self.progress = progress or (lambda _done: None)
        self.on_epoch = on_epoch or (lambda _epoch: None)
        self.encoder, self.settings, self.penalty, self.seed = encoder, encoder.settings, head_settings.penalty, seed
        self.device = torch.device(choose_device(None))
        self.dtype = product_dtype(self.settings.precision, self.device.type)
        self.train, self.valid = (TokenizedSplit.of(encoder, split) for split in (train, valid))
        torch.manual_seed(seed)
        head = RatingHead(encoder.dim, head_settings, tasks, len(encoder.layers))
        some = train.texts[:: max(1, len(train.texts) // STANDARDISED_TEXTS)]
        head.start_from(StoredFeatures.of(encoder.encode(some)), train.ratings)
        rates = encoder.unfreeze(self.device.type)
        self.network = TunedNetwork(encoder.model, encoder.layers, head, self.dtype).to(self.device)
        self.losses = {task: RatingLoss(task, head_settings, training, train.ratings) for task in tasks}
        self.weights: dict[str, Tensor] = {
            name: each for name, each in self.network.named_parameters() if each.requires_grad
        }
        peaks = {f"encoder.{name}": rate for name, rate in rates.items()}
        self.effects: FilmEffects | None = None
        if self.train.film is not None:
            self.effects = FilmEffects(self.train.film, head.n_scores).to(self.device)
            self.weights[EFFECTS], peaks[EFFECTS] = self.effects.offsets, Rate(RATE, 0.0)
        of_head = (self.settings.head_learning_rate, self.settings.weight_decay)
        grouped: dict[tuple[float, float], list[Tensor]] = {}
        for name, each in self.weights.items():
            grouped.setdefault(peaks.get(name, of_head), []).append(each)
        self.optimizer = torch.optim.AdamW(
            [{"params": some, "peak": peak, "weight_decay": decay} for (peak, decay), some in grouped.items()],
            fused=True,
        )
        self.batch_size = -(-self.settings.batch_size // self.settings.accumulation)
        self.steps = -(-len(self.train) // (self.batch_size * self.settings.accumulation))  # of an epoch
        self.result = TrainedHead(head)
        self.best_loss: float | None = None
        self.best: dict[str, Tensor] = {}
        self.average: dict[str, Tensor] = {}
        self.averaged = 0
        self.epoch, self.step, self.seen, self.seconds = 1, 0, 0, 0.0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.checkpoint = checkpoint
        if checkpoint is not None:
            self.key = fingerprint(
                tasks, encoder.source.digest, encoder.layers, self.settings.model_dump(), head_settings.model_dump(),
                training.model_dump(), seed, str(self.dtype), self.device.type, self.train.digest(),
                self.valid.digest(), torch.__version__,
            )  # fmt: skip
            self._go_on(checkpoint)

    def run(self) -> TrainedHead:
        """Train to the end."""
        while self.epoch <= self.settings.epochs:
            self._run_epoch()
        self._set(self.best)
        self.network.head.cpu().eval()
        self.encoder.merge()
        return self.result

    def _run_epoch(self) -> None:
        start = saved = time.perf_counter()
        before = self.seconds
        self.network.train()
        for parts in islice(self._order(), self.step, None):
            self._step(parts)
            done = sum(map(len, parts))
            self.step += 1
            self.seen += done
            self._average()
            self.progress(done)
            now = time.perf_counter()
            self.seconds = before + now - start
            if now - saved >= CHECKPOINT_SECONDS:
                self._save()
                saved = time.perf_counter()
        with self._averaged():
            train_loss = self.loss_sum.item() / len(self.train)
            valid = measure_scores(self.losses, self.network.head, self._scores(self.valid), self.valid.ratings)
            if self.best_loss is None or valid["valid_loss"] < self.best_loss:
                self.best_loss, self.result.best_epoch = valid["valid_loss"], self.epoch
                self.best = {name: each.detach().clone() for name, each in self.weights.items()}
        seconds = round(before + time.perf_counter() - start, 3)
        self.result.epochs.append(Epoch(epoch=self.epoch, train_loss=train_loss, seconds=seconds, **valid))
        logger.info("%s %s", "+".join(self.losses), self.result.epochs[-1])
        self.epoch, self.step, self.seen, self.seconds = self.epoch + 1, 0, 0, 0.0
        self.loss_sum.zero_()
        self._save()
        self.on_epoch(self.result.epochs[-1])

    def _order(self) -> Iterator[list[NDArray[np.int64]]]:
        """Yield the parts of each step of the epoch; each part has reviews of similar length."""
        random = np.random.Generator(self._random(ORDER, self.epoch))
        pool = random.permutation(len(self.train))
        batches = like_length(pool, self.train.tokens.lengths, self.batch_size, self._window)
        order = [batches[place] for place in random.permutation(len(batches))]
        for start in range(0, len(order), self.settings.accumulation):
            yield order[start : start + self.settings.accumulation]

    @property
    def _window(self) -> int:
        return -(-WINDOW_REVIEWS // self.batch_size) * self.batch_size

    def _random(self, *what: int) -> np.random.SFC64:
        return np.random.SFC64([self.seed, *what])

    def _step(self, parts: list[NDArray[np.int64]]) -> None:
        step, steps = (self.epoch - 1) * self.steps + self.step, self.settings.epochs * self.steps
        share = warm_up_and_fall(step, steps, self.settings.warm_up, self.settings.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        self.optimizer.zero_grad()
        of = sum(map(len, parts))
        for number, part in enumerate(parts):
            self._backward(part, number, of)
        gradients = [each.grad for each in self.weights.values() if each.grad is not None]
        # What cuts long gradients is handed to the optimizer: one pass less over all weights.
        norm = torch.nn.utils.get_total_norm(gradients)
        self.optimizer.grad_scale = ((norm + NORM_EPSILON) / LONGEST_GRADIENT).clamp(min=1.0)  # type: ignore[attr-defined]
        self.optimizer.step()

    def _backward(self, part: NDArray[np.int64], number: int, of: int) -> None:
        """Add the gradient of one part of a step of `of` reviews."""
        where = (self.epoch, self.step, number)
        masks: DropoutMasks | None = None
        if self.network.head.has_dropout:
            masks = self.network.head.draw_masks(self._random(HEAD_DROPOUT, *where), len(part), self.dtype)
        self.encoder.seed_dropout(self._random(ENCODER_DROPOUT, *where))
        longest = int(self.train.tokens.lengths[part].max())
        dropped = self._dropped((len(part), longest), where)
        size = max(1, MOST_TOKENS // longest)
        for start in range(0, len(part), size):
            rows = slice(start, start + size)
            ratings = torch.from_numpy(self.train.ratings[part[rows]]).to(self.device)
            batch = TokenBatch.of(self.train.tokens, part[rows], self.device)
            if dropped is not None:
                batch = batch.without(dropped[rows, : batch.ids.shape[1]])
                if self.network.takes_positions:
                    batch = batch.packed()
            output: HeadOutput = self.network(batch, None if masks is None else masks.take(rows).to(self.device))
            film = self.train.film
            loss, own = training_loss(
                self.losses,
                self.network.head,
                output,
                ratings,
                penalty=self.penalty,
                of=of,
                effects=self.effects,
                film=None if film is None else torch.from_numpy(film[part[rows]].astype(np.int64)).to(self.device),
            )
            self.loss_sum += own.detach() * of
            # The members of a head share the encoder, so here their mean counts.
            (loss / len(output.scores)).backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated

    def _dropped(self, shape: tuple[int, int], where: tuple[int, int, int]) -> Tensor | None:
        """Draw which tokens of a part are left out, (reviews, longest) bool; None where all stay."""
        share = self.settings.token_dropout
        if not share:
            return None
        draws = np.random.Generator(self._random(TOKEN_DROPOUT, *where)).random(shape, dtype=np.float32)
        return torch.from_numpy(draws < share).to(self.device)

    @torch.no_grad()
    def _average(self) -> None:
        """Let the weights count in their average, where it is time."""
        done, steps = (self.epoch - 1) * self.steps + self.step, self.settings.epochs * self.steps
        if done <= steps - round(steps * self.settings.averaging) or (steps - done) % AVERAGED_EVERY:
            return
        self.averaged += 1
        for name, each in self.weights.items():
            if name in self.average:
                self.average[name].lerp_(each, 1 / self.averaged)
            else:
                self.average[name] = each.detach().clone()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the average, where there is one, in the place of the weights for a while."""
        now = {name: self.weights[name].detach().clone() for name in self.average}
        self._set(self.average)
        yield
        self._set(now)

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.weights[name].copy_(value)

    @torch.no_grad()
    def _scores(self, split: TokenizedSplit) -> Tensor:
        """Return the scores of all reviews of a split, (n, n_scores)."""
        self.network.eval()
        scores = torch.zeros(len(split), self.network.head.n_scores)
        for texts in padded_batches(split.tokens.lengths, MOST_TOKENS):
            batch = TokenBatch.of(split.tokens, texts, self.device)
            scores[torch.from_numpy(texts)] = self.network(batch).answer.cpu()
        return scores

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tensors = {f"now.{name}": each for name, each in self.weights.items()}
        tensors |= {f"best.{name}": each for name, each in self.best.items()}
        tensors |= {f"average.{name}": each for name, each in self.average.items()}
        for name, each in self.weights.items():
            for part, value in self.optimizer.state.get(each, {}).items():
                tensors[f"adam.{part}.{name}"] = value
        record = {
            "epoch": self.epoch,
            "step": self.step,
            "seen": self.seen,
            "seconds": self.seconds,
            "loss_sum": self.loss_sum.item(),
            "averaged": self.averaged,
            "best_loss": self.best_loss,
            **self.result.history(),
        }
        write_checkpoint(self.checkpoint, pack_checkpoint(self.key, tensors, record))

    def _go_on(self, path: Path) -> None:
        """Take up the state that a checkpoint holds, if one is there and fits."""
        found = read_checkpoint(path)
        content = None if found is None else unpack_checkpoint(found, self.key, path)
        if content is None:
            return
        tensors, record = content
        for place, value in tensors.items():
            kind, _, name = place.partition(".")
            if kind == "now":
                self._set({name: value})
            elif kind == "adam":
                part, _, name = name.partition(".")
                self.optimizer.state[self.weights[name]][part] = value.to(self.device)
            else:
                (self.best if kind == "best" else self.average)[name] = value.to(self.device)
        self.epoch, self.step = record["epoch"], record["step"]
        self.seen, self.seconds, self.averaged = record["seen"], record["seconds"], record["averaged"]
        self.loss_sum.fill_(record["loss_sum"])
        self.best_loss, self.result.best_epoch = record["best_loss"], record["best_epoch"]
        self.result.epochs = [Epoch(**epoch) for epoch in record["epochs"]]
        logger.info("going on from %s: epoch %d, step %d", path, self.epoch, self.step)
        self.progress(len(self.result.epochs) * len(self.train) + self.seen)
