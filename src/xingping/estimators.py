"""The rating model as scikit-learn estimators on lists of texts: for pipelines, cross-validation and grid search.

Every distinct text is encoded once and kept in the feature store, so that the folds and candidates of a search only
train heads.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from xingping.cleaning import clean_text
from xingping.config import (
    AnswerSettings,
    CleaningSettings,
    EncoderSettings,
    FeatureSettings,
    HeadSettings,
    NgramSettings,
    SegmentationSettings,
    Task,
    TrainingSettings,
)
from xingping.encoders import FrozenEncoder
from xingping.features import FeatureStore
from xingping.model_card import MODEL_FORMAT, ModelCard
from xingping.ngrams import NgramModel
from xingping.predictor import RatingPredictor, load_encoder
from xingping.ratings import RATINGS
from xingping.segmentation import Segmenter
from xingping.training import LabelledFeatures, train_head

__all__ = ["RatingClassifier", "RatingRegressor"]

LARGEST_SEED = 2**31 - 1


class _RatingEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """What both estimators do; see `RatingClassifier` for the parameters."""

    _task: Task

    def __init__(
        self,
        *,
        encoder: str = "bundled",
        layers: tuple[int, ...] | None = None,
        precision: str = "auto",
        max_length: int = 256,
        feature_dtype: str = "fp16",
        token_dim: int = 384,
        token_dropout: float = 0.2,
        pooling: str | tuple[str, ...] = "self_attention",
        n_hops: int = 8,
        attention_dim: int = 128,
        penalty: float = 0.003,
        hidden_dim: int = 256,
        dropout: float = 0.5,
        members: int = HeadSettings().members,
        epochs: int | None = None,
        patience: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 5e-4,
        weight_decay: float = 1e-2,
        classification_loss: str | tuple[str, ...] = "cross_entropy",
        label_softness: float = 0.5,
        focal_gamma: float = 2.0,
        regression_loss: str = "mse",
        class_weights: str = "none",
        ngram_characters: int = 4,
        ngram_words: int = 2,
        optimize: str = "accuracy",
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.encoder = encoder
        self.layers = layers
        self.precision = precision
        self.max_length = max_length
        self.feature_dtype = feature_dtype
        self.token_dim = token_dim
        self.token_dropout = token_dropout
        self.pooling = pooling
        self.n_hops = n_hops
        self.attention_dim = attention_dim
        self.penalty = penalty
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.members = members
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.classification_loss = classification_loss
        self.label_softness = label_softness
        self.focal_gamma = focal_gamma
        self.regression_loss = regression_loss
        self.class_weights = class_weights
        self.ngram_characters = ngram_characters
        self.ngram_words = ngram_words
        self.optimize = optimize
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Sequence[str], y: ArrayLike) -> Self:
        """Train on reviews.

        Parameters
        ----------
        X
            (n,) raw texts.
        y
            (n,) stars, whole numbers 1..5.

        Raises
        ------
        TypeError
            X is no list of texts.
        ValueError
            y holds something else than stars, the lengths differ, or there are too few reviews.
        SettingsError
            A parameter is out of range; the message names it.
        """
        texts, ratings = _checked_texts(X), _checked_ratings(y)
        if len(texts) != len(ratings):
            raise ValueError(f"{len(texts)} texts but {len(ratings)} stars: inconsistent numbers of samples")
        seed = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        card_parts = self._settings()
        encoder = _loaded_encoder(card_parts["encoder"])
        cleaned = [clean_text(text, card_parts["cleaning"]) for text in texts]
        train, valid = _divide(cleaned, ratings, self.validation_fraction, seed)
        store = FeatureStore(encoder.fingerprint, settings=card_parts["features"])
        store.encode(encoder, cleaned)
        features = store.view(cleaned)
        train_features, valid_features = (
            LabelledFeatures(features.take(rows), ratings[rows], len(encoder.layers)) for rows in (train, valid)
        )
        training = self._training_settings()
        trained = train_head(self._task, train_features, valid_features, card_parts["head"], training, seed=seed)
        used = {name: getattr(encoder, name) for name in ("layers", "precision", "runtime")}
        card = ModelCard.parse(
            {
                **card_parts,
                "encoder": card_parts["encoder"].model_copy(update=used),
                "format": MODEL_FORMAT,
                "task": self._task,
                "encoder_fingerprint": encoder.fingerprint,
                "dim": features.dim,
            }
        )
        ngrams = None
        if card.ngrams.enabled:
            of_train = [cleaned[row] for row in train]
            ngrams = NgramModel.fit(of_train, ratings[train], card.ngrams, Segmenter(card.segmentation))
        self.predictor_ = RatingPredictor.of_head(card, trained.head, ngrams=ngrams, encoder=encoder).calibrate(
            valid_features.features, [cleaned[row] for row in valid], ratings[valid], np.full(len(valid), -1, np.int32)
        )
        self.n_iter_ = len(trained.epochs)
        self.history_ = trained.history()
        return self

    def _settings(self) -> dict[str, Any]:
        return {
            "encoder": EncoderSettings.parse(
                {
                    "name": self.encoder,
                    "layers": self.layers,
                    "precision": self.precision,
                    "max_length": self.max_length,
                }
            ),
            "features": FeatureSettings.parse({"dtype": self.feature_dtype}),
            "head": HeadSettings.parse(
                {name: getattr(self, name) for name in HeadSettings.model_fields if hasattr(self, name)}
            ),
            "cleaning": CleaningSettings(),
            "segmentation": SegmentationSettings(),
            "ngrams": NgramSettings.parse({"characters": self.ngram_characters, "words": self.ngram_words}),
            "answers": AnswerSettings.parse({"optimize": self.optimize}),
        }

    def _training_settings(self) -> TrainingSettings:
        given = [name for name in TrainingSettings.model_fields if hasattr(self, name) and name != "precision"]
        return TrainingSettings.parse({name: getattr(self, name) for name in given})

    def __sklearn_tags__(self) -> Tags:
        """Say that the input is texts."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.non_deterministic = False
        return tags


class RatingClassifier(ClassifierMixin, _RatingEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Predicts the star of a review.

    Parameters
    ----------
    encoder
        `bundled`, a local folder, or a Hugging Face id.
    layers, precision, max_length
        As `FrozenEncoder.load` takes them; `layers` None means the encoder's best.
    feature_dtype
        `fp16` or `int8`, in the feature store.
    token_dim, token_dropout, pooling, n_hops, attention_dim, penalty, hidden_dim, dropout, members
        The head (`config.HeadSettings`).
    epochs, patience, batch_size, learning_rate, weight_decay
        Its training (`config.TrainingSettings`).
    classification_loss, label_softness, focal_gamma, regression_loss, class_weights
        What is trained for (`config.TrainingSettings`); each estimator has the loss of its own task.
    ngram_characters, ngram_words
        Longest n-grams of the linear model beside the head; 0 and 0 for none.
    optimize
        What the predicted star is chosen for: accuracy, within_one, mae or rmse.
    validation_fraction
        Share of the reviews that `fit` keeps for early stopping and calibration.
    random_state
        Of that choice and of the training.

    Attributes
    ----------
    classes_
        (k,) stars of the training reviews, ascending.
    predictor_
        The `RatingPredictor`; it can be saved as a bundle.
    n_iter_
        Epochs trained.
    history_
        Of the training, as `history.json` has it.
    """

    _task = "classification"

    def fit(self, X: Sequence[str], y: ArrayLike) -> Self:  # noqa: D102 - of the base class
        super().fit(X, y)
        self.classes_: NDArray[np.int64] = np.unique(_checked_ratings(y))
        return self

    def predict(self, X: Sequence[str]) -> NDArray[np.int64]:
        """Return the star of each text, (n,)."""
        check_is_fitted(self)
        return self.predictor_.predict(_checked_texts(X)).rating

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each of `classes_`, (n, k)."""
        check_is_fitted(self)
        probabilities = self.predictor_.predict(_checked_texts(X)).probabilities
        if probabilities is None:
            raise TypeError("a classifier gave no probabilities")
        seen: NDArray[np.float64] = probabilities[:, self.classes_ - 1]
        shares: NDArray[np.float64] = seen / seen.sum(axis=1, keepdims=True)
        return shares


class RatingRegressor(RegressorMixin, _RatingEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Predicts the rating of a review as a real number, 1 to 5; parameters as of `RatingClassifier`.

    Attributes
    ----------
    predictor_, n_iter_, history_
        As of `RatingClassifier`.
    """

    _task = "regression"

    def predict(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Return the rating of each text, (n,) in 1..5."""
        check_is_fitted(self)
        return self.predictor_.predict(_checked_texts(X)).expected


@lru_cache(maxsize=1)
def _loaded_encoder(settings: EncoderSettings) -> FrozenEncoder:
    """Load an encoder once for all folds and candidates."""
    return load_encoder(settings)


def _divide(
    texts: Sequence[str], ratings: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide into training and validation, no text in both, by star where every star has two texts."""
    owner = pa.array(texts, pa.string()).dictionary_encode().indices.to_numpy()
    _, first = np.unique(owner, return_index=True)
    if len(first) == 1:  # then it has to be in both
        owner = first = np.arange(len(texts))
    stars = ratings[first]
    counts = np.bincount(stars)
    enough = counts[counts > 0].min() > 1 and share * len(first) >= np.count_nonzero(counts)
    train, valid = train_test_split(
        np.arange(len(first)), test_size=share, random_state=seed, stratify=stars if enough else None
    )
    return np.flatnonzero(np.isin(owner, train)), np.flatnonzero(np.isin(owner, valid))


def _checked_texts(X: Sequence[str]) -> list[str]:
    if isinstance(X, str):
        raise TypeError("a list of texts is needed, got one string; write [text]")
    if getattr(X, "ndim", 1) != 1:
        raise TypeError("a list of texts is needed, got a table; give its column of texts, such as table['text']")
    texts = list(X)
    wrong = {type(text).__name__ for text in texts if not isinstance(text, str)}
    if wrong:
        raise TypeError(f"a list of texts is needed, one of them is of type {min(wrong)}")
    return texts


def _checked_ratings(y: ArrayLike) -> NDArray[np.int64]:
    numbers = np.asarray(y)
    if numbers.ndim != 1 or not np.isin(numbers, RATINGS).all():
        raise ValueError("y holds stars: one whole number from 1 to 5 a text")
    return numbers.astype(np.int64)
