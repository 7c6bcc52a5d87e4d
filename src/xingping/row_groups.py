"""Row groups: reviews that were kept get their side and their words, as many at a time as the file holds together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.config import SegmentationSettings
from xingping.records import renumber
from xingping.segmentation import Segmenter
from xingping.spilling import read_spilled, spill_table
from xingping.splits import side_column
from xingping.summary import Tally

__all__ = ["ROWS", "Piece", "cut_row_groups", "segment_row_group"]

ROWS = 1 << 16
"""Reviews of a row group."""


@dataclass(frozen=True)
class Piece:
    """Reviews of one portion that go into one row group.

    Attributes
    ----------
    file
        With the reviews of the portion.
    row, line
        What its numbers lack.
    start
        Where in the file the piece begins.
    side : (n,) int8
        The side of each of its reviews; -1 leaves one out.
    """

    file: Path
    row: int
    line: int
    start: int
    side: NDArray[np.int8]


def cut_row_groups(portions: Sequence[Piece], rows: int) -> Iterator[list[Piece]]:
    """Cut the pieces that whole portions are into those of row groups, each with `rows` reviews but the last."""
    group: list[Piece] = []
    room = rows
    for portion in portions:
        kept = np.flatnonzero(portion.side >= 0)
        start = at = 0
        while kept.size - at >= room:
            at += room
            stop = int(kept[at - 1]) + 1
            yield [*group, Piece(portion.file, portion.row, portion.line, start, portion.side[start:stop])]
            group, room, start = [], rows, stop
        if kept.size > at:
            group.append(Piece(portion.file, portion.row, portion.line, start, portion.side[start:]))
            room -= kept.size - at
    if group:
        yield group


def segment_row_group(
    pieces: list[Piece], target: Path, settings: SegmentationSettings, films: tuple[str, ...]
) -> Tally:
    """Put a row group together and cut its texts into words.

    Parameters
    ----------
    pieces
        The reviews.
    target
        A file for the row group: the columns of `reviews.parquet`.
    settings
        Of the segmentation.
    films
        All names of films, which stay whole.

    Returns
    -------
    Tally
        Counts of the row group.
    """
    table = pa.concat_tables([_read_piece(piece) for piece in pieces]).combine_chunks()
    side = np.concatenate([piece.side[piece.side >= 0] for piece in pieces])
    table = table.append_column("split", side_column(side))
    words = _segmenter(settings, films).word_column(table["text"].combine_chunks())
    table = table.append_column("words", words)
    spill_table(target, table)
    return Tally.of(table)


def _read_piece(piece: Piece) -> pa.Table:
    table = read_spilled(piece.file).slice(piece.start, piece.side.size)
    return renumber(table.filter(pa.array(piece.side >= 0)), piece.row, piece.line)


@lru_cache(maxsize=1)
def _segmenter(settings: SegmentationSettings, films: tuple[str, ...]) -> Segmenter:
    return Segmenter(settings, extra_words=films)
