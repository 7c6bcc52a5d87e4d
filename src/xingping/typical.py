"""Reviews that stand for many: nearest to the centre, and not like one another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

__all__ = ["READABLE_LENGTHS", "typical_reviews"]

READABLE_LENGTHS = (12, 120)
"""Characters of a review worth showing: enough to say something, short enough to read."""

CANDIDATES = 200
"""Reviews nearest to the centre among which the choice is made."""

LEAST_NEARNESS = 0.5
"""Part of the nearness of the nearest that a review must have, or it would be chosen for being odd."""

NEARNESS = 0.6
"""Weight of being near to the centre; the rest is for being unlike what was chosen before."""


def typical_reviews(
    tfidf: csr_matrix, texts: Sequence[str], where: NDArray[np.bool_], number: int, *, nearness: float = NEARNESS
) -> list[int]:
    """Choose reviews that are typical of a group.

    Typical is what is near to the mean of the group's TF-IDF vectors (Radev et al. 2004,
    doi:10.1016/j.ipm.2003.10.006), by cosine. Of these, one after the other is taken that is near and unlike those
    taken before (maximal marginal relevance, Carbonell and Goldstein 1998, doi:10.1145/290941.291025).

    Parameters
    ----------
    tfidf
        (n, words) weights, each row of length one or empty (`vocabulary.WordTable.tfidf`).
    texts
        Of the same reviews.
    where
        (n,) the group.
    number
        Reviews to choose at most. No text is chosen twice, and none less than half as near as the nearest.
    nearness
        Between 0 and 1; 1 does not care how much alike they are.

    Returns
    -------
    list of int
        Places, the most typical first. Reviews of readable length only, unless there is none; none
        without a telling word.
    """
    rows = np.flatnonzero(where & (np.diff(tfidf.indptr) > 0))
    lengths = np.array([len(texts[row]) for row in rows.tolist()], dtype=np.int64)
    readable = (lengths >= READABLE_LENGTHS[0]) & (lengths <= READABLE_LENGTHS[1])
    centre = np.asarray(tfidf[rows].mean(axis=0)).ravel() if rows.size else np.zeros(tfidf.shape[1])
    rows = _distinct(texts, rows[readable] if readable.any() else rows)
    if not rows.size:
        return []
    near = tfidf[rows] @ (centre / np.linalg.norm(centre))
    nearest = np.argsort(-near.round(9), kind="stable")[:CANDIDATES]
    nearest = nearest[near[nearest] >= LEAST_NEARNESS * near.max()]
    rows, near = rows[nearest], near[nearest]
    alike = (tfidf[rows] @ tfidf[rows].T).toarray()
    chosen: list[int] = []
    likest = np.zeros(len(rows))
    while len(chosen) < min(number, len(rows)):
        worth = nearness * near - (1 - nearness) * likest
        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))
        likest = np.maximum(likest, alike[chosen[-1]])
    return [int(row) for row in rows[chosen]]


def _distinct(texts: Sequence[str], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    first = {texts[row]: row for row in rows[::-1].tolist()}
    return np.array(sorted(first.values()), dtype=np.intp)
