"""From token vectors to one vector a review: structured self-attention, mean, maximum, [CLS], or several of them.

All take `values` (batch, tokens, dim), `mask` (batch, tokens; True on a token) and `cls` (batch, dim), and return
a `Pooled`. A review without tokens gets a vector of zeros and attends to nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xingping.config import HeadSettings, Pooling

__all__ = [
    "ClsPooling",
    "LayerMix",
    "MaxPooling",
    "MeanPooling",
    "Pooled",
    "Poolings",
    "StructuredSelfAttention",
    "masked_softmax",
]


class Pooled(NamedTuple):
    """One vector a review, and where it looked."""

    vector: Tensor  # (batch, out_dim)
    attention: Tensor | None  # (batch, hops, tokens), rows sum to 1; None where pooling does not attend


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where `mask` is True, 0 elsewhere; a fully masked row gives zeros."""
    weights = torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=-1)
    return weights * mask


class StructuredSelfAttention(nn.Module):
    """A = softmax(W_s2 tanh(W_s1 H')), M = A H (Lin et al. 2017, arXiv 1703.03130, eqs. 6 and 7).

    Here H are the frozen token vectors in place of the paper's LSTM states, d_a is `attention_dim` and r is
    `n_hops`; M is flattened.

    Parameters
    ----------
    dim
        Width of a token vector (2u in the paper).
    attention_dim
        d_a.
    n_hops
        r.
    """

    def __init__(self, dim: int, attention_dim: int, n_hops: int) -> None:
        super().__init__()
        self.W_s1 = nn.Linear(dim, attention_dim, bias=False)
        self.W_s2 = nn.Linear(attention_dim, n_hops, bias=False)
        self.out_dim = n_hops * dim

    def forward(self, values: Tensor, mask: Tensor, cls: Tensor) -> Pooled:  # noqa: ARG002 - one signature for all
        """Pool a batch."""
        hidden = torch.tanh(F.linear(values, self.W_s1.weight.to(values.dtype)))  # (batch, tokens, d_a)
        scores = self.W_s2(hidden.float())  # (batch, tokens, hops), float32 whatever the values are
        A = masked_softmax(scores.transpose(1, 2), mask.unsqueeze(1))  # (batch, hops, tokens)
        M = A.to(values.dtype) @ values  # (batch, hops, dim)
        return Pooled(M.flatten(1), A)


class MeanPooling(nn.Module):
    """The mean of the token vectors."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, values: Tensor, mask: Tensor, cls: Tensor) -> Pooled:  # noqa: ARG002 - one signature for all
        """Pool a batch."""
        weights = mask / mask.sum(1, keepdim=True).clamp(min=1)  # (batch, tokens)
        return Pooled((weights.unsqueeze(1).to(values.dtype) @ values).squeeze(1), None)


class ClsPooling(nn.Module):
    """The vector of the [CLS] token, as BERT's own classifier takes it (Devlin et al. 2019, arXiv 1810.04805)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, values: Tensor, mask: Tensor, cls: Tensor) -> Pooled:  # noqa: ARG002 - one signature for all
        """Pool a batch."""
        return Pooled(cls, None)


class MaxPooling(nn.Module):
    """The largest value of each dimension over the tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, values: Tensor, mask: Tensor, cls: Tensor) -> Pooled:  # noqa: ARG002 - one signature for all
        """Pool a batch."""
        lowest = torch.finfo(values.dtype).min
        largest = values.masked_fill(~mask.unsqueeze(2), lowest).amax(dim=1)
        return Pooled(largest * mask.any(dim=1, keepdim=True), None)


class LayerMix(nn.Module):
    """The weighted sum of an encoder's layers, with weights that are learned (Peters et al. 2018, arXiv 1802.05365).

    The weights are the softmax of one number a layer, times a common scale (eq. 1 there).

    Parameters
    ----------
    n_layers
        Layers that a vector holds side by side.
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return (..., dim) of vectors, (..., n_layers * dim)."""
        shares = (self.scale * torch.softmax(self.weights, dim=0)).to(vectors.dtype)
        mixed: Tensor = shares @ vectors.view(*vectors.shape[:-1], len(shares), -1)
        return mixed


class Poolings(nn.Module):
    """The poolings that the settings name, side by side.

    Parameters
    ----------
    dim
        Width of a token vector.
    settings
        Which, and the sizes of structured self-attention.
    """

    def __init__(self, dim: int, settings: HeadSettings) -> None:
        super().__init__()
        parts = [_pooling(name, dim, settings) for name in settings.pooling]
        self.parts = nn.ModuleDict(dict(zip(settings.pooling, parts, strict=True)))
        self.out_dim = sum(part.out_dim for part in parts)

    @property
    def attends(self) -> bool:
        """Whether one of them says where it looked."""
        return "self_attention" in self.parts

    def forward(self, values: Tensor, mask: Tensor, cls: Tensor) -> Pooled:
        """Pool a batch."""
        pooled = [part(values, mask, cls) for part in self.parts.values()]
        attention = next((part.attention for part in pooled if part.attention is not None), None)
        return Pooled(torch.cat([part.vector for part in pooled], dim=1), attention)


def _pooling(
    name: Pooling, dim: int, settings: HeadSettings
) -> StructuredSelfAttention | MeanPooling | MaxPooling | ClsPooling:
    if name == "self_attention":
        return StructuredSelfAttention(dim, settings.attention_dim, settings.n_hops)
    if name == "mean":
        return MeanPooling(dim)
    return MaxPooling(dim) if name == "max" else ClsPooling(dim)
