"""Whole files with a trained model: rate every row of a table, or measure on a rated one."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.artifacts import atomic_path
from xingping.calibration import FilmMeans
from xingping.config import ColumnSettings, Task
from xingping.errors import InputError, OutputError, RunDirectoryError
from xingping.evaluation import Answers, evaluate_answers
from xingping.features import FeatureStore, StoredFeatures
from xingping.predictor import RatingPredictor, Ratings
from xingping.progress import Progress, Silent
from xingping.reviews import find_columns, read_reviews
from xingping.segmentation import Segmenter
from xingping.tables import RawTable, read_table

__all__ = ["FileSummary", "evaluate_file", "predict_file"]

TEXT_FORMATS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": ""}

FORMULA = r"^[=+\-@\t\r]"
"""How a cell begins that a spreadsheet runs."""


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
    progress = progress or Silent()
    suffix, films_suffix = _format(target), None if films is None else _format(films)
    raw = read_table(source)
    found = find_columns(raw.table.column_names, columns or ColumnSettings(), source)
    if films is not None and found.movie is None:
        raise InputError(f"{source} has no column of films that is recognised; name it with --movie-column")
    text_column = str(found.text)
    table, notes = _with_bad_lines(raw, text_column)
    texts = [text or "" for text in table[text_column].to_pylist()]
    cleaned = predictor.clean(texts)
    rated = np.array([bool(text) and not note for text, note in zip(cleaned, notes, strict=True)], dtype=bool)
    notes = [note or ("" if ok else "no text") for note, ok in zip(notes, rated, strict=True)]
    wanted = [text for text, ok in zip(texts, rated, strict=True) if ok]
    with progress.bar("predict", len(set(wanted)), "texts") as advance:
        ratings = (rate or predictor.predict)(wanted, progress=advance)
    if films is not None and films_suffix is not None:
        of_film = [name or "" for name, ok in zip(table[found.movie].to_pylist(), rated, strict=True) if ok]
        _write(_film_table(predictor.film_means, of_film, ratings), films, films_suffix)
    if raw.format == "parquet":
        table = pq.read_table(source)  # with the columns' own types
    for name, values in _added_columns(ratings, rated).items():
        table = _set_column(table, name, values)
    _write(_set_column(table, "predicted_note", pa.array(notes)), target, suffix)
    return FileSummary(len(texts), int((~rated).sum()))


def evaluate_file(
    run: Path, source: Path, columns: ColumnSettings | None = None, *, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Rate a file that a run has not seen, with each of its models, and measure.

    Returns
    -------
    dict
        `{task: M}` with M as `metrics.rating_metrics` gives it.

    Raises
    ------
    InputError
        The file cannot be read or has no usable row.
    RunDirectoryError
        The run has no trained model.
    """
    progress = progress or Silent()
    tasks = [task for task in get_args(Task) if (run / "models" / task / "model.json").is_file()]
    if not tasks:
        raise RunDirectoryError(f"{run} holds no trained model; run: xingping train {run}")
    predictors = [RatingPredictor.load(run, task=task) for task in tasks]
    reviews = read_reviews(source, columns or ColumnSettings(), predictors[0].card.cleaning)
    progress.say(
        f"{source.name}: {reviews.rows_read:,} rows read = {reviews.rows_kept:,} kept + "
        f"{reviews.rows_rejected:,} rejected + {reviews.rows_duplicate:,} duplicate"
    )
    texts = reviews.table["text"].to_pylist()
    true = reviews.table["rating"].to_numpy().astype(np.int64)
    features = _stored_features(predictors[0], texts, progress)
    return {
        predictor.task: evaluate_answers(true, Answers.of(predictor.predict_features(features, texts)))
        for predictor in predictors
    }


def _film_table(means: FilmMeans, film: Sequence[str], ratings: Ratings) -> pa.Table:
    """Return the mean rating of each film with its interval."""
    names, codes, counts = np.unique(np.array([name.strip() for name in film], str), return_inverse=True,
                                     return_counts=True)  # fmt: skip
    rows = []
    for index in np.lexsort((names, -counts)):
        if names[index]:
            mean, low, high = means.interval(ratings.expected[codes == index])
            rows.append((str(names[index]), int(counts[index]), round(mean, 4), round(low, 4), round(high, 4)))
    kinds = (pa.string(), pa.int64(), pa.float64(), pa.float64(), pa.float64())
    columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=["film", "reviews", "mean", "low", "high"])


def _stored_features(predictor: RatingPredictor, texts: list[str], progress: Progress) -> StoredFeatures:
    """Return features of cleaned texts from the store, encoding what is not there."""
    card = predictor.card
    segmenter = Segmenter(card.segmentation) if card.features.unit == "word" else None
    store = FeatureStore(card.encoder_fingerprint, settings=card.features, segmenter=segmenter)
    missing = store.missing(texts)
    if missing:
        with progress.bar("encode", len(missing), "texts") as advance:
            store.encode(predictor.encoder, missing, progress=advance)
    return store.view(texts)


def _format(target: Path) -> str:
    suffix = Path(target.stem).suffix.lower() if target.suffix.lower() == ".gz" else target.suffix.lower()
    if suffix not in TEXT_FORMATS and (suffix != ".parquet" or target.suffix.lower() == ".gz"):
        raise OutputError(f"{target}: cannot tell the format; name it .csv, .tsv, .jsonl (also .gz) or .parquet")
    return suffix


def _with_bad_lines(raw: RawTable, text_column: str) -> tuple[pa.Table, list[str]]:
    """Return all records in the order of the file, and a note for each that could not be read."""
    bad = raw.bad_lines
    notes = [""] * raw.table.num_rows + [f"line {line.line}: {line.reason}" for line in bad]
    if not bad:
        return raw.table, notes
    kept = pa.table(
        {
            name: pa.array([line.text if name == text_column else None for line in bad], pa.string())
            for name in raw.table.column_names
        }
    )
    rows = np.concatenate([raw.row_numbers, np.array([line.row for line in bad], dtype=np.int64)])
    order = np.argsort(rows, kind="stable")
    table = pa.concat_tables([raw.table, kept]).take(pa.array(order))
    return table, [notes[index] for index in order]


def _added_columns(ratings: Ratings, rated: NDArray[np.bool_]) -> dict[str, pa.Array]:
    columns: dict[str, NDArray[Any]] = {
        "predicted_rating": ratings.rating.astype(np.int8),
        "predicted_expected": ratings.expected.round(4),
    }
    if ratings.probabilities is not None:
        for star in range(1, 6):
            columns[f"predicted_p{star}"] = ratings.probabilities[:, star - 1].round(6)
    if ratings.sets is not None:
        columns["predicted_set"] = np.array([" ".join(map(str, np.flatnonzero(row) + 1)) for row in ratings.sets])
    place = np.cumsum(rated) - 1
    where = pa.array(np.where(rated, place, 0), mask=~rated)
    return {name: pa.array(values).take(where) for name, values in columns.items()}


def _set_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    if name in table.column_names:
        table = table.drop_columns(name)
    return table.append_column(name, values)


def _write(table: pa.Table, target: Path, suffix: str) -> None:
    with atomic_path(target) as temporary:
        if suffix == ".parquet":
            pq.write_table(table, temporary, compression="zstd")
            return
        compression = "gzip" if target.suffix.lower() == ".gz" else None
        with pa.output_stream(str(temporary), compression=compression) as stream:
            if TEXT_FORMATS[suffix]:
                options = pa.csv.WriteOptions(delimiter=TEXT_FORMATS[suffix])
                pa.csv.write_csv(_defused(table), stream, options)
            else:
                for batch in table.to_batches(max_chunksize=10_000):
                    lines = (json.dumps(row, ensure_ascii=False, default=str) for row in batch.to_pylist())
                    stream.write("".join(f"{line}\n" for line in lines).encode())


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
