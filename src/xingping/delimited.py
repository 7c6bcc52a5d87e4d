"""Delimited text: CSV and its relatives, read stretch by stretch, in any order.

A stretch begins where its predecessor ends, and that is known only once the predecessor has been read: its last
record may reach over the line on which it should end. It hardly ever does, so stretches may be read side by side
from where they should begin, and the few that should not have been are read again.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.errors import InputError
from xingping.records import MOST_COLUMNS, Portion, too_wide, unique_names
from xingping.scanning import Chunk, Grammar, line_end, unquoted

__all__ = ["CHUNK", "Layout", "line_start", "map_bytes", "read_layout", "read_stretch"]

CHUNK = 1 << 23
"""Bytes that are looked at together."""

DELIMITERS = (b",", b"\t", b";", b"|")


@dataclass(frozen=True)
class Layout:
    """What the header of a delimited file says.

    Attributes
    ----------
    grammar
        The delimiter and the columns.
    start
        The byte where the line after the header begins.
    lines
        Physical lines before it.
    """

    grammar: Grammar
    start: int
    lines: int


def read_layout(file: Path, path: Path) -> Layout:
    """Read the header of a delimited UTF-8 file.

    Parameters
    ----------
    file
        The file, without byte order mark, lines ending with LF or CR LF.
    path
        What the user calls it, for messages.

    Raises
    ------
    InputError
        There is no header, or it cannot be read.
    """
    grammar, start, line = _read_header(map_bytes(file), path)
    return Layout(grammar, start, line - 1)


def read_stretch(file: Path, path: Path, layout: Layout, start: int, limit: int) -> Portion:
    """Read the records of a delimited file that begin between two bytes.

    Parameters
    ----------
    file, path
        As in `read_layout`.
    layout
        What that gave.
    start, limit
        Where a record begins, and a later line.

    Returns
    -------
    Portion
        It stops at `limit`, or after the last record where that reaches beyond.

    Notes
    -----
    A record is bad, and the reading goes on after it, where it has too few or too many fields, bytes that
    are not UTF-8, text after a closing quote, or a quote that is never closed; in the last two cases the
    physical line is given up and the next one is read afresh. Blank lines are no records. A carriage return
    inside a line is text.
    """
    data = map_bytes(file)
    try:
        return Chunk(data, start, limit, layout.grammar).portion()
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} after byte {start}: {error}; save the file again") from error


def map_bytes(file: Path) -> NDArray[np.uint8]:
    """Map a file into memory; of its pages only those that are looked at are read."""
    return np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))


def line_start(data: NDArray[np.uint8], at: int) -> int:
    """Return where the first line begins at or after a byte; at the end of the data where none does."""
    return min(line_end(memoryview(data.data), at - 1) + 1, data.size) if 0 < at < data.size else min(at, data.size)


def _read_header(data: NDArray[np.uint8], path: Path) -> tuple[Grammar, int, int]:
    """Return the grammar, and the offset and the number of the line after the header."""
    view = memoryview(data.data)
    start, line = 0, 1
    while not view[start : (end := line_end(view, start))].tobytes().strip(b"\r"):
        if end >= data.size:
            raise InputError(f"{path} is empty: it has blank lines and nothing else")
        start, line = end + 1, line + 1
    found: list[tuple[list[bytes], bytes, int]] = []
    for delimiter in DELIMITERS:
        fields, problem, stop = Grammar(delimiter, [""]).split(view, start)
        if not problem:
            found.append((fields, delimiter, stop))
    if not found:
        raise InputError(f"{path} line {line}: the quotes of the header are broken; it must name the columns")
    fields, delimiter, stop = max(found, key=lambda candidate: len(candidate[0]))
    if len(fields) > MOST_COLUMNS:
        raise too_wide(path, len(fields))
    try:
        names = unique_names([unquoted(cell).decode() for cell in fields])
    except UnicodeDecodeError as error:
        raise InputError(f"{path} line {line}: the header is not UTF-8; save the file as UTF-8") from error
    return Grammar(delimiter, names), stop, line + int(np.count_nonzero(data[start:stop] == ord("\n")))
