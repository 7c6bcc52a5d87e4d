"""Which words a rating rests on: what the head looked at, and what leaving a word out does to the whole model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.answers import Attention, Ratings
from xingping.features import StoredFeatures
from xingping.predictor import RatingPredictor
from xingping.segmentation import Segmenter, Word

__all__ = [
    "Explanation",
    "WordWeight",
    "add_effects",
    "choose_examples",
    "explain",
    "explain_examples",
    "explain_ratings",
    "word_weights",
]

EXAMPLE_LENGTHS = (12, 90)
"""Characters of a review worth showing: enough to say something, short enough to read."""

EXAMPLES_PER_STAR = 3

FILMS_WITH_EXAMPLES = 60
"""Films, the most reviewed first, whose highlighted reviews are kept for a case study."""


@dataclass(frozen=True, slots=True)
class WordWeight:
    """A word, its half-open character span, its share of the attention on words, and its effect.

    The effect is the expected rating less that of the text without the word, in stars: head and n-grams together,
    so it is there where a head does not attend. None where it was not asked for.
    """

    word: str
    start: int
    end: int
    weight: float
    effect: float | None = None


@dataclass(frozen=True)
class Explanation:
    """A rated text and what its rating rests on.

    Attributes
    ----------
    text
        The cleaned text, which the spans refer to.
    rating, expected
        As in `Ratings`.
    probability
        Of the rating; None for regression.
    words
        In order of the text; the weights sum to 1, or are all 0 where there was nothing to look at.
    outside
        Share of the attention that fell on punctuation and space, and so on no word.
    """

    text: str
    rating: int
    expected: float
    probability: float | None
    words: tuple[WordWeight, ...]
    outside: float

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON takes it."""
        return asdict(self)


def explain(
    predictor: RatingPredictor, texts: Sequence[str], segmenter: Segmenter | None = None, *, effects: bool = True
) -> list[Explanation]:
    """Rate texts and say which words the head looked at, and what each word does to the rating.

    Parameters
    ----------
    predictor
        One whose head attends; for the others every weight is 0.
    texts
        Raw texts.
    segmenter
        By default the one with the settings of the training.
    effects
        Whether to rate each text once more without each of its words.
    """
    segmenter = segmenter or Segmenter(predictor.card.segmentation)
    explanations = explain_ratings(predictor.clean(texts), predictor.predict(texts, attention=True), segmenter)
    return add_effects(predictor, explanations) if effects else explanations


def add_effects(predictor: RatingPredictor, explanations: Sequence[Explanation]) -> list[Explanation]:
    """Return explanations with each word's effect, by leaving it out (Li et al. 2016, arXiv 1612.08220)."""
    without = [
        explanation.text[: word.start] + explanation.text[word.end :]
        for explanation in explanations
        for word in explanation.words
    ]
    left = iter(predictor.predict(without).expected.tolist())
    return [
        replace(
            explanation,
            words=tuple(replace(word, effect=explanation.expected - next(left)) for word in explanation.words),
        )
        for explanation in explanations
    ]


def explain_ratings(texts: Sequence[str], ratings: Ratings, segmenter: Segmenter) -> list[Explanation]:
    """Say which words ratings rest on, from the attention that came with them.

    Parameters
    ----------
    texts
        Cleaned texts, as they were encoded.
    ratings
        Of the same texts, made with `attention=True`.
    segmenter
        Finds the words.
    """
    explanations = []
    for index, text in enumerate(texts):
        attention = ratings.attention[index] if ratings.attention else None
        words, outside = word_weights(segmenter.spans(text), attention)
        rating = int(ratings.rating[index])
        probability = None if ratings.probabilities is None else float(ratings.probabilities[index, rating - 1])
        explanations.append(
            Explanation(text, rating, float(ratings.expected[index]), probability, tuple(words), outside)
        )
    return explanations


def word_weights(words: Sequence[Word], attention: Attention | None) -> tuple[list[WordWeight], float]:
    """Merge attention on tokens, averaged over the hops, to words.

    A token's weight goes to its characters in equal parts, and a word gets what its characters have.

    Returns
    -------
    list of WordWeight
        Weights sum to 1 over the words.
    float
        Share that fell on no word.
    """
    length = max(
        [word.end for word in words] + ([] if attention is None else attention.spans[:, 1].tolist()), default=0
    )
    at_character = np.zeros(length)
    if attention is not None and attention.weights.size:
        for (start, end), weight in zip(attention.spans, attention.weights.mean(axis=0), strict=True):
            if end > start:
                at_character[start:end] += weight / (end - start)
    cumulative = np.concatenate([[0.0], at_character.cumsum()])
    raw = np.array([cumulative[word.end] - cumulative[word.start] for word in words])
    on_words, total = raw.sum(), at_character.sum()
    scale = 1 / on_words if on_words > 0 else 0.0
    merged = [
        WordWeight(word.text, word.start, word.end, float(weight * scale))
        for word, weight in zip(words, raw, strict=True)
    ]
    return merged, float(1 - on_words / total) if total > 0 else 0.0


def explain_examples(
    predictor: RatingPredictor, test: pa.Table, features: StoredFeatures, segmenter: Segmenter
) -> dict[str, Any]:
    """Explain well-chosen reviews of the test split, overall and of each film.

    Parameters
    ----------
    predictor
        Rates and attends.
    test
        The test reviews, with `row, text, film, rating`.
    features
        Of the same reviews.
    segmenter
        Finds the words.

    Returns
    -------
    dict
        The content of `explanations.json`: `{"overall": [entry], "films": {film: [entry]}}`, where an entry has
        `row, text, film, rating, predicted, probability, words`.
    """
    ratings = predictor.predict_features(features, test["text"].to_pylist())
    if ratings.probabilities is None:
        confidence = -np.abs(ratings.expected - ratings.rating)
    else:
        confidence = ratings.probabilities.max(axis=1)
    true = np.asarray(test["rating"].to_numpy(), dtype=np.int64)
    reviews = test.select(["row", "text", "film", "rating"]).to_pylist()
    groups = {"": np.arange(len(reviews))} | _rows_of_films(test)
    chosen = {}
    for name, rows in groups.items():
        texts = [reviews[row]["text"] for row in rows]
        picked = choose_examples(texts, true[rows], ratings.rating[rows], confidence[rows], per_star=EXAMPLES_PER_STAR)
        chosen[name] = rows[picked].tolist()
    wanted = sorted({row for rows in chosen.values() for row in rows})
    texts = [reviews[row]["text"] for row in wanted]
    looked = predictor.predict_features(features.take(wanted), texts, attention=True)
    explanations = add_effects(predictor, explain_ratings(texts, looked, segmenter))
    entries = {
        row: {
            **reviews[row],
            "predicted": explanation.rating,
            "probability": explanation.probability,
            "words": explanation.to_dict()["words"],
        }
        for row, explanation in zip(wanted, explanations, strict=True)
    }
    shown = {name: [entries[row] for row in rows] for name, rows in chosen.items()}
    return {"overall": shown.pop(""), "films": shown}


def _rows_of_films(test: pa.Table) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each of the most reviewed films."""
    film = np.asarray(test["film"].to_pylist(), dtype=str)
    names, counts = np.unique(film[film != ""], return_counts=True)
    most = names[np.lexsort((names, -counts))][:FILMS_WITH_EXAMPLES]
    return {str(name): np.flatnonzero(film == name) for name in most}


def choose_examples(
    texts: Sequence[str],
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    *,
    per_star: int,
) -> list[int]:
    """Choose reviews to show, for each star from 5 down to 1.

    Of each star: the surest right answers of readable length, and last the surest wrong one, since a report
    that shows only successes misleads.

    Parameters
    ----------
    texts, true, predicted
        The reviews, (n,) each.
    confidence
        (n,) higher is surer.
    per_star
        Reviews of each star at most, the wrong one among them.
    """
    lengths = np.array([len(text) for text in texts])
    readable = (lengths >= EXAMPLE_LENGTHS[0]) & (lengths <= EXAMPLE_LENGTHS[1])
    chosen: list[int] = []
    for star in (5, 4, 3, 2, 1):
        order = np.lexsort((lengths, -confidence))
        of_star = [i for i in order if true[i] == star and readable[i]] or [i for i in order if true[i] == star]
        right = [i for i in of_star if predicted[i] == star]
        wrong = [i for i in of_star if predicted[i] != star][:1]
        seen: set[str] = set()
        for index in right[: max(0, per_star - len(wrong))] + wrong:
            if texts[index] not in seen:
                seen.add(texts[index])
                chosen.append(int(index))
    return chosen
