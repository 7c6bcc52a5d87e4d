"""What a head answers with, each as the last layer of the network: five classes, a real number, or four thresholds.

Every output says with which bias it starts, so that an untrained head answers with the shares of the training ratings,
and what its scores mean: probabilities of the stars, (n, 5), or a number of stars.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xingping.config import HeadSettings, Task
from xingping.links import coral_probabilities, corn_probabilities, softmax_probabilities
from xingping.ratings import NUM_CLASSES, to_classes

__all__ = ["ClassOutput", "CoralOutput", "CornOutput", "Output", "RealOutput", "make_output"]

FIRST_WEIGHTS = 0.1
"""The first weights are this much smaller than usual: the answer begins at the shares, and hardly away from them."""

Probabilities = NDArray[np.float64]


class Output(Protocol):
    """The last layer of a head."""

    n_scores: int

    def __call__(self, vector: Tensor) -> Tensor:
        """Return scores, (batch, n_scores), of vectors, (batch, dim)."""

    def start_from(self, ratings: NDArray[np.int64]) -> None:
        """Begin with what fits the training ratings, (n,) 1..5, whatever the text."""

    def probabilities(self, scores: NDArray[np.float32]) -> Probabilities | None:
        """Return probabilities of the stars, (n, 5), rows sum to 1; None where the output gives none."""

    def traced_probabilities(self, scores: Tensor) -> Tensor | None:
        """Return the same of a tensor of scores, (n, n_scores), so that gradients go through."""


class ClassOutput(nn.Linear):
    """Five logits, one a star."""

    n_scores = NUM_CLASSES

    def __init__(self, dim: int) -> None:
        super().__init__(dim, NUM_CLASSES)

    @torch.no_grad()
    def start_from(self, ratings: NDArray[np.int64]) -> None:
        """Begin with the shares of the training ratings."""
        self.weight.mul_(FIRST_WEIGHTS)
        self.bias.copy_(torch.from_numpy(np.log(_shares(ratings))))

    def probabilities(self, scores: NDArray[np.float32]) -> Probabilities:
        """Return the softmax, (n, 5), of logits, (n, 5)."""
        return softmax_probabilities(scores)

    def traced_probabilities(self, scores: Tensor) -> Tensor:
        """Return the softmax, (n, 5), of logits, (n, 5)."""
        return torch.softmax(scores, dim=1)


class RealOutput(nn.Linear):
    """The rating as a real number, in stars."""

    n_scores = 1

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 1)

    @torch.no_grad()
    def start_from(self, ratings: NDArray[np.int64]) -> None:
        """Begin with the mean of the training ratings."""
        self.weight.mul_(FIRST_WEIGHTS)
        self.bias.fill_(float(ratings.mean()))

    def probabilities(self, scores: NDArray[np.float32]) -> None:  # noqa: ARG002 - one signature for all
        """Give none."""
        return

    def traced_probabilities(self, scores: Tensor) -> None:  # noqa: ARG002 - one signature for all
        """Give none."""
        return


class CoralOutput(nn.Module):
    """Four logits of P(rating > k), k = 1..4, that differ by their biases alone.

    CORAL (Cao, Mirjalili and Raschka 2020, arXiv 1901.07884): one weight vector ranks the reviews, and the biases
    cut that rank into stars. At the optimum the biases fall with k, so that the probabilities are consistent; where
    training has not come that far yet, they are made so.
    """

    n_scores = NUM_CLASSES - 1

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rank = nn.Linear(dim, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.n_scores))

    def forward(self, vector: Tensor) -> Tensor:
        """Return logits, (batch, 4)."""
        scores: Tensor = self.rank(vector) + self.bias
        return scores

    @torch.no_grad()
    def start_from(self, ratings: NDArray[np.int64]) -> None:
        """Begin with the shares of the training ratings above each threshold."""
        self.rank.weight.mul_(FIRST_WEIGHTS)
        above = 1 - _shares(ratings).cumsum()[:-1]
        self.bias.copy_(torch.from_numpy(np.log(above / (1 - above))))

    def probabilities(self, scores: NDArray[np.float32]) -> Probabilities:
        """Return probabilities of the stars, (n, 5)."""
        return coral_probabilities(scores)

    def traced_probabilities(self, scores: Tensor) -> Tensor:
        """Return probabilities of the stars, (n, 5)."""
        return _traced_between(torch.cummin(torch.sigmoid(scores), dim=1).values)


class CornOutput(nn.Linear):
    """Four logits of P(rating > k | rating > k - 1), k = 1..4.

    CORN (Shi, Cao and Raschka 2021, arXiv 2111.08851): each threshold has weights of its own, and their product is
    consistent whatever they are.
    """

    n_scores = NUM_CLASSES - 1

    def __init__(self, dim: int) -> None:
        super().__init__(dim, self.n_scores)

    @torch.no_grad()
    def start_from(self, ratings: NDArray[np.int64]) -> None:
        """Begin with the shares of the training ratings, each among those that reach its threshold."""
        self.weight.mul_(FIRST_WEIGHTS)
        reached = _shares(ratings)[::-1].cumsum()[::-1]
        passed = reached[1:] / reached[:-1]
        self.bias.copy_(torch.from_numpy(np.log(passed / (1 - passed))))

    def probabilities(self, scores: NDArray[np.float32]) -> Probabilities:
        """Return probabilities of the stars, (n, 5)."""
        return corn_probabilities(scores)

    def traced_probabilities(self, scores: Tensor) -> Tensor:
        """Return probabilities of the stars, (n, 5)."""
        return _traced_between(torch.sigmoid(scores).cumprod(dim=1))


def make_output(dim: int, task: Task, settings: HeadSettings) -> ClassOutput | RealOutput | CoralOutput | CornOutput:
    """Make the output of a task."""
    if task == "classification":
        return ClassOutput(dim)
    if task == "regression":
        return RealOutput(dim)
    return CoralOutput(dim) if settings.ordinal == "coral" else CornOutput(dim)


def _shares(ratings: NDArray[np.int64]) -> Probabilities:
    """Return the share of each star, (5,), none of them 0."""
    counts = np.bincount(to_classes(ratings), minlength=NUM_CLASSES) + 1.0
    shares: Probabilities = counts / counts.sum()
    return shares


def _traced_between(above: Tensor) -> Tensor:
    ends = torch.cat([torch.ones_like(above[:, :1]), above, torch.zeros_like(above[:, :1])], dim=1)
    return ends[:, :-1] - ends[:, 1:]
