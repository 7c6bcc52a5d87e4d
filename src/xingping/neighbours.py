"""Reviews of the training split that a model sees as near to a text: evidence that a person can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.artifacts import write_table
from xingping.config import Task
from xingping.errors import RunDirectoryError
from xingping.features import StoredFeatures
from xingping.predictor import RatingPredictor

__all__ = ["MOST_REVIEWS", "REVIEWS", "Neighbour", "Neighbours"]

REVIEWS = "neighbours.parquet"

MOST_REVIEWS = 20_000
"""Reviews that are kept to compare with, drawn at random; searched through in a few milliseconds."""

FOUND = 50
"""Most neighbours of a text."""


@dataclass(frozen=True)
class Neighbour:
    """A review with its author's stars, and the cosine of its vector and the text's."""

    text: str
    film: str
    rating: int
    similarity: float


class Neighbours:
    """Reviews and their vectors under one model.

    Parameters
    ----------
    reviews
        With `text, film, rating`.
    vectors
        (n, head.vector_dim) of norm 1.
    """

    def __init__(self, reviews: pa.Table, vectors: NDArray[np.float32]) -> None:
        self._reviews = reviews
        self._vectors = vectors

    @classmethod
    def build(cls, predictor: RatingPredictor, features: StoredFeatures, reviews: pa.Table) -> Self:
        """Take reviews, with `text, film, rating`, whose features are stored."""
        return cls(reviews.select(["text", "film", "rating"]), _normed(predictor.vectors(features)))

    def save(self, path: Path) -> None:
        """Write a Parquet file."""
        halves = self._vectors.astype(np.float16)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), halves.shape[1])
        write_table(path, self._reviews.append_column("vector", flat))

    @classmethod
    def load_beside(cls, path: Path, task: Task) -> Self | None:
        """Load the reviews of a model bundle or a run directory; None where it has none.

        Raises
        ------
        RunDirectoryError
            The file is damaged.
        """
        places = (path / REVIEWS, path / "models" / task / REVIEWS)
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            return None
        try:
            table = pq.read_table(file)
            width = table.schema.field("vector").type.list_size
            vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        except (OSError, pa.ArrowException, KeyError, AttributeError) as error:
            raise RunDirectoryError(f"cannot read {file} ({error}); evaluate the run again") from error
        return cls(table.drop_columns("vector"), _normed(vectors.astype(np.float32)))

    def find(self, predictor: RatingPredictor, texts: Sequence[str], n: int = FOUND) -> list[list[Neighbour]]:
        """Return for each raw text the n reviews with the largest cosine to it, the nearest first."""
        vectors = _normed(predictor.text_vectors(texts))
        found = []
        for cosines in vectors @ self._vectors.T:
            nearest = np.argpartition(-cosines, min(n, len(cosines)) - 1)[:n]
            nearest = nearest[np.argsort(-cosines[nearest], kind="stable")]
            rows = self._reviews.take(pa.array(nearest)).to_pylist()
            found.append(
                [
                    Neighbour(row["text"], row["film"], row["rating"], float(cosine))
                    for row, cosine in zip(rows, cosines[nearest], strict=True)
                ]
            )
        return found


def _normed(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    normed: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return normed
