"""Words that set two groups of reviews apart: log-odds ratio with an informative Dirichlet prior.

Monroe, Colaresi and Quinn 2008, "Fightin' Words" (doi:10.1093/pan/mpn018). What is merely common in both groups scores
nothing, and what is rare is pulled to nothing by the prior, so neither stopwords nor slips of the pen come out on top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["DistinctiveWord", "distinctive_words", "distinctive_words_of", "log_odds"]

Floats = NDArray[np.float64]

LEAST_Z = 1.96
"""A word below this could well be there by chance; among thousands of words, a few above it are too."""

LEAST_COUNT = 3
"""Reviews of the group that must use a word."""


PRIOR_SHARE = 0.1
"""Pseudo-counts for a count. With all counts for a prior (Jurafsky et al. 2014, doi:10.5210/fm.v19i4.4944), planted
words of films with few hundred reviews are not found; with far fewer, words of small groups come up by chance."""


@dataclass(frozen=True, slots=True)
class DistinctiveWord:
    """A word that one group of reviews uses more than another.

    Attributes
    ----------
    word
        As in the reviews.
    z
        Log-odds ratio in standard deviations; what words are ranked by.
    log_odds
        Natural logarithm of the ratio of odds.
    count, other
        Reviews of the group, and of the other, that use it.
    """

    word: str
    z: float
    log_odds: float
    count: int
    other: int


def log_odds(first: ArrayLike, second: ArrayLike, prior: ArrayLike) -> tuple[Floats, Floats]:
    """Return the log-odds ratios of words between two groups, and their z-scores.

    Equations 16 and 20 to 22 of Monroe et al. 2008. Exchanging the groups changes the signs and nothing else.

    Parameters
    ----------
    first, second
        (words,) counts in each group.
    prior
        (words,) pseudo-counts that are added to both; above 0. The larger, the more a word must show.

    Returns
    -------
    delta, z
        (words,) each; above 0 where the first group uses the word more. With a single word both are 0: it
        makes up all of either group.

    Raises
    ------
    ValueError
        A pseudo-count is not above 0.
    """
    counts = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])  # (2, words)
    alpha = np.asarray(prior, dtype=np.float64)
    if (alpha <= 0).any():
        raise ValueError("the prior of every word must be above 0")
    if counts.shape[1] <= 1:
        return np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
    seen = counts + alpha
    odds = np.log(seen) - np.log(seen.sum(axis=1, keepdims=True) - seen)
    delta: Floats = odds[0] - odds[1]
    return delta, delta / np.sqrt((1 / seen).sum(axis=0))


def distinctive_words(
    words: Sequence[str],
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    *,
    strength: float | None = None,
    top: int = 20,
    least_z: float = LEAST_Z,
    least_count: int = LEAST_COUNT,
) -> list[DistinctiveWord]:
    """Return the words that the first group uses more than the second.

    The prior of a word is its frequency in both groups together. Let a count be of reviews that use the word, so that
    one who writes it forty times does not decide.

    Parameters
    ----------
    words
        Distinct words.
    first, second
        (words,) counts in each group.
    strength
        Sum of the pseudo-counts; by default a tenth of all counts (`PRIOR_SHARE`).
    top
        Most words to return.
    least_z, least_count
        What is below is left out.

    Returns
    -------
    list of DistinctiveWord
        Highest z-score first, ties in the order of the code points; empty where a group has no words.
    """
    total = np.asarray(first, dtype=np.float64) + second
    if not np.any(first) or not np.any(second):
        return []
    where = np.flatnonzero(total)
    scale = PRIOR_SHARE if strength is None else strength / total.sum()
    delta, z = log_odds(first[where], second[where], total[where] * scale)
    kept = (z >= least_z) & (first[where] >= least_count)
    found = [
        DistinctiveWord(words[at], round(float(score), 6), round(float(ratio), 6), int(first[at]), int(second[at]))
        for at, score, ratio in zip(where[kept].tolist(), z[kept], delta[kept], strict=True)
    ]  # rounding keeps ties together where sums differ in the last bit
    return sorted(found, key=lambda word: (-word.z, word.word))[:top]


def distinctive_words_of(
    first: Mapping[str, int], second: Mapping[str, int], *, top: int = 20, least_z: float = LEAST_Z
) -> list[DistinctiveWord]:
    """Return the words that the first group uses more than the second, from counts by word (`distinctive_words`)."""
    words = sorted(first.keys() | second.keys())
    one, other = (np.array([counts.get(word, 0) for word in words], dtype=np.int64) for counts in (first, second))
    return distinctive_words(words, one, other, top=top, least_z=least_z)
