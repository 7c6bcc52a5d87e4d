"""Whether an explanation tells the truth: what becomes of a rating without the words it names, and with them alone.

Comprehensiveness and sufficiency of DeYoung et al. 2020, arXiv 1911.03429, beside words drawn at random. The changed
texts go through the whole model, encoder included.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.explanation import METHODS, Explanation, explain
from xingping.intervals import Bootstrap
from xingping.predictor import RatingPredictor
from xingping.ratings import to_classes
from xingping.segmentation import Segmenter

__all__ = ["BINS", "MEASURES", "compare_orders", "importances", "measure_faithfulness"]

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of a review's words that are taken away or kept; at least one word."""

LEAST_WORDS = 5
"""Words of a review that is asked; with fewer there is little to choose from."""

REVIEWS = 100
"""Reviews that are asked unless told otherwise: some 6,000 short texts to encode."""

RANDOM_DRAWS = 5
"""Orders of the words of a review that are drawn at random."""

MEASURES = ("comprehensiveness", "sufficiency")

Floats = NDArray[np.float64]
Rate = Callable[[Sequence[str]], Ratings]
Unit = Literal["probability", "stars"]


class _Change(NamedTuple):
    """A text less some of its words, or those alone."""

    review: int
    order: str  # the method, or the random draw, that ranked the words
    share: int  # number of the bin
    measure: str
    text: str


def measure_faithfulness(
    predictor: RatingPredictor, texts: Sequence[str], segmenter: Segmenter, *, reviews: int = REVIEWS, seed: int = 0
) -> dict[str, Any]:
    """Ask of some reviews how faithful attention, occlusion and integrated gradients are.

    Parameters
    ----------
    predictor
        Explains and rates. Attention is left out where its head does not attend.
    texts
        Cleaned, such as those of a test split.
    segmenter
        Finds the words.
    reviews
        How many are drawn from those of at least `LEAST_WORDS` words, each text once.
    seed
        Of the reviews, the random words and the intervals.

    Returns
    -------
    dict
        What `compare_orders` returns, and `task`, `of` (reviews they were drawn from) and `least_words`.
    """
    rng = np.random.default_rng(seed)
    distinct = list(dict.fromkeys(texts))
    chosen: list[str] = []
    for index in rng.permutation(len(distinct)):
        if len(chosen) == reviews:
            break
        if len(segmenter.spans(distinct[index])) >= LEAST_WORDS:
            chosen.append(distinct[index])
    explanations = explain(predictor, chosen, segmenter)
    unit: Unit = "probability" if predictor.task == "classification" else "stars"
    found = compare_orders(predictor.predict, explanations, importances(explanations), unit=unit, seed=seed)
    return {"task": predictor.task, "of": len(texts), "least_words": LEAST_WORDS, **found}


def importances(explanations: Sequence[Explanation]) -> dict[str, list[Floats]]:
    """Return how much each word speaks for the rating that was given, (words,) a review, by each method.

    Effects and gradients have a sign: what pulls away from the baseline to the side where the rating ended speaks for
    it. Attention has none. A method that says nothing of any review is left out.
    """
    found: dict[str, list[Floats]] = {method: [] for method in METHODS}
    for explanation in explanations:
        side, words = _side(explanation), explanation.words
        found["attention"].append(np.array([word.weight for word in words]))
        found["occlusion"].append(np.array([side * (word.effect or 0.0) for word in words]))
        found["gradients"].append(np.array([side * (word.gradient or 0.0) for word in words]))
    return {method: values for method, values in found.items() if any(of_review.any() for of_review in values)}


def compare_orders(
    rate: Rate,
    explanations: Sequence[Explanation],
    importance: Mapping[str, Sequence[Floats]],
    *,
    unit: Unit,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare orders of words by what the most important ones do to the answer.

    The answer m is the probability of the predicted star, or the expected rating, counted in the direction in which it
    lies from the baseline. A method's comprehensiveness is m(text) - m(text without its first words), its sufficiency
    m(text) - m(those words alone), both averaged over `BINS`: a faithful method has a high one and a low one.

    Parameters
    ----------
    rate
        From texts to ratings, such as `RatingPredictor.predict`.
    explanations
        Of n reviews, from the same model, each with a word at least.
    importance
        (words,) of each review, of each method by its name; equal ones are taken in random order.
    unit
        What m is; `probability` of ratings that have probabilities.
    seed
        Of the random words, the ties and the intervals.

    Returns
    -------
    dict
        `unit, reviews, random_draws, bins, texts` (rated for it); `random`: `{measure: {"value", "low", "high"},
        "by_bin": {measure: [value]}}`, where measures are `comprehensiveness` and `sufficiency`, intervals are of 95 %
        and random words are averaged over the draws; `methods`: for each the same, `beyond_random`: `{measure:
        {"value", "low", "high"}}`, the paired difference to random words, and `verdict`: `better` where both measures
        are beyond chance, `partly` where one is and the other is not worse, `mixed` where one is better and one worse,
        `worse` where one is worse and none better, or `no better`. Without a review `methods` is empty and `random`
        None.
    """
    result: dict[str, Any] = {
        "unit": unit, "reviews": len(explanations), "random_draws": RANDOM_DRAWS, "bins": list(BINS), "texts": 0,
        "random": None, "methods": {},
    }  # fmt: skip
    if not explanations:
        return result
    draws = [f"random {draw}" for draw in range(RANDOM_DRAWS)]
    orders = _orders(explanations, importance, draws, np.random.default_rng(seed))
    changes = list(_changes(explanations, orders))
    texts = [explanation.text for explanation in explanations] + [change.text for change in changes]
    reviews = [*range(len(explanations)), *(change.review for change in changes)]
    answers = _answers(rate(texts), explanations, reviews, unit)
    lost = {(order, measure): np.zeros((len(explanations), len(BINS))) for order in orders for measure in MEASURES}
    for change, answer in zip(changes, answers[len(explanations) :].tolist(), strict=True):
        lost[change.order, change.measure][change.review, change.share] = answers[change.review] - answer
    for measure in MEASURES:
        lost["random", measure] = np.mean([lost[draw, measure] for draw in draws], axis=0)
    names = ["random", *importance]
    bootstrap = Bootstrap(
        {name: {measure: lost[name, measure].mean(axis=1) for measure in MEASURES} for name in names}, seed=seed
    )
    measured = {
        name: {
            **bootstrap.interval(name),
            "by_bin": {measure: lost[name, measure].mean(axis=0).tolist() for measure in MEASURES},
        }
        for name in names
    }
    result |= {"texts": len(set(texts)), "random": measured.pop("random")}
    for name, figures in measured.items():
        beyond = bootstrap.difference(name, "random")
        result["methods"][name] = {**figures, "beyond_random": beyond, "verdict": _verdict(beyond)}
    return result


def _side(explanation: Explanation) -> float:
    """Return 1 where the rating lies above the baseline, and -1 below."""
    return 1.0 if explanation.baseline is None or explanation.expected >= explanation.baseline else -1.0


def _orders(
    explanations: Sequence[Explanation],
    importance: Mapping[str, Sequence[Floats]],
    draws: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, list[list[int]]]:
    """Return the words of each review, the most important first, by each method and each random draw."""
    sizes = [len(explanation.words) for explanation in explanations]
    orders: dict[str, list[list[int]]] = {draw: [rng.permutation(size).tolist() for size in sizes] for draw in draws}
    for name, values in importance.items():
        orders[name] = [
            np.lexsort((rng.permutation(size), -of_review)).tolist()
            for size, of_review in zip(sizes, values, strict=True)
        ]
    return orders


def _changes(explanations: Sequence[Explanation], orders: Mapping[str, Sequence[Sequence[int]]]) -> Iterator[_Change]:
    for order, of_reviews in orders.items():
        for review, (explanation, ranked) in enumerate(zip(explanations, of_reviews, strict=True)):
            for number, share in enumerate(BINS):
                first = sorted(ranked[: int(np.ceil(share * len(ranked)))])
                yield _Change(review, order, number, "comprehensiveness", _without(explanation, first))
                yield _Change(review, order, number, "sufficiency", _alone(explanation, first))


def _without(explanation: Explanation, words: Sequence[int]) -> str:
    """Return the text less some words; what is between words stays."""
    pieces, at = [], 0
    for number in words:
        word = explanation.words[number]
        pieces.append(explanation.text[at : word.start])
        at = word.end
    return "".join([*pieces, explanation.text[at:]])


def _alone(explanation: Explanation, words: Sequence[int]) -> str:
    """Return some words alone, in their order; a space keeps Latin ones apart."""
    text = ""
    for number in words:
        word = explanation.words[number].word
        apart = text[-1:].isascii() and text[-1:].isalnum() and word[0].isascii()
        text += f" {word}" if apart else word
    return text


def _answers(ratings: Ratings, explanations: Sequence[Explanation], reviews: Sequence[int], unit: Unit) -> Floats:
    """Return what a model says of changed texts, (n,), as far as it is for the answer to the reviews they are of."""
    if unit == "probability":
        if ratings.probabilities is None:
            raise ValueError("these ratings have no probabilities; ask in stars")
        stars = np.array([explanation.rating for explanation in explanations])[list(reviews)]
        answers: Floats = ratings.probabilities[np.arange(len(reviews)), to_classes(stars)]
        return answers
    towards: Floats = ratings.expected * np.array([_side(each) for each in explanations])[list(reviews)]
    return towards


def _verdict(beyond: Mapping[str, Mapping[str, float]]) -> str:
    more, less = beyond["comprehensiveness"], beyond["sufficiency"]
    better = (more["low"] > 0) + (less["high"] < 0)
    worse = (more["high"] < 0) + (less["low"] > 0)
    if better and worse:
        return "mixed"
    if worse:
        return "worse"
    return ("no better", "partly", "better")[better]
