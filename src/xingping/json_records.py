"""JSON: lines with an object each, or an array of objects, as records whose values are all strings."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xingping.errors import InputError
from xingping.records import BAD_BYTES, MOST_COLUMNS, SHOWN, BadLine, Records, shown, too_wide

__all__ = ["BATCH", "Parsed", "as_string", "collect_json", "is_array", "parse_array", "parse_lines"]

BATCH = 20_000
"""Records that are turned into Arrow together."""

MOST_CELLS = 50_000_000
"""Cells of such a table, empty ones among them: where each record names other columns, nearly all are."""

Parsed = tuple[int, Any, bytes]
"""The line, the value and the text of a JSON record."""


def is_array(file: Path) -> bool:
    """Say whether a JSON file is an array, and not lines."""
    with file.open("rb") as stream:
        return stream.read(1 << 16).lstrip().startswith(b"[")


def collect_json(parsed: list[Parsed], path: Path) -> Records:
    """Turn JSON values into records.

    Raises
    ------
    InputError
        They have too many different keys.
    """
    tables = [pa.table({})]
    places: list[tuple[int, int]] = []
    bad_lines: list[BadLine] = []
    batch: list[dict[str, Any]] = []
    for row, (line, value, data) in enumerate(parsed, 1):
        if isinstance(value, dict) and value:
            places.append((row, line))
            batch.append(value)
        else:
            reason = value.reason if isinstance(value, _Broken) else "not an object with values"
            bad_lines.append(BadLine(row, line, "", reason, shown(data)))
        if len(batch) == BATCH:
            tables.append(_batch_table(batch, path))
            batch = []
    tables.append(_batch_table(batch, path))
    rows, lines = np.array(places, dtype=np.int64).reshape(-1, 2).T
    return Records(pa.concat_tables(tables, promote_options="default"), rows, lines, bad_lines)


@dataclass(frozen=True)
class _Broken:
    """Stands for a value that could not be read."""

    reason: str


def parse_lines(text: bytes) -> Iterator[Parsed]:
    """Parse each line of JSON lines; blank ones are no records."""
    for line, data in enumerate(BytesIO(text), 1):
        if data.isspace():
            continue
        value: Any
        try:
            value = json.loads(data.rstrip(b"\r\n").decode())
        except UnicodeDecodeError:
            value = _Broken(BAD_BYTES)
        except json.JSONDecodeError as error:
            value = _Broken(f"not valid JSON at character {error.pos + 1}: {error.msg}")
        except (ValueError, RecursionError):
            value = _Broken("not valid JSON: a number is too long or the nesting too deep")
        yield line, value, data


def parse_array(file: Path, path: Path) -> Iterator[Parsed]:
    """Parse the elements of a JSON array."""
    text = file.read_bytes().decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    at, line, counted = _skip(text, text.index("[") + 1, ""), 1, 0
    while not text.startswith("]", at):
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "too long or too deep"
            raise InputError(f"{path} line {line}: not valid JSON ({reason}); mend it") from error
        yield line, value, text[at : min(end, at + SHOWN)].encode("utf-8", "replace")
        at = _skip(text, end, ",")


def _skip(text: str, at: int, comma: str) -> int:
    """Return where the next JSON value begins."""
    while at < len(text) and text[at] in " \t\r\n" + comma:
        at += 1
    return at


def _batch_table(batch: list[dict[str, Any]], path: Path) -> pa.Table:
    names = list(dict.fromkeys(chain.from_iterable(batch)))
    if len(names) > MOST_COLUMNS or len(names) * len(batch) > MOST_CELLS:
        raise too_wide(path, len(names), MOST_CELLS // BATCH)
    try:
        records = pa.array(batch, pa.struct([(name, pa.string()) for name in names]))
        return pa.table(records.flatten(), names=names)
    except (pa.ArrowTypeError, UnicodeEncodeError):  # not all are text, or half a surrogate pair is in one
        columns = [_string_array([record.get(name) for record in batch]) for name in names]
        return pa.table(columns, names=[_encodable(name) for name in names])


def _string_array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, UnicodeEncodeError):
        texts = (as_string(value) for value in values)
        return pa.array([text if text is None else _encodable(text) for text in texts], pa.string())


def _encodable(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_string(value: Any) -> str | None:  # noqa: ANN401 - whatever JSON or Parquet holds
    """Return a value as a cell: text as it is, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, default=str)
