"""Writing tables piece by piece: CSV, TSV, JSON lines or Parquet, in memory that does not grow with the rows."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from xingping.artifacts import atomic_path
from xingping.errors import OutputError

__all__ = ["TableWriter", "check_format", "json_lines_writer", "table_writer"]

TEXT_FORMATS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": ""}

FORMULA = r"^[=+\-@\t\r]"
"""How a cell begins that a spreadsheet runs."""

ROWS = 10_000


class TableWriter(Protocol):
    """Takes the pieces of a table."""

    def __call__(self, table: pa.Table) -> None:
        """Write a piece; all have the schema that was announced."""


def check_format(target: Path) -> str:
    """Return how a file is written, by its name: `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.parquet`.

    Raises
    ------
    OutputError
        The name does not tell.
    """
    is_packed = target.suffix.lower() == ".gz"
    suffix = Path(target.stem).suffix.lower() if is_packed else target.suffix.lower()
    if suffix not in TEXT_FORMATS and (suffix != ".parquet" or is_packed):
        raise OutputError(f"{target}: cannot tell the format; name it .csv, .tsv, .jsonl (also .gz) or .parquet")
    return suffix


@contextmanager
def table_writer(target: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Give what writes a table, which is put in place whole when the block ends without an error.

    In CSV and TSV a cell that a spreadsheet would run as a formula gets an apostrophe in front.

    Parameters
    ----------
    target
        .csv, .tsv, .jsonl or .parquet; the text formats also as .gz.
    schema
        Of all pieces.

    Raises
    ------
    OutputError
        The format is unknown, or the file cannot be written.
    """
    suffix = check_format(target)
    with atomic_path(target) as temporary, ExitStack() as stack:
        if suffix == ".parquet":
            yield stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd")).write_table
            return
        stream = stack.enter_context(_stream(temporary, target))
        if TEXT_FORMATS[suffix]:
            options = pa.csv.WriteOptions(delimiter=TEXT_FORMATS[suffix])
            lines = stack.enter_context(pa.csv.CSVWriter(stream, _flat(schema), write_options=options))
            yield lambda table: lines.write_table(_defused(_flattened(table)))
        else:
            yield lambda table: _write_json_lines(table, stream)


@contextmanager
def json_lines_writer(target: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give what writes one record of JSON Lines after the other, put in place whole as by `table_writer`.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_path(target) as temporary, _stream(temporary, target) as stream:
        lines: list[str] = []

        def flush() -> None:
            stream.write("".join(lines).encode("utf-8", "replace"))
            lines.clear()

        def write(record: Mapping[str, Any]) -> None:
            lines.append(json.dumps(record, ensure_ascii=False, default=str) + "\n")
            if len(lines) == ROWS:
                flush()

        yield write
        flush()


def _stream(temporary: Path, target: Path) -> pa.NativeFile:
    compression = "gzip" if target.suffix.lower() == ".gz" else None
    return pa.output_stream(str(temporary), compression=compression)


def _write_json_lines(table: pa.Table, stream: pa.NativeFile) -> None:
    for batch in table.to_batches(max_chunksize=ROWS):
        lines = (json.dumps(row, ensure_ascii=False, default=str) for row in batch.to_pylist())
        stream.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))


def _flat(schema: pa.Schema) -> pa.Schema:
    """Return the schema with strings in the place of what CSV cannot hold."""
    return pa.schema([field.with_type(pa.string()) if pa.types.is_nested(field.type) else field for field in schema])


def _flattened(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            values = [None if value is None else json.dumps(value, ensure_ascii=False, default=str)
                      for value in table[index].to_pylist()]  # fmt: skip
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def _defused(table: pa.Table) -> pa.Table:
    """Put an apostrophe before each cell that a spreadsheet would run; numbers stay as they are."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            cells = pc.fill_null(table[index], "")
            formula = pc.and_not(
                pc.match_substring_regex(cells, FORMULA), pc.match_substring_regex(cells, r"^[+-][0-9.,]+$")
            )
            quoted = pc.binary_join_element_wise("'", cells, "")
            table = table.set_column(index, field.name, pc.if_else(formula, quoted, cells))
    return table
