"""What training makes small, per review.

All are means over the reviews of a batch. A process that has a part of it passes in `of` the reviews of the whole
batch, and the parts of all processes add up to the mean.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xingping.config import ClassificationLoss, HeadSettings, Task, TrainingSettings
from xingping.ratings import NUM_CLASSES, to_classes

__all__ = [
    "RatingLoss",
    "coral_loss",
    "corn_loss",
    "cross_entropy",
    "focal_loss",
    "ranked_probability_score",
    "redundancy_penalty",
    "soft_label_loss",
]

PerReview = Callable[[Tensor, Tensor], Tensor]
"""From scores, (batch, n_scores), and classes, (batch,) 0..4, to losses, (batch,)."""


class RatingLoss:
    """The loss of one output, as the settings have it.

    Parameters
    ----------
    task
        Of the output. For regression the scores are stars and the loss is in stars² (`mse`) or, of errors beyond one
        star, in stars (`huber`; Huber 1964, doi:10.1214/aoms/1177703732); for the others they are logits.
    head_settings, settings
        Which of the losses of the task; of several, the sum.
    ratings
        Of the training reviews, (n,) 1..5; class weights follow from them.
    """

    def __init__(
        self, task: Task, head_settings: HeadSettings, settings: TrainingSettings, ratings: NDArray[np.int64]
    ) -> None:
        self._parts = _losses(task, head_settings, settings)
        self._weights: Tensor | None = None
        if settings.class_weights == "balanced":
            counts = np.bincount(to_classes(ratings), minlength=NUM_CLASSES)
            # As scikit-learn's "balanced" (King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868): the mean
            # over the training reviews is 1, so that losses stay comparable.
            present = np.count_nonzero(counts)
            self._weights = torch.from_numpy((len(ratings) / (present * counts.clip(min=1))).astype(np.float32))

    def __call__(self, scores: Tensor, ratings: Tensor, *, of: int | None = None) -> Tensor:
        """Return the loss of a batch: its sum divided by the number of reviews.

        Parameters
        ----------
        scores
            (batch, n_scores) of the output.
        ratings
            (batch,) 1..5.
        of
            Reviews to divide by; by default those of the batch.
        """
        classes = ratings - 1
        losses = torch.stack([part(scores, classes) for part in self._parts]).sum(dim=0)  # (batch,)
        if self._weights is not None:
            losses = losses * self._weights.to(losses)[classes]
        return losses.sum() / (of or len(ratings))


def _losses(task: Task, head_settings: HeadSettings, settings: TrainingSettings) -> list[PerReview]:
    if task == "regression":
        error = F.mse_loss if settings.regression_loss == "mse" else F.huber_loss
        return [lambda scores, classes: error(scores[:, 0], (classes + 1).to(scores.dtype), reduction="none")]
    if task == "ordinal":
        return [coral_loss if head_settings.ordinal == "coral" else corn_loss]
    known: dict[ClassificationLoss, PerReview] = {
        "cross_entropy": cross_entropy,
        "soft_labels": lambda scores, classes: soft_label_loss(scores, classes, settings.label_softness),
        "focal": lambda scores, classes: focal_loss(scores, classes, settings.focal_gamma),
        "emd": ranked_probability_score,
    }
    return [known[name] for name in settings.classification_loss]


def cross_entropy(scores: Tensor, classes: Tensor) -> Tensor:
    """Return the negative log-probability of the true class, in nats, (batch,)."""
    return F.cross_entropy(scores, classes, reduction="none")


def soft_label_loss(scores: Tensor, classes: Tensor, softness: float) -> Tensor:
    """Return the cross-entropy to labels that give the neighbours of the true star a share, (batch,).

    The label of star k at true star t is proportional to exp(-(k - t)² / softness) (SORD: Díaz and Marathe 2019,
    doi:10.1109/CVPR.2019.00487).

    Parameters
    ----------
    scores
        (batch, 5) logits.
    classes
        (batch,) 0..4.
    softness
        Stars²; the neighbours of a star get exp(-1 / softness) of what it gets.
    """
    stars = torch.arange(NUM_CLASSES, device=scores.device)
    labels = torch.softmax(-((stars - classes[:, None]) ** 2) / softness, dim=1)  # (batch, 5)
    return F.cross_entropy(scores, labels.to(scores.dtype), reduction="none")


def focal_loss(scores: Tensor, classes: Tensor, gamma: float) -> Tensor:
    """Return -(1 - p)^gamma log p of the true class, (batch,): sure and right answers hardly count.

    Lin et al. 2017, arXiv 1708.02002. With gamma 0 it is the cross-entropy.

    Parameters
    ----------
    scores
        (batch, 5) logits.
    classes
        (batch,) 0..4.
    gamma
        The exponent.
    """
    log_p = -cross_entropy(scores, classes)
    # At 0 a power below 1 has no slope to give.
    return -((1 - log_p.exp()).clamp(min=torch.finfo(log_p.dtype).eps) ** gamma) * log_p


def ranked_probability_score(scores: Tensor, classes: Tensor) -> Tensor:
    """Return the sum over k of (P(rating <= k) - [true <= k])², (batch,), between 0 and 4.

    The ranked probability score (Epstein 1969), the discrete CRPS; it is also the squared earth mover's distance to
    the true star (Hou et al. 2016, arXiv 1611.05916), and a proper score of the whole distribution.

    Parameters
    ----------
    scores
        (batch, 5) logits.
    classes
        (batch,) 0..4.
    """
    below = torch.softmax(scores, dim=1).cumsum(dim=1)[:, :-1]  # (batch, 4)
    thresholds = torch.arange(NUM_CLASSES - 1, device=scores.device)
    return ((below - (classes[:, None] <= thresholds).to(below.dtype)) ** 2).sum(dim=1)


def coral_loss(scores: Tensor, classes: Tensor) -> Tensor:
    """Return the summed binary cross-entropies of the four thresholds, (batch,).

    Cao, Mirjalili and Raschka 2020, arXiv 1901.07884, eq. 4 with all weights 1.

    Parameters
    ----------
    scores
        (batch, 4) logits of P(rating > k).
    classes
        (batch,) 0..4.
    """
    thresholds = torch.arange(NUM_CLASSES - 1, device=scores.device)
    above = (classes[:, None] > thresholds).to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, above, reduction="none").sum(dim=1)


def corn_loss(scores: Tensor, classes: Tensor) -> Tensor:
    """Return the summed binary cross-entropies of the thresholds that a review has reached, (batch,).

    Shi, Cao and Raschka 2021, arXiv 2111.08851, eq. 7, but divided by the reviews of the batch instead of those of
    all its subsets: so it is the negative log-probability of the true star, and comparable with the cross-entropy.

    Parameters
    ----------
    scores
        (batch, 4) logits of P(rating > k | rating > k - 1).
    classes
        (batch,) 0..4.
    """
    thresholds = torch.arange(NUM_CLASSES - 1, device=scores.device)
    above = (classes[:, None] > thresholds).to(scores.dtype)
    reached = (classes[:, None] >= thresholds).to(scores.dtype)
    return (F.binary_cross_entropy_with_logits(scores, above, reduction="none") * reached).sum(dim=1)


def redundancy_penalty(attention: Tensor, *, of: int | None = None) -> Tensor:
    """Return ||AA' - I||² (squared Frobenius norm), its sum divided by the number of reviews.

    It is 0 where each hop looks at one token of its own (Lin et al. 2017, arXiv 1703.03130, eq. 8).

    Parameters
    ----------
    attention
        A, (batch, hops, tokens).
    of
        Reviews to divide by; by default those of the batch.
    """
    overlap = attention @ attention.transpose(1, 2)  # (batch, hops, hops)
    identity = torch.eye(attention.shape[1], dtype=attention.dtype, device=attention.device)
    return (overlap - identity).square().sum() / (of or len(attention))
