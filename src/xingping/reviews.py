"""Reviews: a table file with its columns recognised, its values checked and its texts cleaned.

Every record of the file ends in one of three places: kept, rejected with a reason, or dropped as a duplicate.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xingping.artifacts import atomic_path
from xingping.checking import check_records
from xingping.columns import find_columns
from xingping.config import CleaningSettings, ColumnSettings
from xingping.duplicates import SHORT_TEXT, find_repeats, row_keys
from xingping.errors import InputError
from xingping.tables import read_table

__all__ = [
    "SHORT_TEXT",
    "Reviews",
    "all_rejected",
    "defuse_formulas",
    "find_columns",
    "read_reviews",
    "write_rejects",
]


@dataclass(frozen=True)
class Reviews:
    """The reviews of a file.

    Attributes
    ----------
    table
        A row for each review kept, in the order of the file: `row` and `line` (int64, from 1: number of the
        record and physical line where it starts), `text` (cleaned), `film`, `user` (strings, "" where
        unknown), `date` (string, yyyy-mm-dd, as it is where it is no date, or null), `rating` (int8, 1 to
        5; null only where ratings are not required), `likes` (int64 or null).
    rejects
        A row for each record that cannot be used: `row`, `line`, `column`, `reason`, `value`; by line.
    rows_read
        All records of the file: ``rows_kept + rows_rejected + rows_duplicate``.
    rows_duplicate
        Records that repeat an earlier one.
    columns
        The file's column for each of text, rating, movie, date, likes and user; None where it has none.
    encoding, format
        Of the file.
    """

    table: pa.Table
    rejects: pa.Table
    rows_read: int
    rows_duplicate: int
    columns: dict[str, str | None]
    encoding: str
    format: str

    @property
    def rows_kept(self) -> int:
        """How many reviews there are."""
        return int(self.table.num_rows)

    @property
    def rows_rejected(self) -> int:
        """How many records cannot be used."""
        return int(self.rejects.num_rows)


def read_reviews(
    path: Path,
    columns: ColumnSettings | None = None,
    cleaning: CleaningSettings | None = None,
    *,
    require_rating: bool = True,
) -> Reviews:
    """Read, check and clean the reviews of a table file.

    Parameters
    ----------
    path
        Any file that `xingping.tables.read_table` reads.
    columns
        Which column holds what; those that are not named are recognised by their names.
    cleaning
        How texts are cleaned.
    require_rating
        Whether a review without a usable rating is rejected.

    Returns
    -------
    Reviews
        A record is rejected where it cannot be read, its text is empty once cleaned, or (if required) its
        rating is unusable. One is a duplicate where film, user, date, rating and text equal those of an
        earlier one; but where the user is unknown and the text has at most `SHORT_TEXT` characters it
        stays, as that proves nothing.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or holds no usable review.
    """
    raw = read_table(path)
    found = find_columns(raw.table.column_names, columns or ColumnSettings(), path, require_rating=require_rating)
    if raw.rows_read == 0:
        raise InputError(f"{path} has a header and no rows; add reviews below it")
    checked = check_records(raw, found, cleaning, require_rating=require_rating)
    if checked.rejects.num_rows == raw.rows_read:
        raise all_rejected(path, raw.rows_read, checked.rejects)
    repeats = find_repeats(row_keys(checked.table))
    table = checked.table
    if repeats.size:
        keep = np.ones(table.num_rows, dtype=np.bool_)
        keep[repeats] = False
        table = table.filter(pa.array(keep))
    return Reviews(
        table=table,
        rejects=checked.rejects,
        rows_read=raw.rows_read,
        rows_duplicate=repeats.size,
        columns=found.model_dump(),
        encoding=raw.encoding,
        format=raw.format,
    )


def all_rejected(path: Path, rows: int, rejects: pa.Table) -> InputError:
    """Return the error for a file of which nothing can be used."""
    first = rejects.slice(0, 1).to_pylist()[0]
    why = f"the first, on line {first['line']}: {first['reason']}"
    return InputError(f"{path}: all {rows} rows are rejected; {why}")


def write_rejects(path: Path, rejects: pa.Table | Iterable[pa.Table]) -> None:
    """Write rejected records, all at once or table by table, as CSV for a spreadsheet.

    Columns are line, row, column, reason and value. A cell that a spreadsheet would run as a formula begins
    with an apostrophe.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    names = ["line", "row", "column", "reason", "value"]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for table in [rejects] if isinstance(rejects, pa.Table) else rejects:
            for batch in table.select(names).to_batches(max_chunksize=10_000):
                cells = [defuse_formulas(cell) if pa.types.is_string(cell.type) else cell for cell in batch.columns]
                writer.writerows(zip(*(column.to_pylist() for column in cells), strict=True))


def defuse_formulas(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Put an apostrophe before each text that a spreadsheet would run as a formula.

    Those are the texts that begin with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return.
    """
    return pc.replace_substring_regex(column, r"\A([=+\-@\t\r])", r"'\1")
