"""Train, valid and test: stratified by star and film, and no text on two sides.

Texts are known by 64-bit hashes. Should two have the same, which for ten million texts has a chance of one in
300,000, they count as one text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xingping.config import SplitSettings
from xingping.errors import InputError

__all__ = [
    "SIDES",
    "SPLITS",
    "STARS",
    "TEXT_KEY",
    "UNUSED",
    "SideCounts",
    "check_texts",
    "divide_texts",
    "film_ranks",
    "hash_texts",
    "move_groups",
    "side_column",
    "split_reviews",
]

SPLITS = ("train", "valid", "test")

SIDES = (*SPLITS, "unused")
"""The splits, and what is in none of them (`xingping.grouped_splits`)."""

UNUSED = SIDES.index("unused")

STARS = 8
"""A stratum is the rank of a film times this, and the star."""

TEXT_KEY = np.dtype([("hash", "<u8"), ("stratum", "<i8"), ("place", "<i8")])
"""A row by the hash of its text, its stratum, and where it is."""

MIN_TEXTS = 10
"""Fewer distinct texts than this cannot be divided into three parts."""


def split_reviews(
    text: pa.ChunkedArray, film: pa.ChunkedArray, rating: pa.ChunkedArray, settings: SplitSettings, *, seed: int
) -> pa.DictionaryArray:
    """Assign each review to train, valid or test.

    Texts are ordered inside each stratum (film, star) by a hash of the text and the seed, and the shares are cut
    from the concatenated order at equal distances, so that every stratum gives its share and small ones are
    carried over instead of rounded away. A text that occurs in several reviews is placed once, by its first
    stratum in sorted order. The result depends on neither the order of the rows nor the number of threads.

    Parameters
    ----------
    text, film, rating
        Columns of equal length; `rating` in 1..5.
    settings
        The shares.
    seed
        Another seed gives another split.

    Returns
    -------
    pa.DictionaryArray
        One of `SPLITS` a row.

    Raises
    ------
    InputError
        There are too few distinct texts to divide.
    """
    encoded = text.combine_chunks().dictionary_encode()
    films = film.combine_chunks().dictionary_encode()
    keys = np.empty(len(text), TEXT_KEY)
    keys["hash"] = hash_texts(encoded.dictionary, seed)[encoded.indices.to_numpy(zero_copy_only=False)]
    ranks = film_ranks(films.dictionary)[films.indices.to_numpy(zero_copy_only=False)]
    keys["stratum"] = ranks * STARS + rating.to_numpy()
    keys["place"] = np.arange(len(text))
    side = np.zeros(len(text), dtype=np.int8)
    divide_texts(lambda _part: keys, 1, side, settings, seed=seed)
    return side_column(side)


def side_column(side: NDArray[np.int8]) -> pa.DictionaryArray:
    """Return the column `split` of rows on some sides, (n,) indices of `SIDES`; it names `unused` where that occurs."""
    return pa.DictionaryArray.from_arrays(pa.array(side), pa.array(SIDES if (side == UNUSED).any() else SPLITS))


def film_ranks(films: pa.Array) -> NDArray[np.int64]:
    """Return the place of each film in the alphabet; with the star it makes a stratum."""
    order = pc.array_sort_indices(films).to_numpy()
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def divide_texts(
    part: Callable[[int], NDArray[np.void]], parts: int, side: NDArray[np.int8], settings: SplitSettings, *, seed: int
) -> list[int]:
    """Assign rows to sides part by part, with memory for one part at a time.

    Parameters
    ----------
    part
        Gives the rows of a part, (n,) `TEXT_KEY` in any order; is called more than once. All rows of a text are
        in one part, and the hashes of a part are above those of the parts before.
    parts
        How many there are.
    side : (rows,) int8
        Is filled at the places of all rows with an index of `SPLITS`.
    settings, seed
        As in `split_reviews`.

    Returns
    -------
    list of int
        Distinct texts of each side.

    Raises
    ------
    InputError
        There are too few distinct texts to divide.
    """
    totals = [_Texts.of(part(number)).totals() for number in range(parts)]
    check_texts(sum(texts for texts, _, _ in totals))
    before = _reviews_before([(strata, sums) for _, strata, sums in totals])
    sides = SideCounts()
    for number in range(parts):
        texts = _Texts.of(part(number))
        found = _sides(texts.positions(before[number]), settings, seed)
        side[texts.places] = np.repeat(found, texts.weight)
        sides.add(found, texts.hashes)
    move_groups(part, parts, side, sides.fill_empty())
    return sides.counts


def check_texts(count: int) -> None:
    """See that there are distinct texts enough.

    Raises
    ------
    InputError
        There are too few to divide.
    """
    if count < MIN_TEXTS:
        raise InputError(
            f"{count} distinct texts cannot be divided into train, valid and test; at least {MIN_TEXTS} are needed"
        )


def move_groups(
    part: Callable[[int], NDArray[np.void]], parts: int, side: NDArray[np.int8], moved: dict[int, int]
) -> None:
    """Put all rows with some hashes on other sides; arguments are as in `divide_texts`, `moved` gives their sides."""
    for number in range(parts) if moved else ():
        keys = part(number)
        for group, index in moved.items():
            side[keys["place"][keys["hash"] == group]] = index


@dataclass(frozen=True)
class _Texts:
    """The distinct texts of a part, by their hashes.

    Attributes
    ----------
    hashes : (texts,) uint64
        Ascending.
    stratum : (texts,) int64
        The first in order that has a review with the text.
    weight : (texts,) int64
        In how many reviews it occurs.
    places : (rows,) int64
        Where these are, text after text.
    """

    hashes: NDArray[np.uint64]
    stratum: NDArray[np.int64]
    weight: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.void]) -> "_Texts":
        order = np.argsort(keys["hash"])
        hashes = keys["hash"][order]
        starts = np.flatnonzero(np.diff(hashes, prepend=~hashes[:1]) != 0)
        stratum = keys["stratum"][order]
        first = np.minimum.reduceat(stratum, starts) if starts.size else stratum
        return cls(hashes[starts], first, np.diff(starts, append=hashes.size), keys["place"][order])

    def totals(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """Return the number of texts, the strata, and the reviews of the texts that are placed in each."""
        strata, codes = np.unique(self.stratum, return_inverse=True)
        sums = np.zeros(strata.size, dtype=np.int64)
        np.add.at(sums, codes, self.weight)
        return self.hashes.size, strata, sums

    def positions(self, before: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where the middle of each text is when all reviews are in order of stratum and hash.

        Parameters
        ----------
        before : (strata,) int64
            How many reviews go before the first text of the part in each of its strata.
        """
        order = np.argsort(self.stratum, kind="stable")
        weight = self.weight[order]
        counts = np.unique(self.stratum, return_counts=True)[1]
        first = np.cumsum(counts) - counts  # of each stratum, in `order`
        running = np.cumsum(weight)
        shift = before - (running - weight)[first]
        positions = np.empty(order.size, dtype=np.float64)
        # The middle, so that the shares hold for reviews and not for texts.
        positions[order] = running + np.repeat(shift, counts) - weight / 2
        return positions


def _reviews_before(totals: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> list[NDArray[np.int64]]:
    """Count for each part and each of its strata the reviews in front, those of parts before it included."""
    strata, codes = np.unique(np.concatenate([strata for strata, _ in totals]), return_inverse=True)
    whole = np.zeros(strata.size, dtype=np.int64)
    np.add.at(whole, codes, np.concatenate([sums for _, sums in totals]))
    running = np.cumsum(whole) - whole
    before = []
    for found, sums in totals:
        here = np.searchsorted(strata, found)
        before.append(running[here])
        running[here] += sums
    return before


class SideCounts:
    """How many texts (or other groups of rows) each side has, and its first few, which an empty side may take over."""

    def __init__(self) -> None:
        self.counts = [0] * len(SPLITS)
        self.first: list[list[int]] = [[] for _ in SPLITS]

    def add(self, side: NDArray[np.int8], hashes: NDArray[np.uint64]) -> None:
        """Count texts whose hashes ascend, and are above those that were added before."""
        for index in range(len(SPLITS)):
            mine = hashes[side == index]
            self.counts[index] += mine.size
            self.first[index] += mine[: len(SPLITS) - len(self.first[index])].tolist()

    def fill_empty(self) -> dict[int, int]:
        """Give a side that a few, often repeated texts have left empty one text of the largest side.

        There have to be as many texts as sides.
        """
        moved: dict[int, int] = {}
        for index in range(len(SPLITS)):
            if not self.counts[index]:
                donor = self.counts.index(max(self.counts))
                text = self.first[donor].pop(0)
                moved[text] = index
                self.counts[donor] -= 1
                self.counts[index] += 1
        return moved


def hash_texts(texts: pa.Array, seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each text, keyed by the seed."""
    keyed = blake2b(digest_size=8, key=seed.to_bytes(8, "little")).copy
    digests = []
    for text in texts.cast(pa.binary()).to_pylist():
        digest = keyed()
        digest.update(text)
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _sides(position: NDArray[np.float64], settings: SplitSettings, seed: int) -> NDArray[np.int8]:
    """Cut a running position into sides so that any stretch of it holds the shares."""
    # The fractional parts of an irrational multiple are spread more evenly than random numbers (Weyl 1916).
    golden = (np.sqrt(5) - 1) / 2
    place = np.mod(position * golden + seed * golden**2, 1.0)
    side = np.zeros(len(position), dtype=np.int8)
    side[place >= 1 - settings.test] = 2
    side[(place >= 1 - settings.test - settings.valid) & (place < 1 - settings.test)] = 1
    return side
