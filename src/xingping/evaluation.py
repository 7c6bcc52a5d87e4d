"""How good a model is: on the test split, film by film, and beside the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.baselines import FastTextBaseline, MajorityBaseline, MeanFeaturesBaseline, NgramBaseline
from xingping.calibration import FilmMeans
from xingping.intervals import BEST_RULES, Bootstrap, review_values
from xingping.metrics import decide, rating_metrics
from xingping.slices import find_slices

__all__ = [
    "Answers",
    "BaselineData",
    "baseline_answers",
    "evaluate_answers",
    "evaluate_film_means",
    "evaluate_films",
    "evaluate_slices",
    "measure_doubt",
    "predictions_table",
]


WEAKEST_FILMS = 5
"""Films that are slices of their own."""

FILM_REVIEWS = 20
"""Test reviews below which a film is not called weak: its errors may be chance."""


@dataclass(frozen=True)
class Answers:
    """The ratings that one model or baseline gave to n reviews.

    Attributes
    ----------
    rating
        (n,) 1..5.
    expected
        (n,) the real-valued answer, where that is what the model was asked for.
    probabilities
        (n, 5), where the model gives them.
    """

    rating: NDArray[np.int64]
    expected: NDArray[np.float64] | None = field(default=None)
    probabilities: NDArray[np.float64] | None = field(default=None)

    def values(self, true: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return what each review adds to each measure (`intervals.review_values`)."""
        expected = self.rating.astype(np.float64) if self.expected is None else self.expected
        return review_values(true, expected=expected, probabilities=self.probabilities)

    @classmethod
    def of(cls, ratings: Ratings) -> "Answers":
        """Take a predictor's ratings."""
        expected = ratings.expected if ratings.probabilities is None else None
        return cls(ratings.rating, expected, ratings.probabilities)

    @classmethod
    def join(cls, parts: "Sequence[Answers]") -> "Answers":
        """Put answers of one kind one after the other; at least one part."""
        expected = [part.expected for part in parts if part.expected is not None]
        probabilities = [part.probabilities for part in parts if part.probabilities is not None]
        return cls(
            np.concatenate([part.rating for part in parts]),
            np.concatenate(expected) if expected else None,
            np.concatenate(probabilities) if probabilities else None,
        )

    def take(self, where: NDArray[np.int64]) -> "Answers":
        """Return the answers to some of the reviews."""
        return Answers(
            self.rating[where],
            None if self.expected is None else self.expected[where],
            None if self.probabilities is None else self.probabilities[where],
        )


def evaluate_answers(true: NDArray[np.int64], answers: Answers) -> dict[str, Any]:
    """Return all measures of one set of answers (`metrics.rating_metrics`)."""
    return rating_metrics(true, answers.rating, expected=answers.expected, probabilities=answers.probabilities)


@dataclass(frozen=True)
class BaselineData:
    """What baselines see of some reviews.

    Attributes
    ----------
    texts
        Cleaned texts.
    words
        The same with a space between words.
    means
        (n, dim) the mean of each review's frozen vectors; None where the encoder is not frozen.
    """

    texts: Sequence[str]
    words: Sequence[str]
    means: NDArray[np.float32] | None


def baseline_answers(
    train: BaselineData, train_ratings: NDArray[np.int64], test: BaselineData, *, seed: int = 0
) -> dict[str, Answers]:
    """Train every baseline and let it rate some texts, by the likeliest star.

    Returns
    -------
    dict
        `majority`, `char_ngram`, `word_ngram`, `fasttext`, `mean_features` (where there are means); and
        `char_ngram_median`, the second by the median.
    """
    answers = {
        "majority": MajorityBaseline().fit(train_ratings).predict_proba(len(test.texts)),
        "char_ngram": NgramBaseline("char").fit(train.texts, train_ratings).predict_proba(test.texts),
        "word_ngram": NgramBaseline("word").fit(train.words, train_ratings).predict_proba(test.words),
        "fasttext": FastTextBaseline(seed=seed).fit(train.words, train_ratings).predict_proba(test.words),
    }
    if train.means is not None and test.means is not None:
        model = MeanFeaturesBaseline().fit(train.means, train_ratings)
        answers["mean_features"] = model.predict_proba(test.means)
    median = Answers(decide(answers["char_ngram"], "median"))
    by_mode = {name: Answers(decide(proba, "mode"), probabilities=proba) for name, proba in answers.items()}
    return {**by_mode, "char_ngram_median": median}


def evaluate_films(
    film: NDArray[np.object_],
    true: NDArray[np.int64],
    models: Mapping[str, Answers],
    baselines: Mapping[str, Answers],
) -> dict[str, Any]:
    """Return the measures of each film's reviews, the most reviewed film first.

    Returns
    -------
    dict
        `{film: {"n", "test": {task: M}, "baselines": {name: M}}}`; reviews without a film are left out.
    """
    names, codes, counts = np.unique(film.astype(str), return_inverse=True, return_counts=True)
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    result: dict[str, Any] = {}
    for index in np.lexsort((names, -counts)):
        if not names[index]:
            continue
        where = rows[index]
        result[str(names[index])] = {
            "n": len(where),
            "test": {task: evaluate_answers(true[where], answers.take(where)) for task, answers in models.items()},
            "baselines": {
                baseline: evaluate_answers(true[where], answers.take(where)) for baseline, answers in baselines.items()
            },
        }
    return result


def evaluate_film_means(
    film: NDArray[np.object_], true: NDArray[np.int64], expected: NDArray[np.float64], means: FilmMeans
) -> dict[str, Any]:
    """Return the mean rating of each film as it is and as the model has it, the most reviewed film first.

    Parameters
    ----------
    film, true, expected
        (n,) names, stars and predicted ratings; reviews without a film are left out.
    means
        Gives the intervals.

    Returns
    -------
    dict
        `films`: `{film: {"n", "true", "predicted", "low", "high"}}`; `coverage`: the share of films whose true mean
        lies in its interval of 95 %, None without films.
    """
    names, codes, counts = np.unique(film.astype(str), return_inverse=True, return_counts=True)
    films: dict[str, dict[str, float]] = {}
    for index in np.lexsort((names, -counts)):
        if not names[index]:
            continue
        where = codes == index
        mean, low, high = means.interval(float(expected[where].mean()), int(counts[index]))
        films[str(names[index])] = {
            "n": int(counts[index]), "true": float(true[where].mean()), "predicted": mean, "low": low, "high": high
        }  # fmt: skip
    held = [known["low"] <= known["true"] <= known["high"] for known in films.values()]
    return {"films": films, "coverage": sum(held) / len(held) if held else None}


def measure_doubt(
    true: NDArray[np.int64],
    film: NDArray[np.int32],
    models: Mapping[str, Answers],
    baselines: Mapping[str, Answers],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Return how far the figures may be off by chance, drawn by reviews and by whole films.

    Each measure is taken by the rule that is best for it (`intervals.BEST_RULES`), for models and baselines alike.

    Returns
    -------
    dict
        `intervals`: `{"reviews" | "films": {model or baseline: {measure: {"value", "low", "high"}}}}`;
        `differences`: `{"reviews" | "films": {task: {baseline: {measure: {"value", "low", "high"}}}}}`, the model less
        the baseline. `films` is left out where there are fewer than two. `rules`: the rule of each measure of
        probabilities.
    """
    rated = {name: answers for name, answers in baselines.items() if answers.probabilities is not None}
    values = {name: answers.values(true) for name, answers in {**models, **rated}.items()}
    result: dict[str, Any] = {"intervals": {}, "differences": {}, "rules": {**BEST_RULES, "rmse": "mean"}}
    for unit, groups in {"reviews": None, "films": film}.items():
        if groups is not None and len(np.unique(groups)) < 2:
            continue
        bootstrap = Bootstrap(values, groups=groups, seed=seed)
        result["intervals"][unit] = {name: bootstrap.interval(name) for name in values}
        result["differences"][unit] = {
            task: {name: bootstrap.difference(task, name) for name in rated} for task in models
        }
    return result


def evaluate_slices(
    texts: Sequence[str],
    true: NDArray[np.int64],
    models: Mapping[str, Answers],
    film: NDArray[np.object_] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return how good each model is on kinds of reviews (`slices.find_slices`), and on its weakest films.

    Parameters
    ----------
    texts, true
        (n,) cleaned texts and stars.
    models
        Their answers; the first one's errors say which films are weak.
    film
        (n,) names, empty where unknown. Where given, the films with the largest mean absolute error are slices too:
        at most `WEAKEST_FILMS`, each with at least `FILM_REVIEWS` reviews and a larger error than all reviews
        together. Of many films some are among the weakest by chance.

    Returns
    -------
    dict
        `{slice: {"n", task: {"accuracy", "accuracy_within_one", "mae"}}}`, by the models' own answers; slices without
        a review are left out. A film's slice is named `film` and its name, the weakest first, after all others.
    """
    slices = find_slices(texts, true)
    if film is not None:
        slices |= {f"film {name}": film == name for name in _weakest_films(film, true, next(iter(models.values())))}
    wanted = ("accuracy", "accuracy_within_one", "mae")
    result: dict[str, dict[str, Any]] = {}
    for name, mask in slices.items():
        where = np.flatnonzero(mask)
        if not len(where):
            continue
        result[name] = {"n": len(where)}
        for task, answers in models.items():
            measures = evaluate_answers(true[where], answers.take(where))
            result[name][task] = {measure: measures[measure] for measure in wanted}
    return result


def _weakest_films(film: NDArray[np.object_], true: NDArray[np.int64], answers: Answers) -> list[str]:
    given = answers.rating if answers.expected is None else answers.expected
    error = np.abs(given - true)
    names, codes, counts = np.unique(film.astype(str), return_inverse=True, return_counts=True)
    means = np.bincount(codes, weights=error) / counts
    weak = (counts >= FILM_REVIEWS) & (means > error.mean()) & (names != "")
    order = np.lexsort((names, -means))
    return [str(names[index]) for index in order if weak[index]][:WEAKEST_FILMS]


def predictions_table(reviews: pa.Table, models: Mapping[str, Answers], baselines: Mapping[str, Answers]) -> pa.Table:
    """Return the content of `predictions.parquet`: a row a test review, the models' and the n-grams' answers."""
    table = reviews.select(["row", "rating", "film"])
    first = next((task for task, answers in models.items() if answers.probabilities is not None), None)
    for task, answers in models.items():
        expected = answers.expected
        if answers.probabilities is not None:
            expected = answers.probabilities @ np.arange(1, 6)
            for star in range(1, 6):
                name = f"p{star}" if task == first else f"{task}_p{star}"
                table = table.append_column(name, pa.array(answers.probabilities[:, star - 1]))
        table = table.append_column(f"{task}_rating", pa.array(answers.rating.astype(np.int8)))
        table = table.append_column(f"{task}_expected", pa.array(expected))
    ngrams = pa.array(baselines["char_ngram"].rating.astype(np.int8))
    return table.append_column("char_ngram_rating", ngrams)
