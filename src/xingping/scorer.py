"""What computes the scores of texts: a head on an encoder's features, or one graph from tokens to scores.

A model rates with either; n-grams, calibration and decisions are the same behind both.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xingping.answers import Attention
from xingping.encoders import FrozenEncoder
from xingping.features import FeatureStore, StoredFeatures

if TYPE_CHECKING:
    from xingping.heads import RatingHead

__all__ = ["FeatureScorer", "Scorer", "TextScores"]


class TextScores(NamedTuple):
    """What a scorer says of n texts.

    Attributes
    ----------
    scores
        (n, n_scores); `xingping.links` says what they mean.
    attention
        One entry a text; None unless asked for, or where the head does not attend.
    """

    scores: NDArray[np.float32]
    attention: tuple[Attention, ...] | None


class Scorer(Protocol):
    """Turns texts into scores."""

    @property
    def digest(self) -> str:
        """Digest of the weights."""

    @property
    def on_features(self) -> "FeatureScorer | None":
        """The scorer itself where it also takes features, else None."""

    def score(
        self, texts: Sequence[str], *, attention: bool = False, progress: Callable[[int], None] | None = None
    ) -> TextScores:
        """Score cleaned texts.

        Parameters
        ----------
        texts
            Each once. An empty one gets what the head says of no words at all.
        attention
            Whether to say where the head looked.
        progress
            Called with the number of texts encoded since the last call.
        """

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return cleaned texts as the head sees them, (n, vector_dim)."""

    def save(self, folder: Path, *, portable: bool = False) -> None:
        """Write what it is made of into a bundle; `portable` with all that another machine may not have."""


class FeatureScorer(Scorer, Protocol):
    """A head and the encoder whose features it was trained on."""

    @property
    def head(self) -> "RatingHead":
        """The head."""

    @property
    def encoder(self) -> FrozenEncoder:
        """The encoder, loaded on first use."""

    def look_up(self, store: FeatureStore) -> None:
        """Take features from a store from now on, where it has them.

        One that keeps 8 bits is left alone: its vectors are not quite those of the encoder, and a rating must not
        depend on whether a text happens to be stored.
        """

    def encode(self, texts: Sequence[str]) -> StoredFeatures:
        """Return the features of cleaned texts in the unit that the head was trained on."""

    def score_features(self, features: StoredFeatures, *, attention: bool = False) -> TextScores:
        """Score texts whose features are stored."""

    def feature_vectors(self, features: StoredFeatures) -> NDArray[np.float32]:
        """Return texts whose features are stored as the head sees them, (n, vector_dim)."""
