"""Which words a head looked at: attention on tokens, merged to words; and reviews worth showing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xingping.predictor import Attention, RatingPredictor, Ratings
from xingping.segmentation import Segmenter, Word

__all__ = ["Explanation", "WordWeight", "choose_examples", "explain", "explain_ratings", "word_weights"]

EXAMPLE_LENGTHS = (12, 90)
"""Characters of a review worth showing: enough to say something, short enough to read."""


@dataclass(frozen=True, slots=True)
class WordWeight:
    """A word, its half-open character span, and its share of the attention on words."""

    word: str
    start: int
    end: int
    weight: float


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


def explain(predictor: RatingPredictor, texts: Sequence[str], segmenter: Segmenter | None = None) -> list[Explanation]:
    """Rate texts and say which words the head looked at.

    Parameters
    ----------
    predictor
        One whose head attends; for the others every weight is 0.
    texts
        Raw texts.
    segmenter
        By default the one with the settings of the training.
    """
    segmenter = segmenter or Segmenter(predictor.card.segmentation)
    return explain_ratings(predictor.clean(texts), predictor.predict(texts, attention=True), segmenter)


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
    length = max([word.end for word in words] + ([] if attention is None else attention.spans[:, 1].tolist()), default=0)
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
