"""t-SNE of review vectors (van der Maaten and Hinton 2008), by openTSNE."""

import numpy as np
from numpy.typing import NDArray
from openTSNE import TSNE

__all__ = ["project", "sample_for_projection"]

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


def sample_for_projection(film: NDArray[np.object_], is_test: NDArray[np.bool_], *, seed: int) -> NDArray[np.int64]:
    """Choose the reviews to project: test reviews, and enough others of each film for its case study.

    Returns
    -------
    ndarray
        Sorted indices.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(film))
    test = order[is_test[order]][:MOST_POINTS]
    chosen = np.zeros(len(film), dtype=bool)
    chosen[test] = True
    names, codes = np.unique(film.astype(str), return_inverse=True)
    have = np.bincount(codes[test], minlength=len(names))
    if len(names) * FILM_POINTS <= MOST_POINTS:
        for index in order[~chosen[order]]:
            if have[codes[index]] < FILM_POINTS:
                have[codes[index]] += 1
                chosen[index] = True
    return np.flatnonzero(chosen)


def _principal_components(vectors: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    centred = vectors - vectors.mean(axis=0)
    if vectors.shape[1] <= count:
        return centred
    values, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ directions[:, np.argsort(values)[::-1][:count]])
