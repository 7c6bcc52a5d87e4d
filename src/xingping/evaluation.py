"""How good a model is: on the test split, film by film, and beside the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.baselines import CharNgramBaseline, MajorityBaseline
from xingping.metrics import decide, rating_metrics
from xingping.predictor import Ratings

__all__ = ["Answers", "baseline_answers", "evaluate_answers", "evaluate_films", "predictions_table"]


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

    @classmethod
    def of(cls, ratings: Ratings) -> "Answers":
        """Take a predictor's ratings."""
        expected = ratings.expected if ratings.probabilities is None else None
        return cls(ratings.rating, expected, ratings.probabilities)

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


def baseline_answers(
    train_texts: Sequence[str], train_ratings: NDArray[np.int64], texts: Sequence[str]
) -> dict[str, Answers]:
    """Train every baseline and let it rate some texts.

    Returns
    -------
    dict
        `majority`; `char_ngram`, by the likeliest star; `char_ngram_median`, the same model by the median.
    """
    shares = MajorityBaseline().fit(train_ratings).predict_proba(len(texts))
    ngrams = CharNgramBaseline().fit(train_texts, train_ratings).predict_proba(texts)
    return {
        "majority": Answers(decide(shares, "mode"), probabilities=shares),
        "char_ngram": Answers(decide(ngrams, "mode"), probabilities=ngrams),
        "char_ngram_median": Answers(decide(ngrams, "median")),
    }


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


def predictions_table(reviews: pa.Table, models: Mapping[str, Answers], baselines: Mapping[str, Answers]) -> pa.Table:
    """Return the content of `predictions.parquet`: a row a test review, the models' and the n-grams' answers."""
    table = reviews.select(["row", "rating", "film"])
    for task, answers in models.items():
        expected = answers.expected
        if answers.probabilities is not None:
            expected = answers.probabilities @ np.arange(1, 6)
            for star in range(1, 6):
                table = table.append_column(f"p{star}", pa.array(answers.probabilities[:, star - 1]))
        table = table.append_column(f"{task}_rating", pa.array(answers.rating.astype(np.int8)))
        table = table.append_column(f"{task}_expected", pa.array(expected))
    ngrams = pa.array(baselines["char_ngram"].rating.astype(np.int8))
    return table.append_column("char_ngram_rating", ngrams)
