"""From tokens to scores: an encoder and a head as one network, and the tokens that it is fed."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xingping.batches import FeatureBatch
from xingping.encoders.batching import gather_ids
from xingping.encoders.tokenization import TokenizedTexts
from xingping.heads import DropoutMasks, HeadOutput, RatingHead
from xingping.unfreezing import TrainableEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LabelledTexts", "TokenBatch", "TokenizedSplit", "TunedNetwork"]


@dataclass(frozen=True)
class LabelledTexts:
    """Cleaned texts of some reviews, their ratings, (n,) 1..5, and films as `training.LabelledFeatures` has them."""

    texts: Sequence[str]
    ratings: NDArray[np.int64]
    film: NDArray[np.int32] | None = None


@dataclass(frozen=True, eq=False)
class TokenizedSplit:
    """Tokenized texts of a split, their ratings and films."""

    tokens: TokenizedTexts
    ratings: NDArray[np.int64]
    film: NDArray[np.int32] | None = None

    @classmethod
    def of(cls, encoder: TrainableEncoder, split: LabelledTexts) -> Self:
        """Tokenize a split; reviews without a single token, special ones included, are left out."""
        tokens = encoder.tokenize(split.texts)
        if not tokens.lengths.all():
            kept = np.flatnonzero(tokens.lengths)
            film = None if split.film is None else split.film[kept]
            return cls(encoder.tokenize([split.texts[index] for index in kept.tolist()]), split.ratings[kept], film)
        return cls(tokens, split.ratings, split.film)

    def __len__(self) -> int:
        return len(self.ratings)

    def digest(self) -> str:
        """Return a digest that another data set does not have."""
        digest = blake2b(self.ratings.tobytes(), digest_size=16)
        digest.update(self.tokens.offsets.tobytes())
        digest.update(self.tokens.ids.tobytes())
        if self.film is not None:
            digest.update(self.film.tobytes())
        return digest.hexdigest()


class TokenBatch(NamedTuple):
    """Tokens of some texts, padded to the longest."""

    ids: Tensor  # (batch, length)
    is_token: Tensor | None  # (batch, length) bool, False on padding; None where there is none
    content: Tensor  # (batch, length) bool, True on tokens that are not special
    cls: Tensor  # (batch,) place of the first special token
    positions: Tensor | None = None  # (batch, length) where in its text a token stands; None where it stands so here

    @classmethod
    def of(cls, tokens: TokenizedTexts, texts: NDArray[np.int64], device: torch.device) -> Self:
        """Put some of the texts side by side."""
        ids, is_token, places = gather_ids(tokens.ids, tokens.offsets, texts)
        is_special = np.zeros(is_token.shape, dtype=np.bool_)
        is_special[is_token] = tokens.is_special[places]
        mask = None if is_token.all() else torch.from_numpy(is_token).to(device)
        parts = (ids, is_token & ~is_special, is_special.argmax(axis=1))
        ids_, content, first = (torch.from_numpy(part).to(device) for part in parts)
        return cls(ids_, mask, content, first)

    def without(self, dropped: Tensor) -> "TokenBatch":
        """Return the batch as if some tokens were padding; of a text at least one content token stays.

        Parameters
        ----------
        dropped
            (batch, length) bool; special tokens stay, whatever it says of them.
        """
        content = self.content & ~dropped
        content = torch.where(content.any(dim=1, keepdim=True), content, self.content)
        left_out = self.content & ~content
        is_token = ~left_out if self.is_token is None else self.is_token & ~left_out
        return self._replace(is_token=is_token, content=content)

    def packed(self) -> "TokenBatch":
        """Return the batch with the tokens of each text one beside the other, and so no longer than it has to be."""
        if self.is_token is None:
            return self
        counts = self.is_token.sum(dim=1)
        length = int(counts.max())
        places = (~self.is_token).long().argsort(dim=1, stable=True)[:, :length]  # tokens first, in their order
        here = torch.arange(length, device=places.device) < counts[:, None]
        before = self.is_token.long().cumsum(dim=1) - 1
        return TokenBatch(
            self.ids.gather(1, places),
            None if bool(here.all()) else here,
            self.content.gather(1, places) & here,
            before.gather(1, self.cls[:, None])[:, 0],
            places,
        )


POSITIONED = ("bert",)
"""Kinds of models (`model_type`) that count positions from 0 and let them be given; others may count as they like."""


class TunedNetwork(nn.Module):
    """An encoder and a head on its states; what a head gets of a text is what `FrozenEncoder` would give.

    Parameters
    ----------
    model
        The encoder.
    layers
        Layers whose states are put side by side.
    head
        Fitted to the frozen states.
    dtype
        In which large matrices are multiplied; weights and what is added up stay float32.
    """

    def __init__(
        self, model: "PreTrainedModel", layers: Sequence[int], head: RatingHead, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.encoder: nn.Module = model
        self.head = head
        self.layers, self.dtype = tuple(layers), dtype
        self.takes_positions = model.config.model_type in POSITIONED

    def forward(self, batch: TokenBatch, masks: DropoutMasks | None = None) -> HeadOutput:
        """Score a batch; `masks` are of the head's dropout."""
        device = batch.ids.device.type
        mask = None if batch.is_token is None else batch.is_token.long()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            given = {} if batch.positions is None else {"position_ids": batch.positions}
            output = self.encoder(input_ids=batch.ids, attention_mask=mask, output_hidden_states=True, **given)
        states = torch.cat([output.hidden_states[layer] for layer in self.layers], dim=-1)  # (batch, length, dim)
        values = self.head.standardise(states).to(self.dtype)
        cls = values[torch.arange(len(values), device=values.device), batch.cls]  # (batch, dim)
        scores: HeadOutput = self.head(FeatureBatch(values, batch.content, cls), masks)
        return scores
