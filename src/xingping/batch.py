"""Whole files with a trained model: every row of a table is rated, and kept."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from xingping.calibration import FilmMeans
from xingping.config import ColumnSettings
from xingping.errors import InputError, SettingsError
from xingping.explanation import Method
from xingping.features import FeatureStore
from xingping.file_parts import Parts, folder_beside
from xingping.predictor import RatingPredictor
from xingping.progress import Progress, Silent
from xingping.rated_file import RatedFile, write_rows
from xingping.row_answers import Rate, RowAnswers
from xingping.segmentation import Segmenter
from xingping.table_writer import check_format, table_writer

__all__ = ["FileSummary", "open_store", "predict_file"]


PART_ROWS = 10_000
"""Rows that are rated and kept together: what a kill loses at most."""

EXPLAINED_ROWS = 2_000
"""The same where words are asked for, which takes longer."""


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
    explain: Method | None = None,
    keep_features: bool = False,
    progress: Progress | None = None,
) -> FileSummary:
    """Rate every row of a table and write it with the ratings behind its own columns.

    All rows stay, in their order. `predicted_rating`, `predicted_expected` and, for classification,
    `predicted_p1` to `predicted_p5` and `predicted_set` (such as `4 5`) are added; they are empty where a row has no
    text or could not be read, and `predicted_note` says why. Of an unreadable record the first 1,000 characters are
    kept, in the text column.

    The file is gone through portion by portion, so memory does not grow with the rows (but for a JSON array, which is
    read whole). The ratings of some thousand rows at a time are kept beside the target until all are done: the same
    call after a kill goes on from there, and ends with the same file. What is unpacked or decoded on the way lies
    beside the target, too.

    Parameters
    ----------
    predictor
        The trained model. Features that the store of its encoder has are taken from there; an exported graph has no
        store.
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
    explain
        Add `predicted_words`: the words of the text in their order, each with its share of the attention (`weight`),
        the stars it adds to the rating when not left out (`effect`), or its part in stars by integrated gradients
        (`gradient`), as the method is. A list of objects in Parquet and JSON Lines, JSON in a cell of CSV.
    keep_features
        Write the features of new texts to the store, some 30 kB a text, where the next prediction finds them.
    progress
        Who watches.

    Raises
    ------
    InputError
        The source cannot be read, or has no column of texts, or of films where they are wanted.
    OutputError
        A target cannot be written, its format is unknown, or the disk cannot hold the features to keep.
    SettingsError
        Words are to be found of texts that something else rates, or gradients or features of an exported graph.
    """
    if rate is not None and (explain is not None or keep_features):
        raise SettingsError("words and features are those of the model on this machine; leave them out, or rate here")
    if not predictor.has_features and (explain == "gradients" or keep_features):
        raise SettingsError(
            "an exported model has no gradients and no features to keep: use --explain with --method attention or "
            "occlusion and leave out --keep-features, or use the run that it was exported from"
        )
    for file in (target, films):
        if file is not None:
            check_format(file)
    with folder_beside(target) as folder:
        rated = RatedFile.open(source, folder, columns)
        if films is not None and rated.movie is None:
            raise InputError(f"{source} has no column of films that is recognised; name it with --movie-column")
        means = _FilmSums(predictor.film_means) if films is not None else None
        parts = Parts.beside(target, predictor, source, rated.text, explain or "")
        store = open_store(predictor) if predictor.has_features else None
        if rate is None and store is not None:
            predictor.look_up(store)
        answers = RowAnswers(predictor, rate, explain)
        summary = _rate_portions(rated, parts, answers, store if keep_features else None, means, progress or Silent())
        with parts.whole(target) as whole:
            write_rows(rated, parts, whole)
        if means is not None and films is not None:
            with table_writer(films, means.table().schema) as write:
                write(means.table())
        parts.remove()
    return summary


def _rate_portions(
    rated: RatedFile,
    parts: Parts,
    answers: RowAnswers,
    store: FeatureStore | None,
    means: "_FilmSums | None",
    progress: Progress,
) -> FileSummary:
    """Leave the parts of each portion, but for those that an earlier call left."""
    rows = unrated = line = number = 0
    size = PART_ROWS if answers.method is None else EXPLAINED_ROWS
    total, unit = rated.total
    with progress.bar("predict", total, unit) as advance:
        for portion in rated.portions():
            table, notes = rated.records(portion, rated.file.lines_before + line)
            share = _Share(advance, rated.size_of(portion), table.num_rows)
            for start in range(0, table.num_rows, size):
                piece = table.slice(start, size)
                part = parts.read(number)
                if part is None:
                    texts = piece[rated.text].to_pylist()
                    if store is not None:
                        store.encode(answers.predictor.encoder, _distinct(answers.predictor, texts))
                    part = answers.columns(texts, notes[start : start + size], share.within)
                    parts.write(number, part)
                if means is not None and rated.movie is not None:
                    means.add(piece[rated.movie].to_pylist(), part["predicted_expected"].to_pylist())
                rows, unrated = rows + part.num_rows, unrated + part["predicted_rating"].null_count
                number += 1
                share.finish(piece.num_rows)
            line += portion.lines
    if not rows:
        parts.write(0, answers.columns([], []))  # the columns are there all the same
    return FileSummary(rows, unrated)


def _distinct(predictor: RatingPredictor, texts: Sequence[str | None]) -> list[str]:
    """Return the cleaned texts that are to be rated, each once."""
    return [text for text in dict.fromkeys(predictor.clean([text or "" for text in texts])) if text]


class _Share:
    """Tells how far a portion is, row by row, in the unit in which the file is measured."""

    def __init__(self, advance: Callable[[int], None], size: int, rows: int) -> None:
        self._advance, self._size, self._rows = advance, size, rows
        self._finished = self._begun = self._told = 0

    def within(self, count: int) -> None:
        """Tell of some rows of a part that is not finished."""
        self._begun += count
        self._tell(self._finished + self._begun)

    def finish(self, count: int) -> None:
        """Tell that a part is finished."""
        self._finished, self._begun = self._finished + count, 0
        self._tell(self._finished)

    def _tell(self, rows: int) -> None:
        now = self._size * min(rows, self._rows) // self._rows
        if now > self._told:
            self._advance(now - self._told)
            self._told = now


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


def open_store(predictor: RatingPredictor) -> FeatureStore:
    """Return the store of the features that a head takes."""
    card = predictor.card
    segmenter = Segmenter(card.segmentation) if card.features.unit == "word" else None
    return FeatureStore(card.encoder_fingerprint, settings=card.features, segmenter=segmenter)
