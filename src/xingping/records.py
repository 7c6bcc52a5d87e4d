"""Records of a table file: what was read of them, and which of them could not be read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.errors import InputError

__all__ = [
    "BAD_BYTES", "MOST_COLUMNS", "SHOWN", "BadLine", "Portion", "Records", "join_portions", "renumber", "shown",
    "too_wide", "unique_names",
]  # fmt: skip

BAD_BYTES = "bytes that are no characters in its encoding"
"""Reason of a record that cannot be decoded."""

MOST_COLUMNS = 10_000
"""Columns that a table may have: one of reviews has a few, and a file that names millions means no good."""

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


@dataclass(frozen=True)
class Portion:
    """The records of a stretch of a file.

    Attributes
    ----------
    records
        Their numbers and lines count from 1 at the beginning of the stretch.
    rows
        All records of the stretch, good and bad.
    lines
        Its physical lines.
    start, stop
        The bytes of the file where the stretch begins, and where the next one does; 0 where it is no stretch of
        bytes.
    """

    records: Records
    rows: int
    lines: int
    start: int = 0
    stop: int = 0


def join_portions(portions: Iterable[Portion], line: int = 0) -> Records:
    """Put the portions of a file, of which there is at least one, together in their order.

    Parameters
    ----------
    portions
        All of them. Columns that one lacks are null there.
    line
        Lines of the file before the first portion.
    """
    tables: list[pa.Table] = []
    rows: list[NDArray[np.int64]] = []
    lines: list[NDArray[np.int64]] = []
    bad_lines: list[BadLine] = []
    row = 0
    for portion in portions:
        records = portion.records
        tables.append(records.table)
        rows.append(records.row_numbers + row)
        lines.append(records.line_numbers + line)
        bad_lines += (replace(bad, row=bad.row + row, line=bad.line + line) for bad in records.bad_lines)
        row, line = row + portion.rows, line + portion.lines
    table = pa.concat_tables(tables, promote_options="default")
    return Records(table, np.concatenate(rows), np.concatenate(lines), bad_lines)


def renumber(table: pa.Table, row: int, line: int) -> pa.Table:
    """Shift the columns `row` and `line` of a portion by the rows and lines before it."""
    for name, shift in (("row", row), ("line", line)):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(table[name].to_numpy() + np.int64(shift)))
    return table


def too_wide(path: Path, columns: int, most: int = MOST_COLUMNS) -> InputError:
    """Return the error for a table with too many columns."""
    return InputError(f"{path} has {columns:,} columns, at most {most:,} can be read; keep those that matter")


def shown(data: bytes) -> str:
    """Return the start of a bad record as text, for showing."""
    return data[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN].rstrip("\r\n")


def unique_names(names: list[str]) -> list[str]:
    """Trim column names, number the empty ones and tell repeated ones apart.

    ``a``, `` ``, ``a`` become ``a``, ``column_2``, ``a_2``.
    """
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # where to go on counting: a file may repeat a name any number of times
    result: list[str] = []
    for i, name in enumerate(names, 1):
        base = unique = " ".join(re.sub("[\0\ufeff\u200b]", "", name).split()) or f"column_{i}"
        number = numbers.get(base, 2)
        while unique in taken:
            unique = f"{base}_{number}"
            number += 1
        numbers[base] = number
        taken.add(unique)
        result.append(unique)
    return result
