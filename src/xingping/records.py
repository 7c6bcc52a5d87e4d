"""Records of a table file: what was read of them, and which of them could not be read."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["BAD_BYTES", "SHOWN", "BadLine", "Records", "shown", "unique_names"]

BAD_BYTES = "bytes that are no characters in its encoding"
"""Reason of a record that cannot be decoded."""

SHOWN = 1000
"""Characters of a bad record that are kept to show it."""


@dataclass(frozen=True)
class BadLine:
    """A record that cannot be read.

    Attributes
    ----------
    row
        Its number among all records, from 1.
    line
        The physical line on which it starts, from 1.
    column
        The column at fault, or "" where it is the whole line.
    reason
        What is wrong with it, in a few words.
    text
        Its start, for showing.
    """

    row: int
    line: int
    column: str
    reason: str
    text: str


@dataclass(frozen=True)
class Records:
    """The records of a file, good and bad.

    Attributes
    ----------
    table
        The good ones, every column as strings.
    row_numbers : (n,) int64
        The number of each good record among all records, from 1.
    line_numbers : (n,) int64
        The physical line on which each starts, from 1.
    bad_lines
        The bad ones, in the order of the file.
    """

    table: pa.Table
    row_numbers: NDArray[np.int64]
    line_numbers: NDArray[np.int64]
    bad_lines: list[BadLine]


def shown(data: bytes) -> str:
    """Return the start of a bad record as text, for showing."""
    return data[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN].rstrip("\r\n")


def unique_names(names: list[str]) -> list[str]:
    """Trim column names, number the empty ones and tell repeated ones apart.

    ``a``, `` ``, ``a`` become ``a``, ``column_2``, ``a_2``.
    """
    taken: set[str] = set()
    result: list[str] = []
    for i, name in enumerate(names, 1):
        base = unique = " ".join(re.sub("[\0\ufeff\u200b]", "", name).split()) or f"column_{i}"
        number = 2
        while unique in taken:
            unique = f"{base}_{number}"
            number += 1
        taken.add(unique)
        result.append(unique)
    return result
