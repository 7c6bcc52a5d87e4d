"""The network on frozen features: a mix of layers, a layer on each token, pooling, a hidden layer, outputs by task.

Several such networks, alike but for their first weights and their dropout, may answer together: their mean errs less
than any of them (Lakshminarayanan, Pritzel and Blundell 2017, arXiv 1612.01474). They see the same batches, so that
features are read and scaled once for all.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from xingping.batches import BatchLoader, FeatureBatch
from xingping.config import HeadSettings, Task
from xingping.epochs import sample_tokens
from xingping.features import StoredFeatures
from xingping.outputs import Output, make_output
from xingping.pooling import LayerMix, Poolings

__all__ = ["DropoutMasks", "HeadOutput", "RatingHead", "Standardise"]


STANDARDISED_TEXTS = 2000
"""Texts whose tokens are enough to measure mean and deviation on."""

MASK_LEVELS = 2**16
"""Dropout is drawn with this many levels, 16 random bits an element."""


class DropoutMasks(NamedTuple):
    """What dropout keeps of one batch: 1, or 0 for what it drops.

    Drawn apart from the network, ahead of time on another thread, and from a generator of the batch's own: so a
    batch gets the same masks wherever and whenever it is trained.
    """

    tokens: Tensor  # (batch, members * dim of a token), the same dimensions of all its tokens; none without their layer
    pooled: Tensor  # (batch, members * pooling.out_dim)
    hidden: Tensor  # (batch, members * hidden_dim)

    def take(self, rows: slice) -> Self:
        """Return the masks of some of the reviews."""
        return type(self)(*(mask[rows] for mask in self))

    def chunk(self, members: int) -> list[Self]:
        """Return the masks of each member."""
        parts = zip(*(mask.chunk(members, dim=1) for mask in self), strict=True)
        return [type(self)(*part) for part in parts]

    def pin(self) -> Self:
        """Move to memory that a GPU can read while the CPU works on."""
        return type(self)(*(mask.pin_memory() for mask in self))

    def to(self, device: torch.device) -> Self:
        """Move to a device, without waiting where the memory is pinned."""
        return type(self)(*(mask.to(device, non_blocking=True) for mask in self))


class HeadOutput(NamedTuple):
    """What a head says of a batch."""

    scores: Tensor  # (members, batch, n_scores), those of several tasks side by side (`RatingHead.columns`)
    vector: Tensor  # (batch, members * hidden_dim), the review as the head sees it
    attention: Tensor | None  # (batch, members * hops, longest), 0 behind the end of a review

    @property
    def answer(self) -> Tensor:
        """What the members say together, (batch, n_scores): the mean of their scores."""
        return self.scores.mean(dim=0)


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
        tokens = sample_tokens(features, STANDARDISED_TEXTS)
        if len(tokens):
            self.mean.copy_(torch.from_numpy(tokens.mean(axis=0)))
            self.scale.copy_(torch.from_numpy(1 / np.maximum(tokens.std(axis=0), 1e-4)))

    def forward(self, values: Tensor) -> Tensor:
        """Scale vectors, (..., dim), of any type to float32, as `batches.BatchLoader` does on the way."""
        return torch.addcmul(-self.mean * self.scale, values.float(), self.scale)


class Kept(NamedTuple):
    """The shares that dropout keeps: of the dimensions of tokens, and of those before and after the hidden layer."""

    tokens: float
    hidden: float


class TokenLayer(nn.Linear):
    """A layer with ReLU on each token, without bias: from what the encoder was trained for to what stars depend on.

    It stands where Lin et al. 2017 (arXiv 1703.03130, eq. 3) have an LSTM, whose other work, to set words in relation,
    the encoder has done. Dropout takes whole dimensions of a review (Tompson et al. 2015, arXiv 1411.4280).
    """

    def __init__(self, dim: int, token_dim: int) -> None:
        super().__init__(dim, token_dim, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return (..., token_dim) of vectors, (..., dim), in their type."""
        return torch.relu(F.linear(vectors, self.weight.to(vectors.dtype)))


class _Member(nn.Module):
    """One of the networks of a head."""

    def __init__(self, dim: int, settings: HeadSettings, tasks: Sequence[Task], n_layers: int) -> None:
        super().__init__()
        mixes = settings.layer_mix == "learned" and n_layers > 1
        self.mix = LayerMix(n_layers) if mixes else None
        dim = dim // n_layers if mixes else dim
        self.token_layer = TokenLayer(dim, settings.token_dim) if settings.token_dim else None
        self.pooling = Poolings(settings.token_dim or dim, settings)
        self.hidden = nn.Linear(self.pooling.out_dim, settings.hidden_dim)
        self.outputs = nn.ModuleDict({task: make_output(settings.hidden_dim, task, settings) for task in tasks})

    def forward(self, batch: FeatureBatch, masks: DropoutMasks | None, kept: Kept) -> HeadOutput:
        """Score a batch, (batch, n_scores); dropout keeps the shares `kept`, where there are masks."""
        values, mask, cls = batch
        if self.mix is not None:
            values, cls = self.mix(values), self.mix(cls)
        if self.token_layer is not None:
            if masks is not None:
                of_tokens = masks.tokens / kept.tokens  # (batch, dim of a token)
                values, cls = values * of_tokens.unsqueeze(1), cls * of_tokens
            values, cls = self.token_layer(values), self.token_layer(cls)
        pooled, attention = self.pooling(values, mask, cls)
        share = 1.0 if masks is None else kept.hidden
        if masks is not None:
            pooled = pooled * masks.pooled
        hidden = F.linear(pooled, self.hidden.weight.to(pooled.dtype)).float() / share + self.hidden.bias
        vector = torch.relu(hidden)  # (batch, hidden_dim)
        dropped = vector if masks is None else vector * masks.hidden / share
        return HeadOutput(torch.cat([output(dropped) for output in self.outputs.values()], dim=1), vector, attention)


class RatingHead(nn.Module):
    """Predicts stars from token features.

    Parameters
    ----------
    dim
        Width of a token vector, all layers together.
    settings
        Pooling, sizes, and how many networks answer together.
    tasks
        What to predict; each has an output of its own on the same hidden layer.
    n_layers
        Layers that a token vector holds side by side.
    """

    def __init__(self, dim: int, settings: HeadSettings, tasks: Sequence[Task], n_layers: int = 1) -> None:
        super().__init__()
        self.dim, self.settings, self.tasks, self.n_layers = dim, settings, tuple(tasks), n_layers
        # Dropout in levels, so that what is kept is scaled by exactly its probability.
        self.kept = Kept(_in_levels(1 - settings.token_dropout), _in_levels(1 - settings.dropout))
        self.standardise = Standardise(dim)
        self.members = nn.ModuleList(_Member(dim, settings, tasks, n_layers) for _ in range(settings.members))

    @property
    def task(self) -> Task:
        """The only task, or the first of several."""
        return self.tasks[0]

    @property
    def columns(self) -> dict[Task, slice]:
        """Which of the scores are of which task."""
        columns: dict[Task, slice] = {}
        end = 0
        for task in self.tasks:
            columns[task] = slice(end, end + self.output(task).n_scores)
            end = columns[task].stop
        return columns

    @property
    def n_scores(self) -> int:
        """How many scores a review gets."""
        return sum(self.output(task).n_scores for task in self.tasks)

    def output(self, task: Task, member: int = 0) -> Output:
        """Return the last layer of a task; that of one member reads the scores of all."""
        return cast("Output", self._member(member).outputs[task])

    def _member(self, number: int = 0) -> _Member:
        return cast("_Member", self.members[number])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.standardise.mean.device

    @property
    def has_dropout(self) -> bool:
        """Whether training drops anything."""
        return self.kept.hidden < 1 or (self._member().token_layer is not None and self.kept.tokens < 1)

    @property
    def attends(self) -> bool:
        """Whether the head says where it looked."""
        return self._member().pooling.attends

    @property
    def vector_dim(self) -> int:
        """Width of the vector of a review."""
        return len(self.members) * self.settings.hidden_dim

    def only(self, task: Task) -> "RatingHead":
        """Return the head of one of the tasks, on the same weights."""
        head = RatingHead(self.dim, self.settings, (task,), self.n_layers)
        wanted = head.state_dict()
        head.load_state_dict({name: value for name, value in self.state_dict().items() if name in wanted})
        return head.train(self.training)

    def start_from(self, features: StoredFeatures, ratings: NDArray[np.int64]) -> None:
        """Fit what is not learned by gradient: the standardisation, and outputs that give the ratings' shares.

        Parameters
        ----------
        features, ratings
            Of the training reviews, (n,) ratings 1..5.
        """
        self.standardise.fit(features)
        for task in self.tasks:
            for member in range(len(self.members)):
                self.output(task, member).start_from(ratings)

    def draw_masks(
        self, random: np.random.BitGenerator, batch: int, dtype: torch.dtype = torch.float32
    ) -> DropoutMasks:
        """Draw what dropout keeps of a batch up to the hidden layer, in the type of the batch, and after it."""
        member = self._member()
        of_tokens = 0 if member.token_layer is None else member.token_layer.in_features
        widths = np.array([of_tokens, member.hidden.in_features, member.hidden.out_features]) * len(self.members)
        drawn = np.asarray(random.random_raw(-(-batch * widths.sum() // 4)), dtype="<u8").view("<u2")
        levels = drawn[: batch * widths.sum()].reshape(batch, -1)
        tokens, pooled, hidden = np.split(levels, widths.cumsum()[:-1], axis=1)
        return DropoutMasks(
            _as_numbers(tokens < round(self.kept.tokens * MASK_LEVELS), dtype),
            _as_numbers(pooled < round(self.kept.hidden * MASK_LEVELS), dtype),
            _as_numbers(hidden < round(self.kept.hidden * MASK_LEVELS), torch.float32),
        )

    def loader(self, dtype: torch.dtype = torch.float32, slots: int = 0) -> BatchLoader:
        """Return what loads batches for this head, once it is fitted."""
        return BatchLoader(self.standardise.mean, self.standardise.scale, dtype, slots)

    def forward(self, batch: FeatureBatch, masks: DropoutMasks | None = None) -> HeadOutput:
        """Score a batch.

        Parameters
        ----------
        batch
            From `loader`. In the type of its values the large matrices are multiplied; weights, scores and what is
            added up stay float32.
        masks
            What dropout keeps; None keeps everything, as one rates.
        """
        count = len(self.members)
        each = [None] * count if masks is None else masks.chunk(count)
        said = [member(batch, part, self.kept) for member, part in zip(self.members, each, strict=True)]
        looked = [output.attention for output in said if output.attention is not None]
        return HeadOutput(
            torch.stack([output.scores for output in said]),
            torch.cat([output.vector for output in said], dim=1),
            torch.cat(looked, dim=1) if looked else None,
        )


def _in_levels(share: float) -> float:
    return round(share * MASK_LEVELS) / MASK_LEVELS


def _as_numbers(kept: NDArray[np.bool_], dtype: torch.dtype) -> Tensor:
    """Return 0 and 1 in a type; NumPy has no bfloat16, but knows the bits of its 1."""
    if dtype == torch.bfloat16:
        return torch.from_numpy(kept.astype(np.int16) * np.int16(0x3F80)).view(torch.bfloat16)
    return torch.from_numpy(kept.astype(np.float32))
