"""Reviews: a table file with its columns recognised, its values checked and its texts cleaned.

Every record of the file ends in one of three places: kept, rejected with a reason, or dropped as a duplicate.
"""

import csv
import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from xingping.artifacts import atomic_path
from xingping.cleaning import clean_texts
from xingping.config import CleaningSettings, ColumnSettings
from xingping.errors import InputError
from xingping.ratings import parse_ratings, rating_problems
from xingping.tables import RawTable, read_table

__all__ = ["SHORT_TEXT", "Reviews", "defuse_formulas", "find_columns", "read_reviews", "write_rejects"]

SHORT_TEXT = 10
"""Characters up to which an equal text by unknown authors counts as theirs, not as a repeated row.

Many people write 不错 about the same film on the same day; hardly two write the same sentence.
"""

SHOWN_VALUE = 80
"""Characters of a rejected value that are kept."""

_NAMES = {
    "text": """
        comment text content review comments reviews short short_comment short_review review_text comment_text
        review_content comment_content
        评论 短评 内容 评论内容 短评内容 影评 影评内容 評論 內容""",
    "rating": """
        star stars rating score ratings user_rating rate 评分 星级 打分 评级 用户评分 星数 評分 星級""",
    "movie": """
        movie_name_cn film movie movie_name film_name movie_title film_title title name_cn
        电影 影片 片名 电影名 电影名称 影片名 影片名称 影名 電影 movie_name_en""",
    "date": """
        date posted time comment_time comment_date review_date review_time created_at create_time datetime
        timestamp 时间 日期 评论时间 评论日期 发布时间 發布時間 日期时间""",
    "likes": """
        like likes votes vote useful useful_count useful_num like_count vote_count upvotes helpful
        赞 有用 点赞 点赞数 赞数 有用数 讚""",
    "user": """
        username user author user_name nickname nick user_nickname user_id userid reviewer
        用户 用户名 昵称 作者 用户昵称 评论者 评论人 用戶""",
}
_COLUMN_NAMES = {role: names.split() for role, names in _NAMES.items()}  # the first that a file has wins
_DATE = re.compile(r"\s*(\d{4})(?:[-/.](\d{1,2})[-/.](\d{1,2})|年(\d{1,2})月(\d{1,2})|(\d\d)(\d\d))(?!\d)")
_DATE_LENGTH = 12  # characters that decide: 2017年12月31日 and one more
_COUNT = re.compile(r"\+?(\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.0*)?")


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
    columns = columns or ColumnSettings.parse({})
    found = find_columns(raw.table.column_names, columns, path, require_rating=require_rating)
    if raw.rows_read == 0:
        raise InputError(f"{path} has a header and no rows; add reviews below it")
    names = {role: name for role, name in found.model_dump().items() if name is not None}
    raw = replace(raw, table=raw.table.select(sorted(set(names.values()))))  # the other columns can go
    values = {role: pc.fill_null(raw.table[name], "") for role, name in names.items()}
    text = clean_texts(values["text"], cleaning)
    size = raw.table.num_rows
    rating = parse_ratings(values["rating"]) if "rating" in values else pa.nulls(size, pa.int8())
    empty = pc.equal(text, "").combine_chunks()
    unrated = rating.is_null() if require_rating else pa.repeat(pa.scalar(False), size)
    rejects = _rejects(raw, values, names, empty, pc.and_not(unrated, empty))
    rejected = pc.or_(empty, unrated)
    if rejects.num_rows == raw.rows_read:
        first = rejects.slice(0, 1).to_pylist()[0]
        why = f"the first, on line {first['line']}: {first['reason']}"
        raise InputError(f"{path}: all {raw.rows_read} rows are rejected; {why}")
    table = _without(_kept(raw, values, text, rating), rejected)
    del values, text
    repeats = _repeats(table)
    return Reviews(
        table=_without(table, pa.array(repeats)),
        rejects=rejects,
        rows_read=raw.rows_read,
        rows_duplicate=int(repeats.sum()),
        columns=found.model_dump(),
        encoding=raw.encoding,
        format=raw.format,
    )


def find_columns(
    names: list[str], columns: ColumnSettings, path: Path, *, require_rating: bool = False
) -> ColumnSettings:
    """Find the column for each of text, rating, movie, date, likes and user.

    Parameters
    ----------
    names
        The columns of the table.
    columns
        Names that the user gave; case and spaces around them count only where several columns differ by them.
    path
        The file, for messages.
    require_rating
        Whether a rating column must be there.

    Returns
    -------
    ColumnSettings
        The name of each column as the table has it; None where it has none.

    Raises
    ------
    InputError
        A column that was named, the text, or a rating that is required is not there.
    """
    named = set(columns.model_dump().values())
    known = {_plain(name): name for name in reversed(names) if name not in named}
    found: dict[str, Any] = {}
    for role, candidates in _COLUMN_NAMES.items():
        wanted: str | None = getattr(columns, role)
        if wanted is None:
            found[role] = next((known[name] for name in candidates if name in known), None)
        elif wanted in names:
            found[role] = wanted
        elif _plain(wanted) in known:
            found[role] = known[_plain(wanted)]
        else:
            option = f"--{role}-column"
            raise InputError(f"{path} has no column {wanted!r} ({option}); its columns are {_listed(names)}")
    for role in ("text", "rating") if require_rating else ("text",):
        if found[role] is None:
            raise InputError(
                f"{path} has no {role} column that is recognised; its columns are {_listed(names)}; "
                f"the first line must name the columns, and --{role}-column can say which it is"
            )
    return ColumnSettings.parse(found)


def write_rejects(path: Path, rejects: pa.Table) -> None:
    """Write rejected records as CSV, for a spreadsheet.

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
        for batch in rejects.select(names).to_batches(max_chunksize=10_000):
            cells = [defuse_formulas(column) if pa.types.is_string(column.type) else column for column in batch.columns]
            writer.writerows(zip(*(column.to_pylist() for column in cells), strict=True))


def defuse_formulas(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Put an apostrophe before each text that a spreadsheet would run as a formula.

    Those are the texts that begin with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return.
    """
    return pc.replace_substring_regex(column, r"\A([=+\-@\t\r])", r"'\1")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def _listed(names: list[str]) -> str:
    some = ", ".join(repr(name[:40]) for name in names[:12])
    return some + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _rejects(
    raw: RawTable,
    values: dict[str, pa.ChunkedArray],
    names: dict[str, str],
    empty: pa.Array,
    unrated: pa.Array,
) -> pa.Table:
    """Collect the bad lines, the rows without text and those without rating."""
    bad = raw.bad_lines
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
                "row": raw.row_numbers[where],
                "line": raw.line_numbers[where],
                "column": pa.repeat(pa.scalar(names[role]), len(value)),
                "reason": reasons[role](value),
                "value": pc.utf8_slice_codeunits(value, 0, SHOWN_VALUE),
            }))  # fmt: skip
    return pa.concat_tables(parts).sort_by("row")


def _no_text(values: pa.ChunkedArray) -> pa.Array:
    return pa.repeat(pa.scalar("no text"), len(values))


def _kept(raw: RawTable, values: dict[str, pa.ChunkedArray], text: pa.ChunkedArray, rating: pa.Array) -> pa.Table:
    """Make the columns of `Reviews.table` for all records that could be read."""
    size = raw.table.num_rows
    likes = _map_distinct(values["likes"], _likes, pa.int64()) if "likes" in values else pa.nulls(size, pa.int64())
    unknown = pa.repeat(pa.scalar(""), size)
    return pa.table({
        "row": raw.row_numbers,
        "line": raw.line_numbers,
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


def _without(table: pa.Table, rows: pa.Array) -> pa.Table:
    """Leave rows out, and copy nothing where there are none."""
    return table.filter(pc.invert(rows)) if pc.any(rows).as_py() else table


def _repeats(table: pa.Table) -> NDArray[np.bool_]:
    """Find the rows that repeat an earlier one.

    Columns are compared one after another, and a row that is alone with its values so far drops out. Texts, the
    largest, come last, when few rows are left wherever the user is known.
    """
    length = pc.utf8_length(table["text"])
    telling = pc.or_(pc.not_equal(table["user"], ""), pc.greater(length, SHORT_TEXT))
    rows = np.flatnonzero(telling.to_numpy())
    groups = np.zeros(rows.size, dtype=np.int64)
    keys = [table["user"], length, table["film"], table["date"], table["rating"], table["text"]]
    for key in keys:
        codes = key.take(pa.array(rows)).combine_chunks().dictionary_encode(null_encoding="encode").indices
        groups = groups * (rows.size + 1) + codes.to_numpy()
        groups, counts = np.unique(groups, return_inverse=True, return_counts=True)[1:]
        shared = counts[groups] > 1
        rows, groups = rows[shared], groups[shared]
    repeats = np.zeros(table.num_rows, dtype=np.bool_)
    repeats[np.delete(rows, np.unique(groups, return_index=True)[1])] = True
    return repeats
