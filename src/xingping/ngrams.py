"""What a frozen encoder misses: character and word n-grams, hashed, and a linear model on them.

N-grams see the very words, with their misspellings and slang; on short reviews such a model is nearly as good as a
head on frozen features, and both together are better than either (`xingping.calibration`). It sees nothing of the
order of things beyond its n-grams.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from xingping.artifacts import atomic_path
from xingping.config import NgramSettings
from xingping.errors import RunDirectoryError
from xingping.ratings import NUM_CLASSES, to_classes
from xingping.segmentation import Segmenter

__all__ = ["MOST_REVIEWS", "NgramModel"]

BUCKETS = 2**21
"""Columns that the n-grams of each kind are hashed to; the full Douban file fills about half of them."""

LEAST_REVIEWS = 2
"""Reviews of the training split that an n-gram must occur in."""

MOST_STEPS = 100

TOGETHER = 8192
"""Texts whose n-grams are in memory at one time while rating."""

MOST_REVIEWS = 400_000
"""Training reviews that the model sees; beyond, its matrix outgrows the memory of a laptop."""

Probabilities = NDArray[np.float64]


class NgramModel:
    """Logistic regression, multinomial and with an L2 penalty, on TF-IDF of hashed n-grams.

    Term frequencies are logarithmic, rows have norm 1, and n-grams of fewer than `LEAST_REVIEWS` reviews count for
    nothing. Only columns that carry weight are kept.

    Parameters
    ----------
    settings
        Lengths of the n-grams and the penalty.
    segmenter
        Finds the words.
    columns
        (m,) which of the hashed columns carry weight, ascending.
    idf
        (m,) their inverse document frequencies.
    weights
        (m + 1, 5), the last row is the bias.
    """

    def __init__(
        self,
        settings: NgramSettings,
        segmenter: Segmenter,
        columns: NDArray[np.int64],
        idf: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        self.settings = settings
        self._segmenter = segmenter
        self._columns, self._idf, self._weights = columns, idf, weights

    @classmethod
    def fit(
        cls, texts: Sequence[str], ratings: NDArray[np.int64], settings: NgramSettings, segmenter: Segmenter
    ) -> "NgramModel":
        """Fit on training texts and their ratings, (n,) 1..5."""
        counts = _count(texts, settings, segmenter)
        reviews = np.bincount(counts.indices, minlength=counts.shape[1])
        least = LEAST_REVIEWS if (reviews >= LEAST_REVIEWS).any() else 1
        columns = np.flatnonzero(reviews >= least)
        # As scikit-learn's TfidfTransformer, smoothed: as if one more review held every n-gram.
        idf = (np.log((1 + len(texts)) / (1 + reviews[columns])) + 1).astype(np.float32)
        rows = _tfidf(counts[:, columns], idf)
        weights = np.zeros((len(columns) + 1, NUM_CLASSES), dtype=np.float32)
        present = np.unique(ratings)
        weights[-1] = np.where(np.isin(np.arange(1, 1 + NUM_CLASSES), present), 0, -np.inf)
        if len(present) > 1:
            model = LogisticRegression(C=settings.inverse_penalty, solver="newton-cg", max_iter=MOST_STEPS)
            model.fit(rows, ratings)
            kinds = to_classes(model.classes_)
            if len(kinds) == 2:  # one row of weights tells two classes apart
                weights[:-1, kinds[1]], weights[-1, kinds[1]] = model.coef_[0], model.intercept_[0]
            else:
                weights[:-1, kinds], weights[-1, kinds] = model.coef_.T, model.intercept_
        return cls(settings, segmenter, columns, idf, weights)

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return probabilities of the stars, (n, 5); 0 for a star that training never saw."""
        chunks = [self._predict_proba(texts[at : at + TOGETHER]) for at in range(0, len(texts), TOGETHER)]
        return np.concatenate([np.zeros((0, NUM_CLASSES)), *chunks])

    def _predict_proba(self, texts: Sequence[str]) -> Probabilities:
        rows = _tfidf(_count(texts, self.settings, self._segmenter)[:, self._columns], self._idf)
        scores = (rows @ self._weights[:-1] + self._weights[-1]).astype(np.float64)
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        return probabilities

    def save(self, path: Path) -> None:
        """Write the weights, as a safetensors file."""
        with atomic_path(path) as temporary:
            save_file({"columns": self._columns, "idf": self._idf, "weights": self._weights}, temporary)

    @classmethod
    def load(cls, path: Path, settings: NgramSettings, segmenter: Segmenter) -> "NgramModel":
        """Read the weights.

        Raises
        ------
        RunDirectoryError
            The file is missing or damaged.
        """
        try:
            arrays = load_file(path)
            return cls(settings, segmenter, arrays["columns"], arrays["idf"], arrays["weights"])
        except (OSError, SafetensorError, KeyError) as error:
            raise RunDirectoryError(f"cannot load {path}: {error}; train the model again") from error


def _count(texts: Sequence[str], settings: NgramSettings, segmenter: Segmenter) -> sp.csr_matrix:
    """Return how often each n-gram occurs in each text, (n, BUCKETS a kind): characters first, then words."""
    shared = {"n_features": BUCKETS, "norm": None, "alternate_sign": False, "dtype": np.float32}
    parts = []
    if settings.characters:
        characters = HashingVectorizer(analyzer="char", ngram_range=(1, settings.characters), **shared)
        parts.append(characters.transform(texts))
    if settings.words:
        words = HashingVectorizer(token_pattern=r"\S+", ngram_range=(1, settings.words), **shared)
        parts.append(words.transform(map(" ".join, segmenter.words(texts))))
    return sp.hstack(parts, format="csr")


def _tfidf(counts: sp.csr_matrix, idf: NDArray[np.float32]) -> sp.csr_matrix:
    """Turn counts into TF-IDF in rows of norm 1; a row without any known n-gram stays empty."""
    rows = sp.csr_matrix((1 + np.log(counts.data), counts.indices, counts.indptr), shape=counts.shape)
    rows.data *= idf[rows.indices]
    norms = np.sqrt(np.bincount(_row_numbers(rows), weights=rows.data**2, minlength=rows.shape[0]))
    rows.data /= norms[_row_numbers(rows)].astype(np.float32)
    return rows


def _row_numbers(rows: sp.csr_matrix) -> NDArray[np.intp]:
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
