"""What a frozen encoder misses: character and word n-grams, hashed, and a linear model on them.

N-grams see the very words, with their misspellings and slang; on short reviews such a model is nearly as good as a
head on frozen features, and both together are better than either (`xingping.calibration`). It sees nothing of the
order of things beyond its n-grams.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from xingping.artifacts import atomic_path
from xingping.config import NgramSettings
from xingping.errors import RunDirectoryError
from xingping.ratings import NUM_CLASSES, to_classes
from xingping.segmentation import Segmenter

__all__ = ["MOST_REVIEWS", "NgramModel", "NgramShares"]

BUCKETS = 2**21
"""Columns that the n-grams of each kind are hashed to; the full Douban file fills about half of them."""

LEAST_REVIEWS = 2
"""Reviews of the training split that an n-gram must occur in."""

MOST_STEPS = 100

TOGETHER = 8192
"""Texts whose n-grams are in memory at one time while rating."""

MOST_REVIEWS = 400_000
"""Training reviews that the model sees; beyond, its matrix outgrows the memory of a laptop."""

SPACES = re.compile(r"\s\s+")
"""White space that counts as one character (scikit-learn's `HashingVectorizer`)."""

Probabilities = NDArray[np.float64]
Span = tuple[int, int]
Ngram = tuple[str, tuple[Span, ...]]


class NgramShares(NamedTuple):
    """What each n-gram of some texts adds to the scores of the stars, before the softmax.

    A column's part goes in equal shares to its occurrences, and an occurrence's to the characters it covers: one of
    several words has a piece for each of them, and none for what lies between.
    """

    text: NDArray[np.int64]  # (pieces,) number of the text
    spans: NDArray[np.int64]  # (pieces, 2) half-open, in characters of the text
    scores: NDArray[np.float64]  # (pieces, 5)


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
        self._closed = np.append(columns, -1)  # what is looked for behind the last column is not found

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
        rows = _tfidf(self._count_known(texts), self._idf)
        scores = (rows @ self._weights[:-1] + self._weights[-1]).astype(np.float64)
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        return probabilities

    @property
    def bias(self) -> NDArray[np.float64]:
        """Scores of the stars where a text has no known n-gram, (5,); -inf for a star that training never saw."""
        bias: NDArray[np.float64] = self._weights[-1].astype(np.float64)
        return bias

    def shares(self, texts: Sequence[str]) -> NgramShares:
        """Return which n-grams make the scores; with `bias` they add up to them."""
        counts = self._count_known(texts)
        each = _tfidf(counts, self._idf)
        each.data /= counts.data
        found = [(number, *ngram) for number, ngrams in enumerate(self._ngrams(texts)) for ngram in ngrams]
        text = np.array([number for number, *_ in found], dtype=np.int64)
        columns = _hashed([(kind, ngram) for _, kind, (ngram, _) in found])
        place = np.searchsorted(self._columns, columns)
        known = self._closed[place] == columns
        covered = [spans for (*_, (_, spans)), kept in zip(found, known, strict=True) if kept]
        text, place = text[known], place[known]
        if not covered:
            return NgramShares(text, np.zeros((0, 2), dtype=np.int64), np.zeros((0, NUM_CLASSES)))
        owner = np.repeat(np.arange(len(covered)), [len(spans) for spans in covered])
        spans = np.array([span for spans in covered for span in spans], dtype=np.int64).reshape(-1, 2)
        lengths = (spans[:, 1] - spans[:, 0]).astype(np.float64)
        lengths /= np.bincount(owner, weights=lengths, minlength=len(covered))[owner]
        values = np.asarray(each[text, place], dtype=np.float64).reshape(-1)
        scores = (lengths * values[owner])[:, None] * self._weights[place[owner]]
        return NgramShares(text[owner], spans, scores)

    def _count_known(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Return how often each n-gram that carries weight occurs in each text, (n, m).

        SciPy would select columns by going through all of them, which takes longer than to rate a text.
        """
        counts = _count(texts, self.settings, self._segmenter)
        place = np.searchsorted(self._columns, counts.indices)
        known = self._closed[place] == counts.indices
        starts = np.concatenate([[0], np.cumsum(known)])[counts.indptr]
        return sp.csr_matrix((counts.data[known], place[known], starts), shape=(len(texts), len(self._columns)))

    def _ngrams(self, texts: Sequence[str]) -> Iterator[list[tuple[int, Ngram]]]:
        """Yield the n-grams of each text, each with the number of its kind, as `_count` counts them."""
        settings = self.settings
        for text in texts:
            found = [(0, ngram) for ngram in _character_ngrams(text, settings.characters)]
            if settings.words:
                words = [(word.text, (word.start, word.end)) for word in self._segmenter.spans(text)]
                found += [(int(settings.characters > 0), ngram) for ngram in _word_ngrams(words, settings.words)]
            yield found

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


def _character_ngrams(text: str, longest: int) -> Iterator[Ngram]:
    """Yield the n-grams of characters, in lower case and with white space as one, and where each is in the text."""
    lowered = text.lower()
    origin = np.repeat(np.arange(len(text)), [len(character.lower()) for character in text])
    kept: list[str] = []
    first: list[int] = []  # where each kept character begins and ends in the text
    last: list[int] = []
    at = 0
    for space in [*SPACES.finditer(lowered), None]:
        end = len(lowered) if space is None else space.start()
        kept += lowered[at:end]
        first += origin[at:end].tolist()
        last += origin[at:end].tolist()
        if space is not None:
            at = space.end()
            kept.append(" ")
            first.append(int(origin[end]))
            last.append(int(origin[at - 1]))
    for length in range(1, longest + 1):
        for start in range(len(kept) - length + 1):
            stop = start + length - 1
            yield "".join(kept[start : stop + 1]), ((first[start], last[stop] + 1),)


def _word_ngrams(words: Sequence[tuple[str, Span]], longest: int) -> Iterator[Ngram]:
    """Yield the n-grams of words, in lower case, and where their words are in the text."""
    tokens = [
        (token.group(), (start + token.start(), min(end, start + token.end())))
        for word, (start, end) in words
        for token in re.finditer(r"\S+", word.lower())
    ]
    for length in range(1, longest + 1):
        for start in range(len(tokens) - length + 1):
            some = tokens[start : start + length]
            yield " ".join(token for token, _ in some), tuple(span for _, span in some)


def _hashed(ngrams: Sequence[tuple[int, str]]) -> NDArray[np.int64]:
    """Return the column of each n-gram, given with the number of its kind."""
    distinct = {ngram: number for number, ngram in enumerate(dict.fromkeys(ngram for _, ngram in ngrams))}
    hasher = FeatureHasher(BUCKETS, input_type="string", alternate_sign=False)
    buckets = hasher.transform([[ngram] for ngram in distinct]).indices.astype(np.int64) if distinct else []
    return np.array([kind * BUCKETS + buckets[distinct[ngram]] for kind, ngram in ngrams], dtype=np.int64)
