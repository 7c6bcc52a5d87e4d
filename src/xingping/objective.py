"""What a training makes small, be the encoder frozen or not, and what it says of the validation split."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xingping.config import Task
from xingping.film_effects import FilmEffects
from xingping.heads import HeadOutput, RatingHead
from xingping.losses import RatingLoss, redundancy_penalty
from xingping.metrics import confusion_matrix, decide, expected_rating, round_rating, within_one

__all__ = ["joint_loss", "measure_scores", "training_loss"]


def joint_loss(
    losses: Mapping[Task, RatingLoss], head: RatingHead, scores: Tensor, ratings: Tensor, *, of: int | None = None
) -> Tensor:
    """Return the sum of the tasks' losses of scores, (batch, n_scores), divided by the reviews as `RatingLoss` does."""
    columns = head.columns
    return torch.stack([loss(scores[:, columns[task]], ratings, of=of) for task, loss in losses.items()]).sum()


def training_loss(
    losses: Mapping[Task, RatingLoss],
    head: RatingHead,
    output: HeadOutput,
    ratings: Tensor,
    *,
    penalty: float,
    of: int,
    effects: FilmEffects | None = None,
    film: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what training makes small, and the mean loss of the members alone, both divided by `of` reviews.

    The first is the sum over the members: they have nothing in common but the effects of films, (batch,) numbers, so
    that each learns what it would from its own loss.
    """
    shift: Tensor | float = 0.0 if effects is None else effects(film)
    own = torch.stack([joint_loss(losses, head, scores + shift, ratings, of=of) for scores in output.scores])
    loss = own.sum()
    if effects is not None:
        loss = loss + len(own) * effects.penalty(len(ratings) / of)
    if output.attention is not None and penalty:
        for attention in output.attention.chunk(len(own), dim=1):
            loss = loss + penalty * redundancy_penalty(attention, of=of)
    return loss, own.mean()


def measure_scores(
    losses: Mapping[Task, RatingLoss], head: RatingHead, scores: Tensor, ratings: NDArray[np.int64]
) -> dict[str, float]:
    """Return what `Epoch` has of the validation split, of its scores, (n, n_scores), and ratings, (n,)."""
    answers = scores[:, head.columns[head.task]].numpy()
    probabilities = head.output(head.task).probabilities(answers)
    expected = answers[:, 0].astype(np.float64) if probabilities is None else expected_rating(probabilities)
    predicted = round_rating(expected) if probabilities is None else decide(probabilities, "mode")
    confusion = confusion_matrix(ratings, predicted)
    return {
        "valid_loss": joint_loss(losses, head, scores.double(), torch.from_numpy(ratings)).item(),
        "valid_accuracy": float(np.trace(confusion) / len(ratings)),
        "valid_accuracy_within_one": within_one(confusion),
        "valid_mae": float(np.abs((expected if probabilities is None else predicted) - ratings).mean()),
    }
