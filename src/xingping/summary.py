"""The article's table of the data: reviews, words, characters and star shares of each split."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xingping.ratings import NUM_CLASSES
from xingping.splits import SIDES

__all__ = ["Tally"]


@dataclass
class Tally:
    """Counts of reviews, which add up over parts of the data.

    Attributes
    ----------
    stars : (sides, stars) int64
        Reviews by side, an index of `SIDES`, and star less one.
    words, characters : (sides,) int64
        Of the reviews of each side.
    films
        Reviews of each film by star, (stars,) int64; "" where it is not known.
    """

    stars: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(SIDES), NUM_CLASSES), dtype=np.int64))
    words: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SIDES), dtype=np.int64))
    characters: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SIDES), dtype=np.int64))
    films: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table) -> "Tally":
        """Count reviews with the columns `split`, `rating`, `text`, `words` and `film`."""
        split = table["split"].combine_chunks().indices.to_numpy().astype(np.int64)
        star = table["rating"].to_numpy().astype(np.int64) - 1
        film = table["film"].combine_chunks().dictionary_encode()
        names = film.dictionary.to_pylist()
        by_film = _counts(film.indices.to_numpy(zero_copy_only=False).astype(np.int64), star, len(names))
        return cls(
            stars=_counts(split, star, len(SIDES)),
            words=_sums(split, pc.list_value_length(table["words"])),
            characters=_sums(split, pc.utf8_length(table["text"])),
            films=dict(zip(names, by_film, strict=True)),
        )

    def add(self, other: "Tally") -> None:
        """Add the counts of other reviews."""
        self.stars += other.stars
        self.words += other.words
        self.characters += other.characters
        for film, stars in other.films.items():
            self.films[film] = self.films[film] + stars if film in self.films else stars

    def describe(self, distinct_texts: Mapping[str, int]) -> dict[str, Any]:
        """Return `splits` and `films` of `data_summary.json`.

        Parameters
        ----------
        distinct_texts
            Of each side that is to be described, and of `all`.
        """
        sides = {name: slice(index, index + 1) for index, name in enumerate(SIDES)} | {"all": slice(None)}
        named = {film: stars for film, stars in self.films.items() if film}
        order = sorted(named, key=lambda film: (-int(named[film].sum()), film))
        return {
            "splits": {
                name: {
                    "reviews": int(self.stars[side].sum()),
                    "distinct_texts": distinct,
                    "words": int(self.words[side].sum()),
                    "characters": int(self.characters[side].sum()),
                    "stars": _by_star(self.stars[side].sum(axis=0)),
                }
                for name, distinct in distinct_texts.items()
                for side in [sides[name]]
            },
            "films": {
                film: {
                    "reviews": int(named[film].sum()),
                    "mean_rating": int(named[film] @ np.arange(1, NUM_CLASSES + 1)) / int(named[film].sum()),
                    "stars": _by_star(named[film]),
                }
                for film in order
            },
        }


def _counts(group: NDArray[np.int64], star: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    return np.bincount(group * NUM_CLASSES + star, minlength=groups * NUM_CLASSES).reshape(groups, NUM_CLASSES)


def _sums(group: NDArray[np.int64], values: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.bincount(group, values.to_numpy(), minlength=len(SIDES)).astype(np.int64)  # exact below 2**53


def _by_star(counts: NDArray[np.int64]) -> dict[str, int]:
    return {str(star): int(count) for star, count in enumerate(counts, start=1)}
