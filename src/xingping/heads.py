"""The network on frozen features: pooling, one hidden layer, and an output for classes or for a real number."""

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xingping.config import HeadSettings, Task
from xingping.features import StoredFeatures
from xingping.pooling import make_pooling
from xingping.ratings import NUM_CLASSES, to_classes

__all__ = ["FeatureBatch", "HeadOutput", "RatingHead"]


STANDARDISED_TEXTS = 2000
"""Texts whose tokens are enough to measure mean and deviation on."""


class FeatureBatch(NamedTuple):
    """Padded features of some reviews."""

    values: Tensor  # (batch, tokens, dim) float32
    mask: Tensor  # (batch, tokens) bool, True on a token
    cls: Tensor  # (batch, dim) float32

    @classmethod
    def load(cls, features: StoredFeatures, indices: np.ndarray) -> Self:
        """Copy some texts out of the store, as float32."""
        values, lengths, cls_vectors = features.padded(indices)
        mask = torch.arange(values.shape[1]) < torch.from_numpy(lengths).unsqueeze(1)
        return cls(torch.from_numpy(values).float(), mask, torch.from_numpy(cls_vectors).float())


class HeadOutput(NamedTuple):
    """What a head says of a batch."""

    scores: Tensor  # (batch, 5) logits of the classes, or (batch, 1) the rating as a real number
    vector: Tensor  # (batch, hidden_dim), the review as the head sees it
    attention: Tensor | None  # (batch, hops, tokens)


class Standardise(nn.Module):
    """Give every dimension of the frozen vectors mean 0 and deviation 1 over the training tokens.

    Frozen states hold a few dimensions that are orders of magnitude larger than the rest and nearly constant;
    unscaled, they drown what differs between words (Timkey and van Schijndel 2021, arXiv 2109.04404).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, features: StoredFeatures) -> None:
        """Measure mean and deviation on evenly spaced texts; without any token, nothing changes."""
        step = max(1, len(features) // STANDARDISED_TEXTS)
        sample = [features.tokens(index) for index in range(0, len(features), step)]
        tokens = np.concatenate(sample).astype(np.float32) if sample else np.zeros((0, 1), dtype=np.float32)
        if len(tokens):
            self.mean.copy_(torch.from_numpy(tokens.mean(axis=0)))
            self.scale.copy_(torch.from_numpy(1 / np.maximum(tokens.std(axis=0), 1e-4)))

    def forward(self, values: Tensor) -> Tensor:
        """Scale vectors, (..., dim)."""
        return (values - self.mean) * self.scale


class RatingHead(nn.Module):
    """Predicts stars from token features.

    Parameters
    ----------
    dim
        Width of a token vector.
    settings
        Pooling and sizes.
    task
        `classification`: five logits. `regression`: the rating itself, in stars.
    """

    def __init__(self, dim: int, settings: HeadSettings, task: Task) -> None:
        super().__init__()
        self.task = task
        self.standardise = Standardise(dim)
        self.pooling = make_pooling(dim, settings)
        self.hidden = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(self.pooling.out_dim, settings.hidden_dim),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.hidden_dim, NUM_CLASSES if task == "classification" else 1)

    def start_from(self, features: StoredFeatures, ratings: NDArray[np.int64]) -> None:
        """Fit what is not learned by gradient: the standardisation, and an output that gives the ratings' shares.

        Parameters
        ----------
        features, ratings
            Of the training reviews, (n,) ratings 1..5.
        """
        self.standardise.fit(features)
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            if self.task == "regression":
                self.output.bias.fill_(float(ratings.mean()))
            else:
                counts = np.bincount(to_classes(ratings), minlength=NUM_CLASSES) + 1.0
                self.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def forward(self, batch: FeatureBatch) -> HeadOutput:
        """Score a batch."""
        values = self.standardise(batch.values)  # (batch, tokens, dim)
        pooled = self.pooling(values, batch.mask, self.standardise(batch.cls))
        vector = self.hidden(pooled.vector)
        return HeadOutput(self.output(self.dropout(vector)), vector, pooled.attention)
