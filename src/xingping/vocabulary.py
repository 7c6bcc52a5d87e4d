"""What reviewers write about: frequent words, words per star, and words by TF-IDF."""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer

from xingping.ratings import NUM_CLASSES

__all__ = [
    "TELLING_CHARACTERS",
    "WordTable",
    "frequent_words_by_rating",
    "is_telling",
    "mean_rating_by_word",
    "tfidf_top",
    "word_counts",
]

MIN_WORD_LENGTH = 2
"""Shorter words are mostly particles and fragments; `TELLING_CHARACTERS` are the exceptions."""

TELLING_CHARACTERS = frozenset("烂赞爆美燃萌帅丑甜虐酷尬闷俗雷差棒渣爽哭笑泪假")
"""Words of one character that are a verdict by themselves."""


def is_telling(word: str, stopwords: Set[str]) -> bool:
    """Say whether a word is worth counting.

    Parameters
    ----------
    word
        A word of a review.
    stopwords
        Words that never count.

    Returns
    -------
    bool
        False for a stopword, for a word without a letter or a Han character (numbers, signs), and for a
        single character that is not one of `TELLING_CHARACTERS`.
    """
    if word in stopwords or not any(character.isalpha() for character in word):
        return False
    return len(word) >= MIN_WORD_LENGTH or word in TELLING_CHARACTERS


def word_counts(documents: Iterable[Sequence[str]], stopwords: Set[str]) -> dict[str, int]:
    """Count how often each telling word occurs.

    Parameters
    ----------
    documents
        The words of each review.
    stopwords
        Words that never count.

    Returns
    -------
    dict
        Occurrences by word, most frequent first, ties in the order of the code points.
    """
    counts = Counter(word for words in documents for word in words)
    told = [(word, count) for word, count in counts.items() if is_telling(word, stopwords)]
    return dict(sorted(told, key=_descending))


def frequent_words_by_rating(
    words: Sequence[Sequence[str]], ratings: Sequence[int], stopwords: Set[str], top: int = 15
) -> dict[int, list[tuple[str, int]]]:
    """Return the most frequent telling words of the reviews of each star.

    Parameters
    ----------
    words
        The words of each review.
    ratings
        The stars of each review, 1..5.
    stopwords
        Words that never count.
    top
        Words per star.

    Returns
    -------
    dict
        By star, 1..5, at most `top` pairs of word and occurrences, most frequent first; empty where no review
        has that star.
    """
    reviews: dict[int, list[Sequence[str]]] = {rating: [] for rating in range(1, NUM_CLASSES + 1)}
    for document, rating in zip(words, ratings, strict=True):
        reviews[int(rating)].append(document)
    return {rating: list(word_counts(of, stopwords).items())[:top] for rating, of in reviews.items()}


def mean_rating_by_word(
    words: Sequence[Sequence[str]], ratings: Sequence[int], wanted: Iterable[str]
) -> dict[str, float]:
    """Return the mean stars of the reviews in which each wanted word occurs.

    Parameters
    ----------
    words
        The words of each review.
    ratings
        The stars of each review, 1..5.
    wanted
        The words to look for; those that occur nowhere are left out of the result.
    """
    wanted = frozenset(wanted)
    found: dict[str, list[int]] = {}
    for document, rating in zip(words, ratings, strict=True):
        for word in wanted.intersection(document):
            found.setdefault(word, []).append(int(rating))
    return {word: sum(stars) / len(stars) for word, stars in found.items()}


def tfidf_top(documents: Sequence[Sequence[str]], stopwords: Set[str], top: int = 30) -> list[tuple[str, float]]:
    """Return the words that weigh most by TF-IDF.

    A word's score is its TF-IDF weight averaged over all documents, those without it counting as zero. The
    weight is scikit-learn's: the count of the word in the document times ``ln((1 + n) / (1 + df)) + 1``, with
    `n` documents, `df` of them with the word, each document scaled to Euclidean length
    one. So a word scores high that is both common and, where it occurs, a large part of a review.

    Parameters
    ----------
    documents
        The words of each review.
    stopwords
        Words that never count.
    top
        Most words to return.

    Returns
    -------
    list of (word, score)
        Highest score first, ties in the order of the code points; empty where no telling word is left.
    """
    return WordTable.of(documents, stopwords).tfidf_top(top)


@dataclass(frozen=True)
class WordTable:
    """How often each telling word is in each review, counted once for all that is made of it.

    Attributes
    ----------
    words
        Distinct telling words in the order of the code points.
    counts : (n, words) sparse
        Occurrences.
    """

    words: Sequence[str]
    counts: csr_matrix

    @classmethod
    def of(cls, documents: Sequence[Sequence[str]], stopwords: Set[str]) -> "WordTable":
        """Count the words of each review, but for those that tell nothing (`is_telling`)."""
        numbers = _Numbers()
        codes = np.fromiter(map(numbers.__getitem__, chain.from_iterable(documents)), np.int32)
        rows = np.repeat(np.arange(len(documents)), [len(words) for words in documents])
        words = sorted(word for word in numbers if is_telling(word, stopwords))
        columns = np.full(len(numbers), -1, dtype=np.int32)
        columns[[numbers[word] for word in words]] = np.arange(len(words))
        codes = columns[codes]
        told = codes >= 0
        entries = np.ones(int(told.sum()))
        return cls(words, csr_matrix((entries, (rows[told], codes[told])), (len(documents), len(words))))

    @cached_property
    def tfidf(self) -> csr_matrix:
        """TF-IDF weights, (n, words) sparse, each review scaled to Euclidean length one (`tfidf_top`)."""
        return TfidfTransformer().fit_transform(self.counts) if self.counts.nnz else self.counts

    def tfidf_top(self, top: int = 30) -> list[tuple[str, float]]:
        """Return the words that weigh most by TF-IDF, as `tfidf_top`."""
        if not self.counts.nnz:
            return []
        # Rounding keeps ties together where sums differ in the last bit.
        scores = np.asarray(self.tfidf.mean(axis=0)).ravel().round(12)
        return [(self.words[at], float(scores[at])) for at in _highest(scores, top)]

    def occurrences(self, where: NDArray[np.bool_], top: int) -> list[tuple[str, int]]:
        """Return the most frequent words of some reviews, (n,) bool, and how often they occur."""
        counts = np.asarray(self.counts[where].sum(axis=0)).ravel().astype(np.int64)
        return [(self.words[at], int(counts[at])) for at in _highest(counts, top) if counts[at]]

    def reviews_with(self, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return in how many of some reviews, (n,) bool, each word is, (words,)."""
        return np.bincount(self.counts[where].indices, minlength=len(self.words)).astype(np.int64)

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of the values, (n,), of the reviews that use each word, (words,)."""
        of = np.repeat(values, np.diff(self.counts.indptr))
        used = np.bincount(self.counts.indices, minlength=len(self.words))
        means: NDArray[np.float64] = np.bincount(self.counts.indices, of, len(self.words)) / used
        return means


class _Numbers(dict[str, int]):
    """Numbers words as they come."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def _highest(scores: NDArray[np.float64] | NDArray[np.int64], top: int) -> NDArray[np.intp]:
    order: NDArray[np.intp] = np.argsort(-scores, kind="stable")[:top]
    return order


def _descending(pair: tuple[str, float]) -> tuple[float, str]:
    return -pair[1], pair[0]
