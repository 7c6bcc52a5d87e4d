"""t-SNE of review vectors (van der Maaten and Hinton 2008), by openTSNE, and new reviews on the same map.

Poličar, Stražar and Zupan 2024, doi:10.18637/jss.v109.i03; of new points Poličar, Stražar and Zupan 2023,
doi:10.1007/s10994-021-06043-1.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from openTSNE import TSNE, TSNEEmbedding
from openTSNE.affinity import PerplexityBasedNN
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from xingping.artifacts import atomic_path
from xingping.errors import RunDirectoryError

__all__ = ["MAP_FILE", "MOST_POINTS", "ReviewMap", "project_reviews", "sample_for_projection"]

MAP_FILE = "review_map.safetensors"
"""In a run directory: what it takes to put new reviews on the map of the trained head's vectors."""

PERPLEXITY = 30.0

FEWEST_POINTS = 8
"""Fewer have no neighbourhoods worth the name."""

DIMENSIONS = 50
"""More slow the search for neighbours and hold mostly noise, as in the t-SNE paper."""

MANY_POINTS = 5000
"""From here on repulsion is interpolated on a grid (FIt-SNE, arXiv 1712.09005), which is then the faster way."""

WORTH_THREADS = 1000
"""Points from which on threads save more than they cost."""

PLACING_PERPLEXITY = 5.0
"""A new review is drawn to its 15 nearest on the map."""

MOST_POINTS = 20_000
"""Test reviews that are drawn."""

MOST_OTHERS = 4000
"""Reviews from the other splits that are drawn beside them, so that films have enough."""

FILM_POINTS = 120
"""Reviews of each film that are added from the other splits where the test split has fewer."""


class ReviewMap:
    """Reviews in the plane, and where new ones would lie among them.

    Parameters
    ----------
    mean, components
        (dim,) and (dim, d): the reviews' mean vector and their principal components, at most 50.
    reduced
        (n, d) their vectors in these components.
    points
        (n, 2) their places.
    """

    def __init__(
        self,
        mean: NDArray[np.float32],
        components: NDArray[np.float32],
        reduced: NDArray[np.float32],
        points: NDArray[np.float32],
    ) -> None:
        self.points = points
        self._mean, self._components, self._reduced = mean, components, reduced

    @classmethod
    def fit(cls, vectors: ArrayLike, *, seed: int) -> Self:
        """Lay vectors out in the plane.

        Parameters
        ----------
        vectors
            (n, dim). Fewer than eight all get the origin.
        seed
            Two maps of one seed on one machine are the same, byte for byte.
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        n, dim = vectors.shape
        # As they are saved, so that a new review with a known vector is its own nearest neighbour.
        mean = (vectors.mean(axis=0) if n else np.zeros(dim)).astype(np.float32)
        components = _principal_components(vectors - mean, DIMENSIONS).astype(np.float32)
        reduced = _reduce(vectors, mean, components)
        points = np.zeros((n, 2), dtype=np.float32)
        if n >= FEWEST_POINTS:
            tsne = TSNE(
                perplexity=min(PERPLEXITY, (n - 1) / 3),
                initialization="pca",
                # Exact, for an index of random trees depends on the number of threads that built it.
                neighbors="exact",
                negative_gradient_method=_gradient_method(n),
                n_jobs=1 if n < WORTH_THREADS else -1,
                random_state=seed,
            )
            points = np.asarray(tsne.fit(reduced.astype(np.float64)), dtype=np.float32)
        return cls(mean, components, reduced, points)

    def save(self, run: Path) -> None:
        """Write the map into a run directory."""
        arrays = {
            "mean": self._mean,
            "components": np.ascontiguousarray(self._components),
            "reduced": self._reduced,
            "points": self.points,
        }
        with atomic_path(run / MAP_FILE) as path:
            save_file(arrays, path)

    @classmethod
    def load(cls, run: Path) -> Self:
        """Read the map of a run directory: that of the vectors of its first task's model.

        Raises
        ------
        RunDirectoryError
            The run has none, or it is damaged.
        """
        path = run / MAP_FILE
        try:
            arrays = load_file(path)
            return cls(*(arrays[name] for name in ("mean", "components", "reduced", "points")))
        except (OSError, SafetensorError, KeyError) as error:
            raise RunDirectoryError(f"cannot read {path} ({error}); run: xingping evaluate {run}") from error

    def place(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """Return where new reviews lie on the map, (m, 2), each for itself; the others do not move.

        Parameters
        ----------
        vectors
            (m, dim) by the same model (`RatingPredictor.vectors`); none gives an empty array. On a map of fewer than
            eight reviews all get the origin.

        Raises
        ------
        ValueError
            The vectors are of another width than the map's.
        """
        vectors = np.asarray(vectors, dtype=np.float64)
        if vectors.ndim != 2 or vectors.shape[1] != len(self._mean):
            raise ValueError(f"vectors of shape {vectors.shape} on a map of vectors of {len(self._mean)} dimensions")
        if not len(vectors) or len(self.points) < FEWEST_POINTS:
            return np.zeros((len(vectors), 2), dtype=np.float32)
        reduced = _reduce(vectors, self._mean, self._components).astype(np.float64)
        # transform moves the map's middle to the origin.
        middle = (self.points.max(axis=0) + self.points.min(axis=0)) / 2
        perplexity = min(PLACING_PERPLEXITY, len(self.points) / 3)
        placed = np.asarray(self._embedding.transform(reduced, perplexity=perplexity))
        return np.asarray(placed + middle, dtype=np.float32)

    @cached_property
    def _embedding(self) -> TSNEEmbedding:
        # Only new reviews are moved, so of the affinities just the search for neighbours is needed.
        affinities = PerplexityBasedNN(
            self._reduced.astype(np.float64), perplexity=1, method="exact", symmetrize=False, random_state=0
        )
        method = _gradient_method(len(self.points))
        return TSNEEmbedding(self.points, affinities, negative_gradient_method=method, random_state=0)


def project_reviews(reviews: pa.Table, maps: Mapping[str, ReviewMap]) -> pa.Table:
    """Return the content of `projection.parquet`.

    Parameters
    ----------
    reviews
        With `row, split, film, rating`.
    maps
        Of these reviews; each gives two columns, named by its key and x or y.
    """
    table = reviews.select(["row", "split", "film", "rating"])
    for prefix, review_map in maps.items():
        for axis, values in zip("xy", review_map.points.T, strict=True):
            table = table.append_column(f"{prefix}{axis}", pa.array(np.ascontiguousarray(values)))
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
        Their indices, ascending; at most `MOST_POINTS` test reviews and `MOST_OTHERS` others.
    """
    order = np.random.default_rng(seed).permutation(len(film))
    test = order[is_test[order]][:MOST_POINTS]
    count = int(film.max(initial=-1)) + 1
    if count * FILM_POINTS > MOST_OTHERS:
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


def _gradient_method(n: int) -> str:
    return "fft" if n >= MANY_POINTS else "bh"


def _principal_components(centred: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the directions of most variance, (dim, count); all dimensions as they are where there are no more."""
    dim = centred.shape[1]
    if dim <= count:
        return np.eye(dim)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(directions[:, ::-1][:, :count])


def _reduce(
    vectors: NDArray[np.float64], mean: NDArray[np.float32], components: NDArray[np.float32]
) -> NDArray[np.float32]:
    return ((vectors - mean) @ components).astype(np.float32)
