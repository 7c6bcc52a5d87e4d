"""The network on frozen features: pooling, one hidden layer, and an output for classes or for a real number."""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from xingping.config import HeadSettings, Task
from xingping.features import StoredFeatures
from xingping.pooling import make_pooling
from xingping.ratings import NUM_CLASSES

__all__ = ["FeatureBatch", "HeadOutput", "RatingHead"]


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
        # Frozen states differ by orders of magnitude between dimensions and encoders.
        self.norm = nn.LayerNorm(dim)
        self.pooling = make_pooling(dim, settings)
        self.hidden = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(self.pooling.out_dim, settings.hidden_dim),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.hidden_dim, NUM_CLASSES if task == "classification" else 1)

    def start_from(self, ratings: np.ndarray) -> None:
        """Set the output's bias so that the untrained head gives the training ratings' shares or mean."""
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            if self.task == "regression":
                self.output.bias.fill_(float(ratings.mean()))
            else:
                counts = np.bincount(ratings, minlength=NUM_CLASSES + 1)[1:] + 1.0
                self.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def forward(self, batch: FeatureBatch) -> HeadOutput:
        """Score a batch."""
        pooled = self.pooling(self.norm(batch.values), batch.mask, self.norm(batch.cls))
        vector = self.hidden(pooled.vector)
        return HeadOutput(self.output(self.dropout(vector)), vector, pooled.attention)
