"""What training makes small: a loss for each task, and the penalty on attention hops that look alike."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xingping.config import Task
from xingping.heads import HeadOutput
from xingping.ratings import RATINGS

__all__ = ["rating_loss", "redundancy_penalty"]


def rating_loss(output: HeadOutput, ratings: Tensor, task: Task) -> Tensor:
    """Return the mean loss of a batch.

    Parameters
    ----------
    output
        Of the head for the same task.
    ratings
        (batch,) 1..5.
    task
        `classification`: cross-entropy in nats. `regression`: squared error in stars².
    """
    if task == "classification":
        return F.cross_entropy(output.scores, ratings - RATINGS[0])
    return F.mse_loss(output.scores.squeeze(1), ratings.to(output.scores.dtype))


def redundancy_penalty(attention: Tensor) -> Tensor:
    """Return ||AA' - I||² (squared Frobenius norm), averaged over the batch.

    It is 0 where each hop looks at one token of its own (Lin et al. 2017, arXiv 1703.03130, eq. 8).

    Parameters
    ----------
    attention
        A, (batch, hops, tokens).
    """
    overlap = attention @ attention.transpose(1, 2)  # (batch, hops, hops)
    identity = torch.eye(attention.shape[1], dtype=attention.dtype, device=attention.device)
    return (overlap - identity).square().sum((1, 2)).mean()
