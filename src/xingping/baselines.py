"""What a user would pick instead: always the commonest star, or a linear model on character n-grams."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from xingping.ratings import NUM_CLASSES, to_classes

__all__ = ["MOST_REVIEWS", "CharNgramBaseline", "MajorityBaseline", "sample_for_baselines"]

MOST_REVIEWS = 200_000
"""Training reviews that the baselines see; beyond, n-grams outgrow the memory and the patience of a laptop."""


def sample_for_baselines(n: int, *, seed: int) -> NDArray[np.int64]:
    """Choose which of n training reviews the baselines see: all, or a random `MOST_REVIEWS` of them, ascending."""
    if n <= MOST_REVIEWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_REVIEWS, replace=False))


class MajorityBaseline:
    """Answers with the shares of the training ratings, whatever the text; its mode is the commonest star."""

    def __init__(self) -> None:
        self._shares = np.full(NUM_CLASSES, 1 / NUM_CLASSES)

    def fit(self, ratings: NDArray[np.int64]) -> "MajorityBaseline":
        """Count the training ratings, (n,) 1..5."""
        self._shares = np.bincount(to_classes(ratings), minlength=NUM_CLASSES) / len(ratings)
        return self

    def predict_proba(self, n: int) -> NDArray[np.float64]:
        """Return the same probabilities n times, (n, 5)."""
        return np.tile(self._shares, (n, 1))


class CharNgramBaseline:
    """Logistic regression on TF-IDF of character 1- to 3-grams, multinomial, L2 with C = 1.

    Terms of fewer than two reviews are dropped and term frequencies are logarithmic. Training with Newton's
    method gives the optimum of L-BFGS in a tenth of its time here.
    """

    def __init__(self) -> None:
        self._vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True, dtype=np.float32
        )
        self._model: LogisticRegression | None = None
        self._only: int = 0

    def fit(self, texts: Sequence[str], ratings: NDArray[np.int64]) -> "CharNgramBaseline":
        """Fit on training texts and their ratings, (n,) 1..5; with one star only, that star is the answer."""
        self._only = int(ratings[0])
        try:
            features = self._vectorizer.fit_transform(texts)
        except ValueError:  # no n-gram occurs in two reviews
            self._vectorizer.min_df = 1
            features = self._vectorizer.fit_transform(texts)
        if (ratings != self._only).any():
            self._model = LogisticRegression(C=1.0, solver="newton-cg", max_iter=100).fit(features, ratings)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return probabilities, (n, 5); 0 for a star that training never saw."""
        result = np.zeros((len(texts), NUM_CLASSES))
        if self._model is None:
            result[:, to_classes(np.array(self._only))] = 1.0
        else:
            features = self._vectorizer.transform(texts)
            result[:, to_classes(self._model.classes_)] = self._model.predict_proba(features)
        return result
