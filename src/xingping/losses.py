"""What training makes small: a loss for each task, and the penalty on attention hops that look alike.

Both are means over a batch. Where a process holds only a part of it, `of` names the reviews of the whole batch, and
the parts of all processes add up to the mean.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from xingping.config import Task
from xingping.heads import HeadOutput
from xingping.ratings import RATINGS

__all__ = ["rating_loss", "redundancy_penalty"]


def rating_loss(output: HeadOutput, ratings: Tensor, task: Task, *, of: int | None = None) -> Tensor:
    """Return the loss of a batch: its sum divided by the number of reviews.

    Parameters
    ----------
    output
        Of the head for the same task.
    ratings
        (batch,) 1..5.
    task
        `classification`: cross-entropy in nats. `regression`: squared error in stars².
    of
        Reviews to divide by; by default those of the batch.
    """
    if task == "classification":
        total = F.cross_entropy(output.scores, ratings - RATINGS[0], reduction="sum")
    else:
        total = F.mse_loss(output.scores.squeeze(1), ratings.to(output.scores.dtype), reduction="sum")
    return total / (of or len(ratings))


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
