"""Duplicates: rows that repeat an earlier one in film, user, date, rating and text, known by a hash of 128 bits."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

__all__ = ["ROW_KEY", "SHORT_TEXT", "find_repeats", "row_keys"]

SHORT_TEXT = 10
"""Characters up to which an equal text by unknown authors counts as theirs, not as a repeated row.

Many people write 不错 about the same film on the same day; hardly two write the same sentence.
"""

ROW_KEY = np.dtype([("high", "<u8"), ("low", "<u8"), ("place", "<i8")])
"""A row by the two halves of its hash, and where it is."""

_FIELDS = ("user", "film", "date", "rating", "text")


def row_keys(table: pa.Table) -> NDArray[np.void]:
    """Return the keys of rows, but for those that prove nothing when they are repeated.

    Parameters
    ----------
    table
        With the columns of `xingping.reviews.Reviews.table`.

    Returns
    -------
    (n,) `ROW_KEY`
        Rows of which the user is unknown and the text has at most `SHORT_TEXT` characters are left out.
        `place` is the row in the table. Two rows differ with certainty where their keys do; that two different
        ones have the same key has, for a billion rows, a chance of 1 in 10²⁰.
    """
    telling = pc.or_(pc.not_equal(table["user"], ""), pc.greater(pc.utf8_length(table["text"]), SHORT_TEXT))
    places = np.flatnonzero(telling.to_numpy())
    keys = np.empty(places.size, ROW_KEY)
    keys["place"] = places
    if places.size:
        some = table if places.size == table.num_rows else table.take(pa.array(places))
        digests = b"".join(map(xxhash.xxh3_128_digest, _framed(some).to_pylist()))
        keys["high"], keys["low"] = np.frombuffer(digests, ">u8").reshape(-1, 2).T
    return keys


def _framed(table: pa.Table) -> pa.ChunkedArray:
    """Join the fields of each row, with their lengths in front lest two rows become the same bytes."""
    fields = [table[name].cast(pa.string()) for name in _FIELDS]
    lengths = [pc.fill_null(pc.binary_length(field).cast(pa.string()), "-") for field in fields]
    return pc.binary_join_element_wise(*lengths, *(pc.fill_null(field, "") for field in fields), "\n").cast(pa.binary())


def find_repeats(keys: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the places of rows that repeat one with a lower place, ascending.

    Parameters
    ----------
    keys : (n,) `ROW_KEY`
        In any order.
    """
    high = keys["high"]
    order = np.argsort(high)
    alike = high[order][1:] == high[order][:-1]
    involved = np.zeros(keys.size, dtype=np.bool_)
    involved[1:] |= alike
    involved[:-1] |= alike
    some = keys[order[involved]]  # few, as a rule
    some = some[np.lexsort((some["place"], some["low"], some["high"]))]
    repeated = (some["high"][1:] == some["high"][:-1]) & (some["low"][1:] == some["low"][:-1])
    return np.sort(some["place"][1:][repeated])
