"""What a model adds to the rows of a table: ratings, how sure it is of them, and on demand the words behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.explanation import Explanation, Method, add_effects, add_gradients, explain_ratings
from xingping.predictor import RatingPredictor
from xingping.segmentation import Segmenter

__all__ = ["Rate", "RowAnswers"]

EXPLAINED_TEXTS = 512
"""Texts that are explained together."""

WORD_VALUES: dict[Method, str] = {"attention": "weight", "occlusion": "effect", "gradients": "gradient"}
"""What a word has by each method, as `explanation.WordWeight` calls it."""

Words = list[dict[str, str | float]]
"""The words of a text in their order, each with its value."""


class Rate(Protocol):
    """Rates texts as `RatingPredictor.predict` does."""

    def __call__(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Ratings:
        """Return the ratings of texts, in their order."""


@dataclass(frozen=True)
class RowAnswers:
    """Makes the columns that are added to rows.

    Attributes
    ----------
    predictor
        The model.
    rate
        What rates texts in its place; None for the predictor itself.
    method
        Also say which words ratings rest on, by this method; then the predictor rates.
    """

    predictor: RatingPredictor
    rate: Rate | None = None
    method: Method | None = None

    def columns(
        self, texts: Sequence[str | None], notes: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> pa.Table:
        """Return the columns for some rows.

        Parameters
        ----------
        texts
            Raw; None or without a word where there is nothing to rate.
        notes
            Why a row could not be read, or "".
        progress
            Called with the number of texts done since the last call.
        """
        raw = [text or "" for text in texts]
        cleaned = self.predictor.clean(raw)
        rated = np.array([bool(text) and not note for text, note in zip(cleaned, notes, strict=True)], dtype=np.bool_)
        chosen = [text for text, ok in zip(raw, rated, strict=True) if ok]
        words: list[Words] | None = None
        if self.method is not None:
            ratings, words = self._explained(chosen, self.method, progress)
        else:
            ratings = (self.rate or self.predictor.predict)(chosen, progress=progress)
        columns = rating_columns(ratings)
        if words is not None and self.method is not None:
            columns["predicted_words"] = pa.array(words, _word_type(WORD_VALUES[self.method]))
        place = np.cumsum(rated) - 1
        where = pa.array(np.where(rated, place, 0), mask=~rated)
        columns = {name: values.take(where) for name, values in columns.items()}
        columns["predicted_note"] = pa.array(
            [note or ("" if ok else "no text") for note, ok in zip(notes, rated, strict=True)], pa.string()
        )
        return pa.table(columns)

    def _explained(
        self, texts: Sequence[str], method: Method, progress: Callable[[int], None] | None
    ) -> tuple[Ratings, list[Words]]:
        """Rate texts, and say which words each rating rests on; equal texts are worked on once."""
        cleaned = self.predictor.clean(texts)
        place = {text: index for index, text in enumerate(dict.fromkeys(cleaned))}
        distinct, segmenter = list(place), Segmenter(self.predictor.card.segmentation)
        parts: list[Ratings] = []
        words: list[Words] = []
        for start in range(0, max(1, len(distinct)), EXPLAINED_TEXTS):
            chunk = distinct[start : start + EXPLAINED_TEXTS]
            ratings, found = self._explained_chunk(chunk, method, segmenter)
            parts.append(ratings)
            words += [_words(explanation, WORD_VALUES[method]) for explanation in found]
            if progress:
                progress(len(chunk))
        indices = [place[text] for text in cleaned]
        return Ratings.join(parts).take(indices), [words[index] for index in indices]

    def _explained_chunk(
        self, texts: list[str], method: Method, segmenter: Segmenter
    ) -> tuple[Ratings, list[Explanation]]:
        """Rate distinct cleaned texts and explain them; gradients rest on the features that the ratings come from."""
        if method == "gradients":
            features = self.predictor.encode(texts)
            ratings = self.predictor.predict_features(features, texts)
            return ratings, add_gradients(self.predictor, features, explain_ratings(texts, ratings, segmenter))
        ratings = self.predictor.predict(texts, attention=method == "attention")
        found = explain_ratings(texts, ratings, segmenter)
        return ratings, add_effects(self.predictor, found) if method == "occlusion" else found


def rating_columns(ratings: Ratings) -> dict[str, pa.Array]:
    """Return the columns of ratings, a row each."""
    columns: dict[str, pa.Array] = {
        "predicted_rating": pa.array(ratings.rating.astype(np.int8)),
        "predicted_expected": pa.array(ratings.expected.round(4)),
    }
    if ratings.probabilities is not None:
        for star in range(1, 6):
            columns[f"predicted_p{star}"] = pa.array(ratings.probabilities[:, star - 1].round(6))
    if ratings.sets is not None:
        columns["predicted_set"] = pa.array([_named(row) for row in ratings.sets], pa.string())
    return columns


def _named(row: NDArray[np.bool_]) -> str:
    return " ".join(map(str, np.flatnonzero(row) + 1))


def _words(explanation: Explanation, value: str) -> Words:
    return [{"word": word.word, value: round(getattr(word, value), 4)} for word in explanation.words]


def _word_type(value: str) -> pa.DataType:
    return pa.list_(pa.struct([("word", pa.string()), (value, pa.float64())]))
