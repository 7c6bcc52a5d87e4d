"""Tables: any table file becomes Arrow tables of strings, with the number and the line of every record.

CSV is read by `xingping.delimited`; JSON, JSON lines and Parquet here. A file can be read portion by portion in
memory that does not grow with it, but for a JSON array, which is parsed as a whole.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping import delimited
from xingping.delimited import Layout, line_start, map_bytes, read_layout, read_stretch
from xingping.errors import InputError
from xingping.json_records import BATCH, Parsed, as_string, collect_json, is_array, parse_array, parse_lines
from xingping.records import BadLine, Portion, Records, join_portions, unique_names
from xingping.sources import Source, open_source

__all__ = ["BadLine", "RawTable", "Stretch", "TableFile", "open_table", "parquet_file", "read_table"]


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


@dataclass(frozen=True)
class Stretch:
    """Some lines of a text file, which any process can read without knowing those before.

    Attributes
    ----------
    file, path
        The file, and what the user calls it.
    layout
        Of a delimited file; None for JSON lines.
    start, limit
        The stretch begins with the first line at or after the byte `start`, and its successor with that at or
        after `limit`; where a record reaches beyond that, the successor begins after the record.
    """

    file: Path
    path: Path
    layout: Layout | None
    start: int
    limit: int

    def begin(self, start: int) -> "Stretch":
        """Return the stretch with another beginning."""
        return replace(self, start=start)

    def read(self) -> Portion:
        """Read the records that begin in the stretch."""
        data = map_bytes(self.file)
        start, limit = line_start(data, self.start), line_start(data, self.limit)
        if start >= limit:
            return Portion(collect_json([], self.path), 0, 0, start, start)
        if self.layout is not None:
            return read_stretch(self.file, self.path, self.layout, start, limit)
        text = self.text()
        lines = text.count(b"\n") + (not text.endswith(b"\n"))
        parsed = list(parse_lines(text))
        return Portion(collect_json(parsed, self.path), len(parsed), lines, start, limit)

    def text(self) -> bytes:
        """Return its lines."""
        data = map_bytes(self.file)
        return data[line_start(data, self.start) : line_start(data, self.limit)].tobytes()


@dataclass(frozen=True)
class TableFile:
    """A table file that is ready to be read portion by portion.

    Attributes
    ----------
    source
        The unpacked file in UTF-8.
    path
        What the user calls it.
    layout
        Of a delimited file, else None.
    """

    source: Source
    path: Path
    layout: Layout | None

    @property
    def lines_before(self) -> int:
        """Physical lines before the first portion."""
        return self.layout.lines if self.layout else 0

    @property
    def size(self) -> int:
        """Bytes of the unpacked file."""
        return self.source.path.stat().st_size

    @property
    def names(self) -> list[str] | None:
        """The columns; None for JSON, where each record names its own."""
        if self.layout is not None:
            return self.layout.grammar.names
        return unique_names(parquet_file(self).schema_arrow.names) if self.source.kind == "parquet" else None

    def stretches(self, size: int) -> list[Stretch] | None:
        """Cut the file into stretches that can be read side by side; None where it cannot be cut."""
        if self.source.kind == "parquet" or is_array(self.source.path):
            return None
        start = self.layout.start if self.layout else 0
        places = range(start, self.size, size)
        return [Stretch(self.source.path, self.path, self.layout, at, at + size) for at in places]

    def portions(self) -> Iterator[Portion]:
        """Read the file in order.

        Raises
        ------
        InputError
            The file is damaged.
        """
        if self.names is not None:
            yield Portion(_no_records(self.names), 0, 0)
        stretches = self.stretches(delimited.CHUNK)
        if stretches is None:
            yield from _parquet_portions(self) if self.source.kind == "parquet" else _array_portions(self)
            return
        start = 0
        for stretch in stretches:
            portion = stretch.begin(max(start, stretch.start)).read()
            start = portion.stop
            if portion.rows or portion.lines:
                yield portion

    def values(self) -> Iterator[Parsed]:
        """Parse the records of a JSON file in order, the unreadable ones among them: as many as `portions` has rows.

        Raises
        ------
        InputError
            The file is damaged.
        """
        stretches = self.stretches(delimited.CHUNK)
        if stretches is None:
            yield from parse_array(self.source.path, self.path)
            return
        for stretch in stretches:
            yield from parse_lines(stretch.text())


def open_table(path: Path, folder: Path) -> TableFile:
    """Unpack and recognise a table file.

    Parameters
    ----------
    path
        CSV (comma, tab, semicolon or bar), JSON lines, a JSON array of objects, or Parquet; also in a .gz,
        or alone in a .zip. Text may be UTF-8, UTF-16 or GB18030.
    folder
        Where unpacked and decoded copies go; they must stay until all is read.

    Raises
    ------
    InputError
        The file is missing, empty, unreadable, damaged or of an unknown kind.
    """
    source = open_source(path, folder)
    return TableFile(source, path, read_layout(source.path, path) if source.kind == "text" else None)


def read_table(path: Path, temporary_folder: Path | None = None) -> RawTable:
    """Read a whole table file into memory.

    Parameters
    ----------
    path
        As in `open_table`.
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
        file = open_table(path, Path(folder))
        records = join_portions(chain([Portion(collect_json([], path), 0, 0)], file.portions()), file.lines_before)
    return RawTable(**vars(records), encoding=file.source.encoding, format=file.source.format)


def _no_records(names: list[str]) -> Records:
    table = pa.schema([(name, pa.string()) for name in names]).empty_table()
    return Records(table, np.empty(0, np.int64), np.empty(0, np.int64), [])


def parquet_file(file: TableFile) -> pq.ParquetFile:
    """Open a Parquet file so that little of it is in memory at a time, however large its row groups are.

    Raises
    ------
    InputError
        It is damaged.
    """
    try:
        return pq.ParquetFile(file.source.path, buffer_size=1 << 20, pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged_parquet(file.path, error) from error


def _damaged_parquet(path: Path, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0]
    return InputError(f"{path} is a damaged Parquet file ({reason}); write it again")


def _parquet_portions(file: TableFile) -> Iterator[Portion]:
    parquet = parquet_file(file)
    names = unique_names(parquet.schema_arrow.names)
    batches = parquet.iter_batches(batch_size=BATCH)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            columns = [_as_strings(column) for column in pa.Table.from_batches([batch]).columns]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged_parquet(file.path, error) from error
        numbers: NDArray[np.int64] = np.arange(1, batch.num_rows + 1)
        yield Portion(Records(pa.table(columns, names=names), numbers, numbers, []), numbers.size, numbers.size)


def _as_strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type):
        return column
    try:
        return pc.cast(column, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested values, binary that is not UTF-8
        return pa.chunked_array([[as_string(value) for value in column.to_pylist()]], pa.string())


def _array_portions(file: TableFile) -> Iterator[Portion]:
    parsed = parse_array(file.source.path, file.path)
    before = 0
    while batch := list(islice(parsed, BATCH)):
        last = batch[-1][0]
        records = collect_json([(line - before, value, data) for line, value, data in batch], file.path)
        yield Portion(records, len(batch), last - before)
        before = last
