"""Checking: records with their values understood, their texts cleaned, and a reason for each that cannot be used."""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from xingping.cleaning import clean_texts
from xingping.config import CleaningSettings, ColumnSettings
from xingping.ratings import parse_ratings, rating_problems, scale_hints
from xingping.records import Records

__all__ = ["Checked", "check_records"]

SHOWN_VALUE = 80
"""Characters of a rejected value that are kept."""

_DATE = re.compile(r"\s*(\d{4})(?:[-/.](\d{1,2})[-/.](\d{1,2})|年(\d{1,2})月(\d{1,2})|(\d\d)(\d\d))(?!\d)")
_DATE_LENGTH = 12  # characters that decide: 2017年12月31日 and one more
_COUNT = re.compile(r"\+?(\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.0*)?")


@dataclass(frozen=True)
class Checked:
    """Records that were looked at.

    Attributes
    ----------
    table
        Those that can be used, as `xingping.reviews.Reviews.table` has them.
    rejects
        The others, as `xingping.reviews.Reviews.rejects` has them.
    hints
        Of the scale of the stars; see `xingping.ratings.scale_hints`.
    """

    table: pa.Table
    rejects: pa.Table
    hints: frozenset[int]


def check_records(
    records: Records,
    columns: ColumnSettings,
    cleaning: CleaningSettings | None = None,
    *,
    require_rating: bool = True,
    ten_points: bool | None = None,
) -> Checked:
    """Understand the values of records, clean their texts and reject those that cannot be used.

    Parameters
    ----------
    records
        Of a whole file, or of a part of it.
    columns
        Which column holds what, as `xingping.columns.find_columns` gave it; where the records lack one it is empty.
    cleaning
        How texts are cleaned.
    require_rating
        Whether a record without a usable rating is rejected.
    ten_points
        Whether the stars count to ten; None: these records tell.
    """
    names = {role: name for role, name in columns.model_dump().items() if name is not None}
    present = records.table.select([name for name in sorted(set(names.values())) if name in records.table.column_names])
    records = replace(records, table=present)  # the other columns can go
    size = len(records.row_numbers)
    absent = pa.chunked_array([pa.repeat(pa.scalar(""), size)])
    values = {
        role: pc.fill_null(present[name], "") if name in present.column_names else absent
        for role, name in names.items()
    }
    text = clean_texts(values["text"], cleaning)
    hints = scale_hints(values["rating"]) if "rating" in values else frozenset()
    rating = pa.nulls(size, pa.int8())
    if "rating" in values:
        rating = parse_ratings(values["rating"], ten_points=ten_points)
    empty = pc.equal(text, "").combine_chunks()
    unrated = rating.is_null() if require_rating else pa.repeat(pa.scalar(False), size)
    rejects = _rejects(records, values, names, empty, pc.and_not(unrated, empty))
    rejected = pc.or_(empty, unrated)
    table = _kept(records, values, text, rating)
    if pc.any(rejected).as_py():
        table = table.filter(pc.invert(rejected))
    return Checked(table, rejects, hints)


def _rejects(
    records: Records,
    values: dict[str, pa.ChunkedArray],
    names: dict[str, str],
    empty: pa.Array,
    unrated: pa.Array,
) -> pa.Table:
    """Collect the bad lines, the rows without text and those without rating."""
    bad = records.bad_lines
    parts = [
        pa.table({
            "row": pa.array([line.row for line in bad], pa.int64()),
            "line": pa.array([line.line for line in bad], pa.int64()),
            "column": pa.array([line.column for line in bad], pa.string()),
            "reason": pa.array([line.reason for line in bad], pa.string()),
            "value": pa.array([line.text[:SHOWN_VALUE] for line in bad], pa.string()),
        })
    ]  # fmt: skip
    reasons: dict[str, Callable[[pa.ChunkedArray], pa.Array]] = {"text": _no_text, "rating": rating_problems}
    for role, mask in (("text", empty), ("rating", unrated)):
        if role in values and pc.any(mask).as_py():
            value = values[role].filter(mask)
            where = mask.to_numpy(zero_copy_only=False)
            parts.append(pa.table({
                "row": records.row_numbers[where],
                "line": records.line_numbers[where],
                "column": pa.repeat(pa.scalar(names[role]), len(value)),
                "reason": reasons[role](value),
                "value": pc.utf8_slice_codeunits(value, 0, SHOWN_VALUE),
            }))  # fmt: skip
    return pa.concat_tables(parts).sort_by("row")


def _no_text(values: pa.ChunkedArray) -> pa.Array:
    return pa.repeat(pa.scalar("no text"), len(values))


def _kept(records: Records, values: dict[str, pa.ChunkedArray], text: pa.ChunkedArray, rating: pa.Array) -> pa.Table:
    """Make the columns of `Reviews.table` for all records that could be read."""
    size = records.table.num_rows
    likes = _map_distinct(values["likes"], _likes, pa.int64()) if "likes" in values else pa.nulls(size, pa.int64())
    unknown = pa.repeat(pa.scalar(""), size)
    return pa.table({
        "row": records.row_numbers,
        "line": records.line_numbers,
        "text": text,
        "film": clean_texts(values["movie"]) if "movie" in values else unknown,
        "user": clean_texts(values["user"]) if "user" in values else unknown,
        "date": _dates(values["date"]) if "date" in values else pa.nulls(size, pa.string()),
        "rating": rating,
        "likes": likes,
    })  # fmt: skip


def _map_distinct(column: pa.ChunkedArray, function: Callable[[str], str | int | None], kind: pa.DataType) -> pa.Array:
    """Apply a function to each distinct value once."""
    encoded = column.combine_chunks().dictionary_encode()
    return pa.array([function(value) for value in encoded.dictionary.to_pylist()], kind).take(encoded.indices)


def _dates(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write dates as yyyy-mm-dd; what is no date stays, what is empty becomes null."""
    trimmed = pc.utf8_trim_whitespace(column)
    iso = _map_distinct(pc.utf8_slice_codeunits(trimmed, 0, _DATE_LENGTH), _date, pa.string())
    return pc.coalesce(iso, pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed))


def _date(value: str) -> str | None:
    match = _DATE.match(value)
    if match is None:
        return None
    year, month, day = (int(part) for part in match.groups() if part is not None)
    try:
        return datetime.date(year, month, day).isoformat()
    except ValueError:
        return None


def _likes(value: str) -> int | None:
    match = _COUNT.fullmatch(value.strip())
    return int(match[1].replace(",", "")) if match else None
