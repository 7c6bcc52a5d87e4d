"""Train, valid and test: stratified by star and film, and no text on two sides."""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xingping.config import SplitSettings
from xingping.errors import InputError

__all__ = ["SPLITS", "split_reviews"]

SPLITS = ("train", "valid", "test")

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
    codes = encoded.indices.to_numpy(zero_copy_only=False)  # (rows,)
    keys = hash_texts(encoded.dictionary, seed)  # (distinct,)
    if len(keys) < MIN_TEXTS:
        raise InputError(
            f"{len(keys)} distinct texts cannot be divided into train, valid and test; at least {MIN_TEXTS} are needed"
        )
    films = film.combine_chunks().dictionary_encode()
    order = pc.array_sort_indices(films.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    strata = rank[films.indices.to_numpy(zero_copy_only=False)] * 8 + rating.to_numpy()  # (rows,)
    stratum = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(stratum, codes, strata)
    side = np.zeros(len(keys), dtype=np.int8)
    # Weighted by how often a text occurs, so that the shares hold for reviews.
    weight = np.bincount(codes, minlength=len(keys))
    by_stratum = np.lexsort((keys, stratum))
    position = np.cumsum(weight[by_stratum]) - weight[by_stratum] / 2
    side[by_stratum] = _sides(position, settings, seed)
    _fill_empty(side, keys)
    return pa.DictionaryArray.from_arrays(pa.array(side[codes]), pa.array(SPLITS))


def _fill_empty(side: NDArray[np.int8], keys: NDArray[np.uint64]) -> None:
    """Give a side that a few, often repeated texts have left empty one text of the largest side."""
    for index in range(len(SPLITS)):
        if not (side == index).any():
            donors = np.flatnonzero(side == np.bincount(side).argmax())
            side[donors[keys[donors].argmin()]] = index


def hash_texts(texts: pa.Array, seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each text, keyed by the seed."""
    key = seed.to_bytes(8, "little")
    digests = b"".join(blake2b(text.encode(), digest_size=8, key=key).digest() for text in texts.to_pylist())
    return np.frombuffer(digests, dtype=np.uint64)


def _sides(position: NDArray[np.float64], settings: SplitSettings, seed: int) -> NDArray[np.int8]:
    """Cut a running position into sides so that any stretch of it holds the shares."""
    # The fractional parts of an irrational multiple are spread more evenly than random numbers (Weyl 1916).
    golden = (np.sqrt(5) - 1) / 2
    place = np.mod(position * golden + seed * golden**2, 1.0)
    side = np.zeros(len(position), dtype=np.int8)
    side[place >= 1 - settings.test] = 2
    side[(place >= 1 - settings.test - settings.valid) & (place < 1 - settings.test)] = 1
    return side
