"""A table whose rows are rated: all of its records in their order, and writing them with what was added."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from xingping.config import ColumnSettings
from xingping.errors import OutputError
from xingping.file_parts import Parts
from xingping.json_records import BATCH
from xingping.records import MOST_COLUMNS, Portion, shown, too_wide
from xingping.reviews import find_columns
from xingping.table_writer import check_format, json_lines_writer, table_writer
from xingping.tables import TableFile, open_table, parquet_file

__all__ = ["RatedFile", "write_rows"]

JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class RatedFile:
    """A file to rate, and its columns.

    Attributes
    ----------
    file
        Open to be read.
    names
        Of all columns.
    text, movie
        Those of the texts and the films; there may be none of films.
    """

    file: TableFile
    names: list[str]
    text: str
    movie: str | None

    @classmethod
    def open(cls, source: Path, folder: Path, columns: ColumnSettings | None = None) -> Self:
        """Recognise a file and its columns.

        Parameters
        ----------
        source
            As `open_table` takes it.
        folder
            For what is unpacked or decoded.
        columns
            Names of the text and the film, where they are not recognised.

        Raises
        ------
        InputError
            It cannot be read, has too many columns, or none of texts.
        """
        file = open_table(source, folder)
        names = _names(file)
        found = find_columns(names, columns or ColumnSettings(), source)
        return cls(file, names, str(found.text), found.movie)

    def portions(self) -> Iterator[Portion]:
        """Give the portions that have records."""
        return (portion for portion in self.file.portions() if portion.rows)

    def size_of(self, portion: Portion) -> int:
        """Return how much of the whole a portion is, in the unit of `total`."""
        return portion.stop - portion.start or portion.rows

    @property
    def total(self) -> tuple[int, str]:
        """How much there is, and of what."""
        if self.file.source.kind == "parquet":
            return parquet_file(self.file).metadata.num_rows, "rows"
        return self.file.size - (self.file.layout.start if self.file.layout else 0), "bytes"

    def records(self, portion: Portion, line: int) -> tuple[pa.Table, list[str]]:
        """Return all records of a portion as strings, and a note for each that could not be read, else "".

        Parameters
        ----------
        portion
            Of the file.
        line
            Lines of the file before it.
        """
        records, names = portion.records, self.names
        have = records.table
        missing = pa.nulls(have.num_rows, pa.string())
        table = pa.table([have[name] if name in have.column_names else missing for name in names], names=names)
        bad = records.bad_lines
        notes = [""] * table.num_rows + [f"line {line + each.line}: {each.reason}" for each in bad]
        if not bad:
            return table, notes
        kept = pa.table(
            [pa.array([each.text if name == self.text else None for each in bad], pa.string()) for name in names],
            names=names,
        )
        rows = np.concatenate([records.row_numbers, np.array([each.row for each in bad], dtype=np.int64)])
        order = np.argsort(rows, kind="stable")
        return pa.concat_tables([table, kept]).take(pa.array(order)), [notes[index] for index in order]


def write_rows(rated: RatedFile, parts: Parts, target: Path) -> None:
    """Write the rows of the file with what was added to them.

    A Parquet file keeps its types, and JSON that is written as JSON Lines the values that it had; all else is text.

    Raises
    ------
    OutputError
        The target cannot be written, or somebody removed parts.
    """
    if rated.file.source.kind == "json" and check_format(target) in JSON_LINES:
        _write_json(rated, parts, target)
        return
    first = parts.read(0)
    added = pa.schema([]) if first is None else first.schema
    own = _own_types(rated)
    kept = [name for name in own.names if name not in added.names]
    schema = pa.schema([*(own.field(name) for name in kept), *added])
    with table_writer(target, schema) as write:
        number = 0
        for table in _own_tables(rated):
            start = 0
            while start < table.num_rows:
                part = _part(parts, number)
                piece = table.slice(start, part.num_rows)
                write(pa.table([*(piece[name] for name in kept), *part.columns], schema=schema))
                start, number = start + part.num_rows, number + 1


def _write_json(rated: RatedFile, parts: Parts, target: Path) -> None:
    """Write JSON records as they were, each with what was added to it."""
    with json_lines_writer(target) as write:
        added: Iterator[dict[str, Any]] = iter(())
        number = 0
        for _line, value, data in rated.file.values():
            answer = next(added, None)
            if answer is None:
                added, number = iter(_part(parts, number).to_pylist()), number + 1
                answer = next(added)
            record = value if isinstance(value, dict) and value else {rated.text: shown(data)}
            write({name: own for name, own in record.items() if name not in answer} | answer)


def _part(parts: Parts, number: int) -> pa.Table:
    part = parts.read(number)
    if part is None or not part.num_rows:
        raise OutputError(f"{parts.folder} was changed while it was in use; run the same command again")
    return part


def _names(file: TableFile) -> list[str]:
    """Return the columns of a file; of JSON those of all records, for which it is gone through once."""
    if file.names is not None:
        return file.names
    names = list(dict.fromkeys(name for portion in file.portions() for name in portion.records.table.column_names))
    if len(names) > MOST_COLUMNS:
        raise too_wide(file.path, len(names))
    return names


def _own_types(rated: RatedFile) -> pa.Schema:
    """Return the columns of the file: of Parquet with their own types, else strings."""
    if rated.file.source.kind == "parquet":
        schema = parquet_file(rated.file).schema_arrow.remove_metadata()
        return pa.schema([field.with_name(name) for field, name in zip(schema, rated.names, strict=True)])
    return pa.schema([(name, pa.string()) for name in rated.names])


def _own_tables(rated: RatedFile) -> Iterator[pa.Table]:
    """Give the records of each portion in the types of the file, the unreadable ones among them."""
    if rated.file.source.kind == "parquet":
        schema = _own_types(rated)
        for batch in parquet_file(rated.file).iter_batches(batch_size=BATCH):
            yield pa.Table.from_arrays(batch.columns, schema=schema)
        return
    line = rated.file.lines_before
    for portion in rated.portions():
        yield rated.records(portion, line)[0]
        line += portion.lines
