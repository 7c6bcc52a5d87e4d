"""What reviewers write about: frequent words, words per star, and words by TF-IDF."""

from collections import Counter
from collections.abc import Iterable, Sequence, Set

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from xingping.ratings import NUM_CLASSES

__all__ = [
    "TELLING_CHARACTERS",
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
    told = [[word for word in words if is_telling(word, stopwords)] for words in documents]
    if not any(told):
        return []
    vectorizer = TfidfVectorizer(analyzer=_as_it_is)
    scores = np.asarray(vectorizer.fit_transform(told).mean(axis=0)).ravel()
    # Rounding keeps ties together where sums differ in the last bit.
    pairs = [(word, round(float(scores[column]), 12)) for word, column in vectorizer.vocabulary_.items()]
    return sorted(pairs, key=_descending)[:top]


def _as_it_is(words: Sequence[str]) -> Sequence[str]:
    return words


def _descending(pair: tuple[str, float]) -> tuple[float, str]:
    return -pair[1], pair[0]
