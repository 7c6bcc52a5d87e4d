"""Tables: any table file becomes an Arrow table of strings, with the number and the line of every record.

CSV is read by `xingping.delimited`; JSON, JSON lines and Parquet here.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xingping.delimited import read_delimited
from xingping.errors import InputError
from xingping.records import BAD_BYTES, SHOWN, BadLine, Records, shown, unique_names
from xingping.sources import open_source

__all__ = ["BadLine", "RawTable", "read_table"]

BATCH = 20_000
"""JSON records that are turned into Arrow together."""


@dataclass(frozen=True)
class RawTable(Records):
    """A table file as it is, before any of its values is understood.

    Attributes
    ----------
    encoding
        Of the file: ``utf-8``, ``utf-8-sig``, ``utf-16``, ``gb18030``, ...; ``binary`` for Parquet.
    format
        ``csv``, ``tsv``, ``json``, ``jsonl``, ``parquet``, or one of them with ``.gz`` or ``.zip``.
    """

    encoding: str
    format: str

    @property
    def rows_read(self) -> int:
        """All records, good and bad."""
        return int(self.table.num_rows) + len(self.bad_lines)


def read_table(path: Path, temporary_folder: Path | None = None) -> RawTable:
    """Read a table file.

    Parameters
    ----------
    path
        CSV (comma, tab, semicolon or bar), JSON lines, a JSON array of objects, or Parquet; also in a .gz,
        or alone in a .zip. Text may be UTF-8, UTF-16 or GB18030.
    temporary_folder
        Where unpacked and decoded copies go while reading; None is the system's.

    Returns
    -------
    RawTable
        The good records with all their columns as strings, in the order of the file, and the bad ones.
        Column names are trimmed, empty ones numbered (``column_3``), repeated ones told apart (``text_2``).
        For Parquet and a JSON array, the line of a record is its number or the line where it begins.

    Raises
    ------
    InputError
        The file is missing, empty, unreadable, damaged or of an unknown kind.
    """
    with tempfile.TemporaryDirectory(dir=temporary_folder, ignore_cleanup_errors=True) as folder:
        source = open_source(path, Path(folder))
        read: Callable[[Path, Path], Records]
        read = {"text": read_delimited, "json": _read_json, "parquet": _read_parquet}[source.kind]
        records = read(source.path, path)
    return RawTable(**vars(records), encoding=source.encoding, format=source.format)


def _read_parquet(file: Path, path: Path) -> Records:
    try:
        table = pq.ParquetFile(file).read()
        columns = [_as_strings(column) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} is a damaged Parquet file ({reason}); write it again") from error
    numbers = np.arange(1, table.num_rows + 1)
    return Records(pa.table(columns, names=unique_names(table.column_names)), numbers, numbers, [])


def _as_strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type):
        return column
    try:
        return pc.cast(column, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested values, binary that is not UTF-8
        return pa.chunked_array([[_as_string(value) for value in column.to_pylist()]], pa.string())


def _as_string(value: Any) -> str | None:  # noqa: ANN401 - whatever JSON or Parquet holds
    """Return a value as a cell: text as it is, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, default=str)


def _read_json(file: Path, path: Path) -> Records:
    """Read JSON lines, or an array of objects."""
    with file.open("rb") as stream:
        start = stream.read(1 << 16).lstrip()
    parsed = _parse_array(file, path) if start.startswith(b"[") else _parse_lines(file)
    tables: list[pa.Table] = []
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
            tables.append(_batch_table(batch))
            batch = []
    tables.append(_batch_table(batch))
    rows, lines = np.array(places, dtype=np.int64).reshape(-1, 2).T
    return Records(pa.concat_tables(tables, promote_options="default"), rows, lines, bad_lines)


@dataclass(frozen=True)
class _Broken:
    """Stands for a value that could not be read."""

    reason: str


def _parse_lines(file: Path) -> Iterator[tuple[int, Any, bytes]]:
    """Give the line, the value and the text of each record of a file of JSON lines; blank lines are none."""
    with file.open("rb") as stream:
        for line, data in enumerate(stream, 1):
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


def _parse_array(file: Path, path: Path) -> Iterator[tuple[int, Any, bytes]]:
    """Give the line, the value and the text of each element of a JSON array."""
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


def _batch_table(batch: list[dict[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys(chain.from_iterable(batch)))
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
        texts = (_as_string(value) for value in values)
        return pa.array([text if text is None else _encodable(text) for text in texts], pa.string())


def _encodable(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
