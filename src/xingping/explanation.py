"""Which words a rating rests on: what the head looked at, and what each word does to the whole model's answer.

Three methods, side by side: attention, a word left out (occlusion), and integrated gradients. None of them credits
words with what fell on punctuation and space: each says how much that was.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xingping.answers import Attention, Ratings, spread
from xingping.errors import SettingsError
from xingping.features import StoredFeatures
from xingping.predictor import RatingPredictor
from xingping.segmentation import Segmenter, Word

if TYPE_CHECKING:
    from xingping.attribution import Attribution

__all__ = [
    "METHODS",
    "Explanation",
    "Method",
    "WordWeight",
    "add_effects",
    "add_gradients",
    "explain",
    "explain_ratings",
    "word_weights",
]

Method = Literal["attention", "occlusion", "gradients"]

METHODS: tuple[Method, ...] = ("attention", "occlusion", "gradients")


@dataclass(frozen=True, slots=True)
class WordWeight:
    """A word and what it has of a rating.

    Attributes
    ----------
    word, start, end
        The word and its half-open character span.
    weight
        Its share of the attention on words, averaged over the hops.
    effect
        The expected rating less that of the text without the word, in stars: head and n-grams together, so it is
        there where a head does not attend. None where it was not asked for.
    gradient
        Its part of the expected rating less that at the baseline, in stars, by integrated gradients
        (`xingping.attribution`). None where it was not asked for.
    hops
        Its share of all the attention of each hop; those of one hop sum to 1 less its `outside_hops`. Empty where a
        head does not attend.
    """

    word: str
    start: int
    end: int
    weight: float
    effect: float | None = None
    gradient: float | None = None
    hops: tuple[float, ...] = ()


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
        Share of the attention that fell on punctuation and space, and so on no word. A head sees neither [CLS] nor
        [SEP] among the tokens that it attends to.
    outside_hops
        The same of each hop.
    outside_effect
        The expected rating less that of the words alone, without what is between them, in stars; None where effects
        were not asked for.
    outside_gradient
        Stars that integrated gradients give to punctuation, space and a pooled [CLS] vector; None where they were not
        asked for.
    baseline
        The expected rating from which integrated gradients start: `baseline`, `outside_gradient` and the words'
        `gradient` add up to `expected`, within `attribution.COMPLETENESS`.
    """

    text: str
    rating: int
    expected: float
    probability: float | None
    words: tuple[WordWeight, ...]
    outside: float
    outside_hops: tuple[float, ...] = ()
    outside_effect: float | None = None
    outside_gradient: float | None = None
    baseline: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON takes it."""
        return asdict(self)


def explain(
    predictor: RatingPredictor,
    texts: Sequence[str],
    segmenter: Segmenter | None = None,
    *,
    effects: bool = True,
    gradients: bool | None = None,
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
    gradients
        Whether to integrate gradients; by default where the model has any.

    Raises
    ------
    SettingsError
        Gradients are asked for of an exported model, which has none.
    """
    segmenter = segmenter or Segmenter(predictor.card.segmentation)
    if gradients and not predictor.has_features:
        raise SettingsError(
            "an exported model has no gradients: explain by attention and occlusion, or with the run that it was "
            "exported from"
        )
    cleaned = predictor.clean(texts)
    features = predictor.encode(texts) if predictor.has_features else None
    if features is None:
        ratings = predictor.predict(texts, attention=True)
    else:
        ratings = predictor.predict_features(features, cleaned, attention=True)
    explanations = explain_ratings(cleaned, ratings, segmenter)
    if effects:
        explanations = add_effects(predictor, explanations)
    if features is None or gradients is False:
        return explanations
    return add_gradients(predictor, features, explanations)


def add_effects(predictor: RatingPredictor, explanations: Sequence[Explanation]) -> list[Explanation]:
    """Return explanations with each word's effect, by leaving it out (Li et al. 2016, arXiv 1612.08220)."""
    without = [_texts_without(explanation) for explanation in explanations]
    left = iter(predictor.predict([text for texts in without for text in texts]).expected.tolist())
    return [
        _with_effects(explanation, list(islice(left, len(texts))))
        for explanation, texts in zip(explanations, without, strict=True)
    ]


def _texts_without(explanation: Explanation) -> list[str]:
    """Return the text without each of its words, and the words alone, without what is between them."""
    text, words = explanation.text, explanation.words
    return [*(text[: word.start] + text[word.end :] for word in words), _words_alone(explanation)]


def _with_effects(explanation: Explanation, left: Sequence[float]) -> Explanation:
    *of_words, alone = [explanation.expected - expected for expected in left]
    return replace(
        explanation,
        words=tuple(replace(word, effect=effect) for word, effect in zip(explanation.words, of_words, strict=True)),
        outside_effect=alone if _words_alone(explanation) != explanation.text else 0.0,
    )


def _words_alone(explanation: Explanation) -> str:
    covered = np.zeros(len(explanation.text), dtype=np.bool_)
    for word in explanation.words:
        covered[word.start : word.end] = True
    return "".join(character for character, is_word in zip(explanation.text, covered, strict=True) if is_word)


def add_gradients(
    predictor: RatingPredictor, features: StoredFeatures, explanations: Sequence[Explanation]
) -> list[Explanation]:
    """Return explanations with integrated gradients (`attribution.integrated_gradients`).

    Parameters
    ----------
    predictor
        That which rated.
    features
        Of the explained texts, in their order.
    explanations
        Without gradients.
    """
    from xingping.attribution import integrated_gradients

    texts = [explanation.text for explanation in explanations]
    found = integrated_gradients(predictor, features, texts)
    return [_with_gradients(*pair) for pair in zip(explanations, found, strict=True)]


def _with_gradients(explanation: Explanation, found: "Attribution") -> Explanation:
    of_words = [float(found.at_character[word.start : word.end].sum()) for word in explanation.words]
    return replace(
        explanation,
        words=tuple(replace(word, gradient=part) for word, part in zip(explanation.words, of_words, strict=True)),
        outside_gradient=found.total - sum(of_words),
        baseline=found.baseline,
    )


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
            Explanation(
                text,
                rating,
                float(ratings.expected[index]),
                probability,
                tuple(words),
                float(np.mean(outside or 0)),
                outside,
            )
        )
    return explanations


def word_weights(words: Sequence[Word], attention: Attention | None) -> tuple[list[WordWeight], tuple[float, ...]]:
    """Merge attention on tokens to words, hop by hop and averaged over the hops.

    A token's weight goes to its characters in equal parts, and a word gets what its characters have.

    Returns
    -------
    list of WordWeight
        Weights sum to 1 over the words.
    tuple of float
        Share of each hop that fell on no word; empty where there was nothing to look at.
    """
    if attention is None or not attention.weights.size:
        return [WordWeight(word.text, word.start, word.end, 0.0) for word in words], ()
    length = max([0, *(word.end for word in words), *attention.spans[:, 1].tolist()])
    hops = np.stack([spread(attention.spans, weights, length) for weights in attention.weights])  # (hops, characters)
    raw = np.array([hops[:, word.start : word.end].sum(axis=1) for word in words]).reshape(len(words), len(hops))
    raw /= attention.weights.sum(axis=1)  # 1, but for rounding
    share = raw.mean(axis=1)
    scale = 1 / share.sum() if share.sum() > 0 else 0.0
    merged = [
        WordWeight(word.text, word.start, word.end, float(weight * scale), hops=tuple(of_hops.tolist()))
        for word, weight, of_hops in zip(words, share, raw, strict=True)
    ]
    return merged, tuple((1 - raw.sum(axis=0)).clip(0, 1).tolist())
