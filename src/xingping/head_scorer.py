"""Scores in torch: a trained head, and the encoder whose features it was trained on."""

import shutil
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from xingping.answers import NOWHERE, Attention
from xingping.artifacts import atomic_folder, atomic_path
from xingping.encoders import FrozenEncoder, TokenFeatures
from xingping.encoders.folders import copy_encoder, is_local
from xingping.errors import EncoderError, RunDirectoryError
from xingping.features import FeatureStore, StoredFeatures, find_or_encode
from xingping.heads import RatingHead
from xingping.model_card import ModelCard
from xingping.model_encoder import TUNED, load_encoder, own_encoder
from xingping.scorer import TextScores
from xingping.scoring import head_outputs
from xingping.segmentation import Segmenter
from xingping.word_pooling import pool_words

__all__ = ["HeadScorer"]

WEIGHTS = "head.safetensors"


class HeadScorer:
    """A head on an encoder (see `xingping.scorer.FeatureScorer`).

    Parameters
    ----------
    card
        What was trained, and on what.
    head
        The trained head.
    encoder
        Loaded when first needed if None.
    bundle
        Where the model was loaded from.
    """

    def __init__(
        self, card: ModelCard, head: RatingHead, *, encoder: FrozenEncoder | None = None, bundle: Path | None = None
    ) -> None:
        self.head = head.eval()
        self.bundle = bundle
        self._card = card
        self._encoder = encoder
        self._segmenter: Segmenter | None = None
        self._store: FeatureStore | None = None

    @classmethod
    def load(cls, card: ModelCard, bundle: Path) -> Self:
        """Load the head of a bundle.

        Raises
        ------
        RunDirectoryError
            Its weights are missing or damaged.
        """
        head = RatingHead(card.dim, card.head, (card.task,), len(card.encoder.layers or (-1,)))
        weights = bundle / WEIGHTS
        try:
            head.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise RunDirectoryError(f"cannot load {weights}: {reason}; train the model again") from error
        return cls(card, head, bundle=bundle)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the encoder, which another process loads again."""
        return self.__dict__ | {"_encoder": None}

    @property
    def on_features(self) -> Self:
        """Itself."""
        return self

    @property
    def digest(self) -> str:
        """Digest of the head's weights."""
        digest = blake2b(digest_size=16)
        for name, tensor in self.head.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def encoder(self) -> FrozenEncoder:
        """The encoder, loaded on first use.

        Raises
        ------
        EncoderError
            The encoder cannot be loaded, or is not the one that the head was trained on.
        """
        if self._encoder is None:
            encoder = load_encoder(self._card.encoder, own_encoder(self._card, self.bundle))
            if encoder.fingerprint != self._card.encoder_fingerprint:
                raise EncoderError(
                    f"the encoder {self._card.encoder.name} is not the one this model was trained on (other weights, "
                    "tokenizer or precision); restore it, or train again"
                )
            self._encoder = encoder
        return self._encoder

    def save(self, folder: Path, *, portable: bool = False) -> None:
        """Write `head.safetensors`, and where it would not be found otherwise, the encoder.

        A fine-tuned encoder goes along to another place than the model was loaded from; with `portable` one of a local
        folder does too.
        """
        source = own_encoder(self._card, self.bundle)
        if source is None and portable and is_local(self._card.encoder.name):
            source = Path(self._card.encoder.name).expanduser()
        if source is not None and (portable or self.bundle != folder.resolve()):
            with atomic_folder(folder / TUNED) as temporary:
                if portable:
                    copy_encoder(source, temporary)
                else:
                    shutil.copytree(source, temporary, dirs_exist_ok=True)
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file({name: value.contiguous() for name, value in self.head.state_dict().items()}, temporary)

    def look_up(self, store: FeatureStore) -> None:
        """Take features from a store from now on; see `FeatureScorer.look_up`."""
        if store.layout.dtype == "fp16":
            self._store = store

    def encode(self, texts: Sequence[str]) -> StoredFeatures:
        """Return the features of cleaned texts in the unit that the head was trained on."""
        place = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        features = StoredFeatures.of(self._encode(list(place), None))
        return features if len(place) == len(texts) else features.take([place[text] for text in texts])

    def score(
        self, texts: Sequence[str], *, attention: bool = False, progress: Callable[[int], None] | None = None
    ) -> TextScores:
        """Encode cleaned texts and score them; see `Scorer.score`."""
        return self.score_features(StoredFeatures.of(self._encode(texts, progress)), attention=attention)

    def score_features(self, features: StoredFeatures, *, attention: bool = False) -> TextScores:
        """Score texts whose features are stored."""
        scores = np.zeros((len(features), self.head.n_scores), dtype=np.float32)
        looked: list[Attention] | None = [NOWHERE] * len(features) if attention and self.head.attends else None
        for indices, output in head_outputs(self.head, features):
            scores[indices] = output.answer.numpy()
            if looked is not None and output.attention is not None:
                for index, weights in zip(indices.tolist(), output.attention.numpy(), strict=True):
                    spans = features.spans(index)
                    looked[index] = Attention(weights[:, : len(spans)], spans)
        return TextScores(scores, None if looked is None else tuple(looked))

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return cleaned texts as the head sees them, (n, vector_dim)."""
        return self.feature_vectors(self.encode(texts))

    def feature_vectors(self, features: StoredFeatures) -> NDArray[np.float32]:
        """Return texts whose features are stored as the head sees them, (n, vector_dim)."""
        vectors = np.zeros((len(features), self.head.vector_dim), dtype=np.float32)
        for indices, output in head_outputs(self.head, features):
            vectors[indices] = output.vector.numpy()
        return vectors

    def _encode(self, texts: Sequence[str], progress: Callable[[int], None] | None) -> TokenFeatures:
        """Return features of distinct cleaned texts, stored or new."""
        if self._store is None:
            return self._compute(texts, progress)
        report = progress or (lambda _count: None)

        def compute(missing: list[str]) -> TokenFeatures:
            report(len(texts) - len(missing))
            return self._compute(missing, progress)

        return find_or_encode(self._store, texts, compute)

    def _compute(self, texts: Sequence[str], progress: Callable[[int], None] | None) -> TokenFeatures:
        features = self.encoder.encode(texts, progress=progress)
        if self._card.features.unit == "token":
            return features
        self._segmenter = self._segmenter or Segmenter(self._card.segmentation)
        return pool_words(features, texts, self._segmenter)
