"""t-SNE of review vectors (van der Maaten and Hinton 2008), by openTSNE."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from openTSNE import TSNE

__all__ = ["project", "project_reviews", "sample_for_projection"]

PERPLEXITY = 30.0

MOST_POINTS = 4000
"""Test reviews that are drawn; more hide each other."""

FILM_POINTS = 120
"""Reviews of each film that are added from the other splits where the test split has fewer."""


def project(vectors: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """Return two coordinates for each vector, (n, 2).

    Parameters
    ----------
    vectors
        (n, dim). Fewer than eight have no neighbourhoods worth the name and all get the origin.
    seed
        Two runs with one seed give the same map.
    """
    n = len(vectors)
    if n < 8:
        return np.zeros((n, 2), dtype=np.float32)
    # More than 50 dimensions slow the neighbour search and hold mostly noise, as in the t-SNE paper.
    reduced = _principal_components(vectors.astype(np.float64), 50)
    tsne = TSNE(perplexity=min(PERPLEXITY, (n - 1) / 3), initialization="pca", n_jobs=-1, random_state=seed)
    return np.asarray(tsne.fit(reduced), dtype=np.float32)


def project_reviews(reviews: pa.Table, vectors: Mapping[str, NDArray[np.float32]], *, seed: int) -> pa.Table:
    """Return the content of `projection.parquet`.

    Parameters
    ----------
    reviews
        With `row, split, film, rating`.
    vectors
        Sets of vectors of the reviews; each gives two columns, named by its key and x or y.
    seed
        Of the maps.
    """
    table = reviews.select(["row", "split", "film", "rating"])
    for prefix, vector in vectors.items():
        points = project(vector, seed=seed)
        table = table.append_column(f"{prefix}x", pa.array(points[:, 0]))
        table = table.append_column(f"{prefix}y", pa.array(points[:, 1]))
    return table


def sample_for_projection(is_test: NDArray[np.bool_], film: NDArray[np.int32], *, seed: int) -> NDArray[np.int64]:
    """Choose the reviews to project: test reviews, and enough others of each film for its case study.

    Parameters
    ----------
    is_test
        (n,) whether a review is in the test split.
    film
        (n,) its film, as a small number.
    seed
        Decides which ones.

    Returns
    -------
    ndarray
        Their indices, ascending; at most `MOST_POINTS` test reviews and as many others.
    """
    order = np.random.default_rng(seed).permutation(len(film))
    test = order[is_test[order]][:MOST_POINTS]
    count = int(film.max(initial=-1)) + 1
    if count * FILM_POINTS > MOST_POINTS:
        return np.sort(test)
    chosen = np.zeros(len(film), dtype=bool)
    chosen[test] = True
    others = order[~chosen[order]]
    # The place of each of the others among those of its film, in the drawn order.
    by_film = np.argsort(film[others], kind="stable")
    sizes = np.bincount(film[others], minlength=count)
    place = np.arange(len(others)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    have = np.bincount(film[test], minlength=count)
    wanted = place < FILM_POINTS - have[film[others][by_film]]
    return np.sort(np.concatenate([test, others[by_film[wanted]]]))


def _principal_components(vectors: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = vectors - vectors.mean(axis=0)
    if vectors.shape[1] <= count:
        return centred
    values, directions = np.linalg.eigh(centred.T @ centred)
    reduced: NDArray[np.float64] = centred @ directions[:, np.argsort(values)[::-1][:count]]
    return reduced
