"""Fitting a model on chosen reviews of a run: a head, the n-grams beside it, and what other reviews teach of both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xingping.baselines import sample_reviews
from xingping.config import EncoderSettings, RunSettings, Task
from xingping.evaluation import Answers
from xingping.features import StoredFeatures
from xingping.heads import RatingHead
from xingping.model_card import MODEL_FORMAT, ModelCard
from xingping.ngrams import MOST_REVIEWS, NgramModel
from xingping.predictor import RatingPredictor
from xingping.prepared import PreparedReviews
from xingping.segmentation import Segmenter
from xingping.training import LabelledFeatures, train_head

__all__ = ["EncodedReviews", "fit_ngrams"]

Indices = NDArray[np.int64]


def fit_ngrams(reviews: PreparedReviews, settings: RunSettings, train: Indices) -> NgramModel | None:
    """Fit the model on n-grams, on a sample where there are very many reviews; None where the run has no such."""
    if not settings.ngrams.enabled:
        return None
    seen = train[sample_reviews(len(train), most=MOST_REVIEWS, seed=settings.seed)]
    texts = reviews.table(seen, ["text"])["text"].to_pylist()
    return NgramModel.fit(texts, reviews.ratings(seen), settings.ngrams, Segmenter(settings.segmentation))


@dataclass(frozen=True, eq=False)
class EncodedReviews:
    """The reviews of a run with their stored features, and how models are made of them.

    Reviews are named by their indices, (n,) int64 and ascending.

    Attributes
    ----------
    reviews
        All reviews.
    features
        Theirs, in the same order.
    settings
        Of the run.
    encoder
        What made the features, with nothing left to choose.
    encoder_fingerprint
        Its fingerprint.
    """

    reviews: PreparedReviews
    features: StoredFeatures
    settings: RunSettings
    encoder: EncoderSettings
    encoder_fingerprint: str

    def texts(self, indices: Indices) -> list[str]:
        """Return the cleaned texts of some reviews."""
        texts: list[str] = self.reviews.table(indices, ["text"])["text"].to_pylist()
        return texts

    def words(self, indices: Indices) -> list[str]:
        """Return the words of some reviews, with spaces between."""
        return [" ".join(words) for words in self.reviews.table(indices, ["words"])["words"].to_pylist()]

    def labelled(self, indices: Indices) -> LabelledFeatures:
        """Return the features and stars of some reviews, and their films where a training takes out their effects."""
        layers = len(self.encoder.layers or (-1,))
        film = self.reviews.named_films(indices) if self.settings.takes_film_effects else None
        return LabelledFeatures(self.features.take(indices), self.reviews.ratings(indices), layers, film)

    def fit(
        self,
        task: Task,
        train: Indices,
        valid: Indices,
        *,
        seed: int | None = None,
        checkpoint: Path | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> RatingPredictor:
        """Train a head and n-grams on some reviews, and weigh them by others.

        Parameters
        ----------
        task
            What is predicted.
        train, valid
            The reviews.
        seed
            In place of the run's.
        checkpoint, progress
            As `xingping.training.train_head` takes them.
        """
        settings = self.settings
        trained = train_head(
            task,
            self.labelled(train),
            self.labelled(valid),
            settings.head,
            settings.training,
            seed=settings.seed if seed is None else seed,
            checkpoint=checkpoint,
            progress=progress,
        )
        return self.calibrated(task, trained.head, fit_ngrams(self.reviews, self.settings, train), valid)

    def calibrated(self, task: Task, head: RatingHead, ngrams: NgramModel | None, valid: Indices) -> RatingPredictor:
        """Put a model together and have it learn from validation reviews how to weigh its parts.

        Parameters
        ----------
        task
            What the head predicts.
        head
            Trained.
        ngrams
            None for the head alone.
        valid
            Reviews that neither was trained on.
        """
        settings = self.settings
        card = ModelCard(
            format=MODEL_FORMAT,
            task=task,
            encoder=self.encoder,
            encoder_fingerprint=self.encoder_fingerprint,
            finetuning=settings.finetuning,
            features=settings.features,
            dim=self.features.dim,
            head=settings.head,
            cleaning=settings.cleaning,
            segmentation=settings.segmentation,
            ngrams=settings.ngrams,
            answers=settings.answers,
        )
        return RatingPredictor.of_head(card, head, ngrams=ngrams).calibrate(
            self.features.take(valid),
            self.texts(valid),
            self.reviews.ratings(valid),
            self.reviews.named_films(valid),
            new_films=settings.split.unit == "film",
        )

    def rate(self, predictor: RatingPredictor, indices: Indices) -> Answers:
        """Let a model rate some reviews."""
        return Answers.of(predictor.predict_features(self.features.take(indices), self.texts(indices)))
