"""Whole files with a trained model: every row of a table is rated, and kept."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.artifacts import atomic_path, file_sha256, fingerprint
from xingping.calibration import FilmMeans
from xingping.config import ColumnSettings
from xingping.errors import InputError, OutputError
from xingping.json_records import BATCH
from xingping.predictor import RatingPredictor
from xingping.progress import Progress, Silent
from xingping.records import Portion
from xingping.reviews import find_columns
from xingping.table_writer import check_format, table_writer
from xingping.tables import TableFile, open_table

__all__ = ["FileSummary", "predict_file"]


class Rate(Protocol):
    """Rates texts as `RatingPredictor.predict` does."""

    def __call__(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Ratings:
        """Return the ratings of texts, in their order."""


@dataclass(frozen=True)
class FileSummary:
    """What `predict_file` did.

    Attributes
    ----------
    rows
        Rows written, as many as were read.
    unrated
        Rows among them without a text to rate.
    """

    rows: int
    unrated: int


def predict_file(
    predictor: RatingPredictor,
    source: Path,
    target: Path,
    columns: ColumnSettings | None = None,
    *,
    films: Path | None = None,
    rate: Rate | None = None,
    progress: Progress | None = None,
) -> FileSummary:
    """Rate every row of a table and write it with the ratings behind its own columns.

    All rows stay, in their order. `predicted_rating`, `predicted_expected` and, for classification,
    `predicted_p1` to `predicted_p5` and `predicted_set` (such as `4 5`) are added; they are empty where a row has no
    text or could not be read, and `predicted_note` says why. An unreadable record is kept as it is in the text column.

    The file is gone through portion by portion, so memory does not grow with the rows (but for a JSON array, which is
    read whole). The ratings of each portion are kept beside the target until all are done: the same call after a kill
    goes on from there, and ends with the same file.

    Parameters
    ----------
    predictor
        The trained model.
    source
        CSV, TSV, Parquet or JSON Lines, plain, .gz or .zip.
    target
        .csv, .tsv, .jsonl or .parquet; the text formats also as .gz. In CSV and TSV a cell that a spreadsheet
        would run as a formula gets an apostrophe in front.
    columns
        Only those of the text and the film count.
    films
        Where the mean rating of each film is written: `film, reviews, mean, low, high`, the last two the ends of an
        interval of 95 % for the mean that the authors of these reviews would give; the most reviewed film first.
    rate
        Rates the texts in the place of the predictor, which then only cleans them.
    progress
        Who watches.

    Raises
    ------
    InputError
        The source cannot be read, or has no column of texts, or of films where they are wanted.
    OutputError
        A target cannot be written, or its format is unknown.
    """
    for file in (target, films):
        if file is not None:
            check_format(file)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        table = open_table(source, Path(folder))
        names = _names(table)
        found = find_columns(names, columns or ColumnSettings(), source)
        if films is not None and found.movie is None:
            raise InputError(f"{source} has no column of films that is recognised; name it with --movie-column")
        means = _FilmSums(predictor.film_means) if films is not None else None
        parts = _Parts.beside(target, predictor, source, str(found.text))
        rated = _RatedFile(table, names, str(found.text), found.movie if means else None)
        summary = _rate_portions(rated, parts, predictor, rate or predictor.predict, means, progress or Silent())
        _write_rows(rated, parts, target)
        if means is not None and films is not None:
            with table_writer(films, means.table().schema) as write:
                write(means.table())
        parts.remove()
    return summary


@dataclass(frozen=True)
class _RatedFile:
    """A file to rate, and its columns."""

    file: TableFile
    names: list[str]
    text: str
    movie: str | None

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
            return pq.read_metadata(self.file.source.path).num_rows, "rows"
        return self.file.size - (self.file.layout.start if self.file.layout else 0), "bytes"


def _names(file: TableFile) -> list[str]:
    """Return the columns of a file; of JSON those of all records, for which it is gone through once."""
    if file.names is not None:
        return file.names
    return list(dict.fromkeys(name for portion in file.portions() for name in portion.records.table.column_names))


def _rate_portions(
    rated: _RatedFile,
    parts: "_Parts",
    predictor: RatingPredictor,
    rate: Rate,
    means: "_FilmSums | None",
    progress: Progress,
) -> FileSummary:
    """Leave a part for each portion, unless an earlier call did."""
    rows = unrated = line = 0
    total, unit = rated.total
    with progress.bar("predict", total, unit) as advance:
        for number, portion in enumerate(rated.portions()):
            part = parts.read(number)
            table, notes = _all_records(portion, rated, rated.file.lines_before + line)
            if part is None:
                part = _rated(table[rated.text].to_pylist(), notes, predictor, rate)
                parts.write(number, part)
            if means is not None and rated.movie is not None:
                means.add(table[rated.movie].to_pylist(), part["predicted_expected"].to_pylist())
            rows, unrated = rows + part.num_rows, unrated + part["predicted_rating"].null_count
            line += portion.lines
            advance(rated.size_of(portion))
    if not rows:
        parts.write(0, _rated([], [], predictor, rate))  # the columns are there all the same
    return FileSummary(rows, unrated)


def _rated(texts: list[str | None], notes: list[str], predictor: RatingPredictor, rate: Rate) -> pa.Table:
    """Return the columns that are added to some rows."""
    raw = [text or "" for text in texts]
    has_text = [bool(text) and not note for text, note in zip(predictor.clean(raw), notes, strict=True)]
    ratings = rate([text for text, ok in zip(raw, has_text, strict=True) if ok])
    columns = _added_columns(ratings, np.array(has_text, dtype=np.bool_))
    columns["predicted_note"] = pa.array(
        [note or ("" if ok else "no text") for note, ok in zip(notes, has_text, strict=True)], pa.string()
    )
    return pa.table(columns)


def _write_rows(rated: _RatedFile, parts: "_Parts", target: Path) -> None:
    """Write the rows of the file with what was added to them."""
    first = parts.read(0)
    added = pa.schema([]) if first is None else first.schema
    own = _own_types(rated)
    kept = [name for name in own.names if name not in added.names]
    schema = pa.schema([*(own.field(name) for name in kept), *added])
    with table_writer(target, schema) as write:
        for number, table in enumerate(_own_tables(rated)):
            part = parts.read(number)
            if part is None:
                raise OutputError(f"{parts.folder} was removed while {target} was written; run the same command again")
            write(pa.table([*(table[name] for name in kept), *part.columns], schema=schema))


def _own_types(rated: _RatedFile) -> pa.Schema:
    """Return the columns of the file: of Parquet with their own types, else strings."""
    if rated.file.source.kind == "parquet":
        schema = pq.read_schema(rated.file.source.path).remove_metadata()
        return pa.schema([field.with_name(name) for field, name in zip(schema, rated.names, strict=True)])
    return pa.schema([(name, pa.string()) for name in rated.names])


def _own_tables(rated: _RatedFile) -> Iterator[pa.Table]:
    """Give the records of each portion in the types of the file, the unreadable ones among them."""
    if rated.file.source.kind == "parquet":
        schema = _own_types(rated)
        for batch in pq.ParquetFile(rated.file.source.path).iter_batches(batch_size=BATCH):
            yield pa.Table.from_arrays(batch.columns, schema=schema)
        return
    line = rated.file.lines_before
    for portion in rated.portions():
        yield _all_records(portion, rated, line)[0]
        line += portion.lines


def _all_records(portion: Portion, rated: _RatedFile, line: int) -> tuple[pa.Table, list[str]]:
    """Return all records of a portion in the order of the file, and a note for each that could not be read."""
    records, names = portion.records, rated.names
    have = records.table
    missing = pa.nulls(have.num_rows, pa.string())
    table = pa.table([have[name] if name in have.column_names else missing for name in names], names=names)
    bad = records.bad_lines
    notes = [""] * table.num_rows + [f"line {line + each.line}: {each.reason}" for each in bad]
    if not bad:
        return table, notes
    kept = pa.table(
        [pa.array([each.text if name == rated.text else None for each in bad], pa.string()) for name in names],
        names=names,
    )
    rows = np.concatenate([records.row_numbers, np.array([each.row for each in bad], dtype=np.int64)])
    order = np.argsort(rows, kind="stable")
    return pa.concat_tables([table, kept]).take(pa.array(order)), [notes[index] for index in order]


def _added_columns(ratings: Ratings, rated: NDArray[np.bool_]) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {
        "predicted_rating": pa.array(ratings.rating.astype(np.int8)),
        "predicted_expected": pa.array(ratings.expected.round(4)),
    }
    if ratings.probabilities is not None:
        for star in range(1, 6):
            columns[f"predicted_p{star}"] = pa.array(ratings.probabilities[:, star - 1].round(6))
    if ratings.sets is not None:
        named = [" ".join(map(str, np.flatnonzero(row) + 1)) for row in ratings.sets]
        columns["predicted_set"] = pa.array(named, pa.string())
    place = np.cumsum(rated) - 1
    where = pa.array(np.where(rated, place, 0), mask=~rated)
    return {name: values.take(where) for name, values in columns.items()}


@dataclass(frozen=True)
class _Parts:
    """The ratings of each portion of a file, in a folder beside the target.

    Attributes
    ----------
    folder
        Named after the target and all that decides the ratings.
    """

    folder: Path

    @classmethod
    def beside(cls, target: Path, predictor: RatingPredictor, source: Path, text: str) -> "_Parts":
        """Return the parts of one task, and remove those of others with the same target."""
        model = [predictor.card.model_dump_json(), predictor.scorer.digest]
        key = fingerprint(file_sha256(source), source.name, model, text)
        parts = cls(target.parent / f".{target.name}.{key}.parts")
        for other in target.parent.glob(f".{target.name}.*.parts"):
            if other != parts.folder:
                shutil.rmtree(other, ignore_errors=True)
        return parts

    def read(self, number: int) -> pa.Table | None:
        """Return a part, or None where it is not there."""
        file = self._file(number)
        return pa.ipc.open_file(pa.memory_map(str(file))).read_all() if file.is_file() else None

    def write(self, number: int, table: pa.Table) -> None:
        """Write a part, whole."""
        with atomic_path(self._file(number)) as temporary, pa.ipc.new_file(str(temporary), table.schema) as file:
            file.write_table(table)

    def remove(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.arrow"


@dataclass
class _FilmSums:
    """The number and the sum of the expected ratings of each film."""

    means: FilmMeans
    films: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0, 0.0]))

    def add(self, names: Sequence[str | None], expected: Sequence[float | None]) -> None:
        """Add reviews; those without a film or a rating do not count."""
        for name, value in zip(names, expected, strict=True):
            if value is not None and name and name.strip():
                known = self.films[name.strip()]
                known[0] += 1
                known[1] += value

    def table(self) -> pa.Table:
        """Return the mean of each film with its interval, the most reviewed first."""
        rows = []
        for name, (count, total) in sorted(self.films.items(), key=lambda item: (-item[1][0], item[0])):
            mean, low, high = self.means.interval(total / count, int(count))
            rows.append((name, int(count), round(mean, 4), round(low, 4), round(high, 4)))
        kinds = (pa.string(), pa.int64(), pa.float64(), pa.float64(), pa.float64())
        columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
        return pa.Table.from_arrays(arrays, names=["film", "reviews", "mean", "low", "high"])
