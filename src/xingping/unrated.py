"""The case study of reviews that no run knows, rated or not: a model rates them, and the page says so."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.artifacts import RunDirectory
from xingping.config import ColumnSettings, Language
from xingping.errors import InputError
from xingping.film_study import FilmReviews
from xingping.language import _, join_sentences, speaking
from xingping.predictor import RatingPredictor
from xingping.progress import Progress, Silent
from xingping.report import find_films, write_study
from xingping.reviews import Reviews, read_reviews
from xingping.segmentation import Segmenter, load_stopwords

__all__ = ["FilmOfFile", "read_film", "report_file", "write_film"]

FILE_PAGE = "file"

MOST_REVIEWS = 200_000
"""Of a film; more are rated by `xingping predict`, which holds a portion at a time."""


def report_file(
    run: Path,
    source: Path,
    columns: ColumnSettings | None = None,
    *,
    movie: str | None = None,
    language: Language = "en",
    progress: Progress | None = None,
) -> Path:
    """Rate the reviews of a file by the model of a run, and write their case study.

    Parameters
    ----------
    run
        The run directory; the page is written to its `report/file/index.html`.
    source
        A table of reviews, as `read_reviews` takes it. Where every review has a star, the authors' stars are told of
        and the model's ratings stand beside them; else all is told by the model.
    columns
        Which column holds what.
    movie
        Film to study; by default the most reviewed one, or, where the file names no films, all reviews.
    language
        Of the page.
    progress
        Who watches.

    Raises
    ------
    InputError
        The file cannot be used, holds no such film, or too many reviews of it.
    RunDirectoryError
        The run has no model.
    """
    progress = progress or Silent()
    predictor = RatingPredictor.load(run)
    versions = RunDirectory.open(run, needs="train").record["versions"]
    reviews = read_film(source, predictor, columns, movie=movie)
    with progress.bar("report: rating", len(reviews), "reviews") as advance:
        expected = predictor.predict(reviews.texts, progress=advance).expected
    page = run / "report" / FILE_PAGE / "index.html"
    with speaking(language):
        write_film(page, predictor, reviews, expected, source=source.name, versions=versions)
    return page


@dataclass(frozen=True)
class FilmOfFile:
    """The reviews of one film of a file.

    Attributes
    ----------
    film
        Its name; that of the file where it names no films.
    table
        As `Reviews.table`.
    read, rejected, duplicate
        Rows of the file, how many of them could not be used, and were duplicates.
    """

    film: str
    table: pa.Table
    read: int
    rejected: int
    duplicate: int

    @property
    def texts(self) -> list[str]:
        """Cleaned."""
        texts: list[str] = self.table["text"].to_pylist()
        return texts

    def __len__(self) -> int:
        return int(self.table.num_rows)


def read_film(
    source: Path,
    predictor: RatingPredictor,
    columns: ColumnSettings | None = None,
    *,
    movie: str | None = None,
    name: str | None = None,
    most: int = MOST_REVIEWS,
) -> FilmOfFile:
    """Read the reviews of one film of a file.

    Parameters
    ----------
    source, columns, movie
        As `report_file` takes them.
    predictor
        Says how texts are cleaned.
    name
        What the file is called; by default as it is.
    most
        Reviews that the film may have.

    Raises
    ------
    InputError
        The file cannot be used, holds no such film, or too many reviews of it.
    """
    reviews = read_reviews(source, columns, predictor.card.cleaning, require_rating=False)
    film, where = _film(reviews, movie, Path(name or source.name).stem)
    if len(where) > most:
        raise InputError(
            f"{name or source} has {len(where):,} reviews of {film!r}, a case study takes {most:,}; give a sample"
        )
    return FilmOfFile(film, reviews.table.take(where), reviews.rows_read, reviews.rows_rejected, reviews.rows_duplicate)


def write_film(
    page: Path,
    predictor: RatingPredictor,
    reviews: FilmOfFile,
    expected: NDArray[np.float64],
    *,
    source: str,
    versions: Mapping[str, str],
) -> None:
    """Write the case study of a film, in the language at hand.

    Parameters
    ----------
    page
        The file to write; figures go to a folder beside it.
    predictor
        That which rated.
    reviews
        Of the film.
    expected
        (n,) as `Ratings.expected`.
    source
        What the file is called.
    versions
        Of what rated.
    """
    table, texts = reviews.table, reviews.texts
    study = FilmReviews(
        film=reviews.film,
        texts=texts,
        words=Segmenter(predictor.card.segmentation).words(texts),
        ratings=table["rating"].to_numpy().astype(np.int64) if table["rating"].null_count == 0 else None,
        expected=expected,
        rows=table["row"].to_numpy().astype(np.int64),
        dates=table["date"].to_pylist(),
        likes=table["likes"].to_pylist(),
    )
    verdict = join_sentences(_verdict(predictor, expected), _rejected(reviews))
    stopwords = load_stopwords(predictor.card.segmentation.stopwords)
    write_study(page, study, stopwords, verdict, source, versions)


def _film(reviews: Reviews, movie: str | None, stem: str) -> tuple[str, NDArray[np.int64]]:
    """Return the film to study and which reviews are of it."""
    films = np.asarray(reviews.table["film"].to_pylist(), dtype=str)
    counts = Counter(films.tolist())
    known = {film: n for film, n in counts.items() if film}
    if movie is not None:
        [film] = find_films(known, [movie])
    elif known:
        film = max(sorted(known), key=lambda name: known[name])
    else:
        return stem, np.arange(len(films))
    return film, np.flatnonzero(films == film)


def _verdict(predictor: RatingPredictor, expected: NDArray[np.float64]) -> str:
    mean, low, high = predictor.film_means.interval(float(expected.mean()), len(expected))
    return _("From the texts alone the model reads {mean} stars on average (95%: {low} to {high}).").format(
        mean=f"{mean:.2f}", low=f"{low:.2f}", high=f"{high:.2f}"
    )


def _rejected(reviews: FilmOfFile) -> str:
    if not reviews.rejected and not reviews.duplicate:
        return ""
    return _("Of {read} rows read, {rejected} could not be used and {duplicate} were duplicates.").format(
        read=f"{reviews.read:,}", rejected=f"{reviews.rejected:,}", duplicate=f"{reviews.duplicate:,}"
    )
