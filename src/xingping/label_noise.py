"""How far the stars can be trusted: equal texts with different stars, and stars that contradict their text."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from xingping.ratings import NUM_CLASSES, to_classes

__all__ = ["equal_text_ceiling", "suspect_labels"]


def equal_text_ceiling(texts: Iterable[str], ratings: NDArray[np.int64]) -> dict[str, Any]:
    """Measure what the stars of equal texts leave to be known: no model of the text alone can do better on them.

    Two figures bound the best accuracy on such reviews. Who answers each text with the star that another author
    of the same text gave is right as often as two of them agree: that is a lower bound for the best rule. Who knew
    all stars and answered with the commonest of each text would have the upper one; on texts that occur twice it
    is too kind, since one of the two is always right.

    Parameters
    ----------
    texts, ratings
        Cleaned texts and their stars, (n,) 1..5.

    Returns
    -------
    dict
        `texts`, `reviews` (how many share their text), and for the exact star and within one star: `agreement` (two
        random reviews of one text), `best` (the commonest star, or the star with most within one); None where no two
        reviews share a text.
    """
    digests = np.fromiter((xxhash.xxh3_64_intdigest(text.encode("utf-8", "replace")) for text in texts), np.uint64)
    distinct, codes = np.unique(digests, return_inverse=True)
    cells = np.bincount(codes * NUM_CLASSES + to_classes(ratings), minlength=len(distinct) * NUM_CLASSES)
    table = cells.reshape(-1, NUM_CLASSES)  # (texts, 5)
    table = table[table.sum(axis=1) > 1]
    if not len(table):
        return {"texts": 0, "reviews": 0, "agreement": None, "best": None, "agreement_within_one": None,
                "best_within_one": None}  # fmt: skip
    n = table.sum(axis=1)
    near = np.pad(table, ((0, 0), (1, 1)))
    near = near[:, :-2] + near[:, 1:-1] + near[:, 2:]  # reviews within one star of each star
    pairs = n * (n - 1)
    weights = n / n.sum()  # each review counts once
    return {
        "texts": len(table),
        "reviews": int(n.sum()),
        "agreement": float(weights @ ((table * (table - 1)).sum(axis=1) / pairs)),
        "best": float(table.max(axis=1).sum() / n.sum()),
        "agreement_within_one": float(weights @ ((table * (near - 1)).sum(axis=1) / pairs)),
        "best_within_one": float(near.max(axis=1).sum() / n.sum()),
    }


def suspect_labels(probabilities: NDArray[np.float64], ratings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which reviews have a star that their text contradicts, the worst first.

    Confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068): a star counts as claimed by the model
    where its probability is at least what it is on average for reviews that bear it. A review is suspect where a
    star is claimed, the likeliest of those is not its own, and they lie two stars or more apart: neighbours are a
    matter of taste. They are ranked by the probability of their own star (self-confidence).

    Parameters
    ----------
    probabilities
        (n, 5) of reviews that the model was not trained on.
    ratings
        (n,) 1..5.
    """
    given = to_classes(ratings)
    own = probabilities[np.arange(len(given)), given]
    usual = np.array([own[given == kind].mean() if (given == kind).any() else np.inf for kind in range(NUM_CLASSES)])
    claimed = np.where(probabilities >= usual, probabilities, -1.0)
    likeliest = claimed.argmax(axis=1)
    suspect = (claimed.max(axis=1) > 0) & (np.abs(likeliest - given) > 1)
    rows = np.flatnonzero(suspect)
    return rows[np.argsort(own[rows], kind="stable")]
