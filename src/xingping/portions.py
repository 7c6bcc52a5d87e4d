"""Portions: one process reads, checks and cleans a part of a file, and leaves what is large of its work in files."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xingping.checking import check_records
from xingping.config import CleaningSettings, ColumnSettings
from xingping.duplicates import row_keys
from xingping.grouped_splits import author_keys
from xingping.records import BadLine, Portion, Records
from xingping.spilling import KeyFile, read_spilled, spill_keys, spill_table
from xingping.splits import STARS, TEXT_KEY, hash_texts
from xingping.tables import Stretch

__all__ = ["CheckedPortion", "Checks", "SpilledPortion", "check_portion", "column_names", "spill_portion"]


@dataclass(frozen=True)
class SpilledPortion:
    """A portion of a file that only one process could read; it waits in a file of its own for others to go on."""

    file: Path
    rows: int
    lines: int
    bad_lines: list[BadLine]

    def read(self) -> Portion:
        """Return the portion."""
        table = read_spilled(self.file)
        *places, row, line = range(table.num_columns)
        rows, lines = table.column(row).to_numpy(), table.column(line).to_numpy()
        table = table.select(places)
        return Portion(Records(table, rows, lines, self.bad_lines), self.rows, self.lines)


def spill_portion(portion: Portion, file: Path) -> SpilledPortion:
    """Write a portion to a file."""
    records = portion.records
    numbers = (pa.array(records.row_numbers), pa.array(records.line_numbers))
    names = [*records.table.column_names, "row", "line"]  # by position: the table may have such columns too
    spill_table(file, pa.Table.from_arrays([*records.table.columns, *numbers], names=names))
    return SpilledPortion(file, portion.rows, portion.lines, records.bad_lines)


@dataclass(frozen=True)
class Checks:
    """What has to be known to check any portion.

    Attributes
    ----------
    folder
        Where results are left.
    columns
        Which column holds what.
    cleaning
        How texts are cleaned.
    seed
        Of the split.
    ten_points
        Whether the stars count to ten.
    authors
        Whether the authors decide the split.
    """

    folder: Path
    columns: ColumnSettings
    cleaning: CleaningSettings
    seed: int
    ten_points: bool = False
    authors: bool = False


@dataclass(frozen=True)
class CheckedPortion:
    """What became of a portion.

    Attributes
    ----------
    start, stop
        As of `xingping.records.Portion`.
    rows, lines, kept, rejected
        Records, physical lines, and records that can be used or cannot.
    columns
        Names of the columns.
    hints
        Of the scale of the stars.
    films
        Distinct, in the order of their first record.
    stars
        That occur.
    reasons
        Why how many records are rejected, in the order of the first of each.
    reviews, rejects
        Files with those kept and rejected; row and line count from the start of the portion.
    row_keys, text_keys
        Files with the keys of those kept; the stratum of a text counts films by their place in `films`.
    author_keys
        The same of their authors; None where these do not decide the split.
    known_authors
        How many of those kept have one that is known.
    """

    start: int
    stop: int
    rows: int
    lines: int
    kept: int
    rejected: int
    columns: list[str]
    hints: frozenset[int]
    films: list[str]
    stars: frozenset[int]
    reasons: Counter[str]
    reviews: Path
    rejects: Path
    row_keys: KeyFile
    text_keys: KeyFile
    author_keys: KeyFile | None
    known_authors: int


def check_portion(source: Stretch | SpilledPortion, number: int, checks: Checks) -> CheckedPortion:
    """Read and check a portion, and leave in files what is kept, what is rejected, and the keys of its rows.

    Parameters
    ----------
    source
        The portion.
    number
        Names its files; those of an earlier attempt are replaced.
    checks
        How it is checked.
    """
    portion = source.read()
    checked = check_records(portion.records, checks.columns, checks.cleaning, ten_points=checks.ten_points)
    table = checked.table.combine_chunks()
    files = {what: checks.folder / f"{what}-{number}" for what in ("reviews", "rejects", "rows", "texts")}
    spill_table(files["reviews"], table)
    spill_table(files["rejects"], checked.rejects)
    films = pc.dictionary_encode(table["film"].combine_chunks())
    texts = np.empty(table.num_rows, TEXT_KEY)
    texts["hash"] = hash_texts(table["text"].combine_chunks(), checks.seed)
    texts["stratum"] = films.indices.to_numpy(zero_copy_only=False) * np.int64(STARS) + table["rating"].to_numpy()
    texts["place"] = np.arange(table.num_rows)
    user = table["user"].combine_chunks()
    authors = None
    if checks.authors:
        authors = spill_keys(checks.folder / f"authors-{number}", author_keys(user, texts, checks.seed), "hash")
    return CheckedPortion(
        start=portion.start,
        stop=portion.stop,
        rows=portion.rows,
        lines=portion.lines,
        kept=table.num_rows,
        rejected=checked.rejects.num_rows,
        columns=portion.records.table.column_names,
        hints=checked.hints,
        films=films.dictionary.to_pylist(),
        stars=frozenset(table["rating"].unique().to_pylist()),
        reasons=Counter(checked.rejects["reason"].to_pylist()),
        reviews=files["reviews"],
        rejects=files["rejects"],
        row_keys=spill_keys(files["rows"], row_keys(table), "high"),
        text_keys=spill_keys(files["texts"], texts, "hash"),
        author_keys=authors,
        known_authors=pc.sum(pc.not_equal(user, "")).as_py() or 0,
    )


def column_names(source: Stretch | SpilledPortion) -> list[str]:
    """Return the columns of a portion of JSON."""
    return source.read().records.table.column_names  # type: ignore[no-any-return]  # Arrow is not typed
