"""Preparation: from any file to `reviews.parquet`, on all cores, in memory that hardly grows with the rows.

The file is gone through twice. In the first pass its portions are read, checked and cleaned side by side and left
in files. The keys of all rows then show which repeat an earlier one and to which side each text belongs, and the
films that occur are known. In the second pass reviews are cut into words, side by side again, and written. In
memory stay one byte a row and the names and counts of the films.

The result depends on neither the number of processes nor the size of the portions.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.artifacts import write_json
from xingping.config import RunSettings
from xingping.delimited import CHUNK
from xingping.division import REPEATED, divide
from xingping.duplicates import ROW_KEY, find_repeats
from xingping.errors import InputError, OutputError
from xingping.intake import Intake, Reading
from xingping.progress import Progress
from xingping.reviews import all_rejected, write_rejects
from xingping.row_groups import ROWS, Piece, cut_row_groups, segment_row_group
from xingping.spilling import PARTS, read_part, read_spilled, scratch_folder
from xingping.summary import Tally
from xingping.tables import open_table
from xingping.workers import Workers, cores

__all__ = ["prepare"]

SMALL = 2 * CHUNK
"""Bytes up to which a file is not worth the start of other processes."""

PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["film", "date", "rating", "likes", "split", "words.list.element"],
    "column_encoding": {"row": "DELTA_BINARY_PACKED", "line": "DELTA_BINARY_PACKED"},
}
"""How `reviews.parquet` is written: no dictionary is tried for columns whose values hardly repeat."""

WORKER_BYTES = 400 << 20
"""Memory that a worker may need; it is about 250 MB, whatever the file."""


def prepare(
    path: Path,
    settings: RunSettings,
    folder: Path,
    source: dict[str, Any],
    *,
    progress: Progress,
    workers: int | None = None,
    portion_bytes: int = CHUNK,
) -> dict[str, Any]:
    """Read, check, clean, segment and split the reviews of a file.

    Writes `reviews.parquet`, `rejects.csv` and `data_summary.json`; temporary files beside them, which take about
    twice the room of the unpacked file, vanish. A JSON array is the one kind of file that is read whole.

    Parameters
    ----------
    path
        Any file that `xingping.tables.open_table` reads.
    settings
        Of the run.
    folder
        Of the run.
    source
        What `data_summary.json` says of the file beside its encoding and format.
    progress
        Who watches.
    workers
        Processes that share the work; None: as many as cores and memory allow, or this one alone where the file is
        small.
    portion_bytes
        Size of the portions of a text file.

    Returns
    -------
    dict
        The content of `data_summary.json`.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or holds too little to learn from.
    OutputError
        The folder cannot be written.
    """
    try:
        with scratch_folder(folder) as scratch:
            file = open_table(path, scratch)
            with Workers(workers or _worker_count(file.size)) as crew:
                intake = Reading(file, settings, scratch, crew, progress).intake(portion_bytes)
                if intake.rows == 0:
                    raise InputError(f"{path} has a header and no rows; add reviews below it")
                if intake.rejected == intake.rows:
                    raise all_rejected(path, intake.rows, next(intake.rejects()))
                side = _find_repeats(intake)
                _check_stars(path, intake, side)
                division = divide(intake, side, settings, path)
                tally = _write_reviews(intake, side, settings, scratch, crew, progress)
                write_rejects(scratch / "rejects.csv", intake.rejects())
                for name in ("rejects.csv", "reviews.parquet"):
                    (scratch / name).replace(folder / name)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise OutputError(f"cannot write into {folder}: {reason}; make room, or choose another folder") from error
    summary = {
        "source": {**source, "encoding": file.source.encoding, "format": file.source.format},
        "columns": intake.columns.model_dump(),
        "rows_read": intake.rows,
        "rows_kept": int(tally.stars.sum()),
        "rows_rejected": intake.rejected,
        "rows_duplicate": int((side == REPEATED).sum()),
        "rejected_by_reason": dict(intake.reasons.most_common()),
        **({"split": division.how} if division.how else {}),
        **tally.describe(division.distinct_texts),
    }
    write_json(folder / "data_summary.json", summary)
    if division.how:
        progress.say(f"prepare: {division.sentence()}")
    return summary


def _worker_count(size: int) -> int:
    """Return how many processes a file of some bytes is worth, and the memory at hand allows."""
    if size <= SMALL:
        return 1
    room = int(psutil.virtual_memory().available)
    return max(1, min(cores(), size // CHUNK, room // WORKER_BYTES))


def _check_stars(path: Path, intake: Intake, side: NDArray[np.int8]) -> None:
    stars = frozenset().union(*(portion.stars for portion in intake.portions))
    if len(stars) == 1:
        kept = int((side != REPEATED).sum())
        raise InputError(f"{path}: all {kept:,} reviews have {min(stars)} stars; two ratings are needed")


def _find_repeats(intake: Intake) -> NDArray[np.int8]:
    """Return for each row that could be used `REPEATED` where it repeats an earlier one, else 0."""
    *places, total = intake.places
    side = np.zeros(total, dtype=np.int8)
    files = [portion.row_keys for portion in intake.portions]
    for number in range(PARTS):
        keys = read_part(files, number, ROW_KEY)
        for some, place in zip(keys, places, strict=True):
            some["place"] += place
        side[find_repeats(np.concatenate(keys))] = REPEATED
    return side


def _write_reviews(
    intake: Intake, side: NDArray[np.int8], settings: RunSettings, scratch: Path, crew: Workers, progress: Progress
) -> Tally:
    """Do the second pass; return the counts of all reviews."""
    films = tuple(intake.films)
    places = intake.places
    pieces = [
        Piece(portion.reviews, row, line, 0, side[start:stop])
        for (portion, row, line), (start, stop) in zip(intake.numbered(), pairwise(places), strict=True)
    ]
    groups = cut_row_groups(pieces, ROWS)
    tasks = ((group, scratch / f"group-{number}", settings.segmentation, films) for number, group in enumerate(groups))
    total = Tally()
    writer: pq.ParquetWriter | None = None
    try:
        with progress.bar("prepare: words", int((side != REPEATED).sum()), "reviews") as advance:
            for number, tally in enumerate(crew.map(segment_row_group, tasks)):
                group = scratch / f"group-{number}"
                table = read_spilled(group)
                group.unlink()
                if writer is None:
                    writer = pq.ParquetWriter(scratch / "reviews.parquet", table.schema, **PARQUET)
                writer.write_table(table, row_group_size=ROWS)
                total.add(tally)
                advance(table.num_rows)
    finally:
        if writer is not None:
            writer.close()
    return total
