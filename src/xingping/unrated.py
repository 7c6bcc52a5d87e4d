"""The case study of reviews that no run knows, rated or not: a model rates them, and the page says so."""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xingping.config import ColumnSettings, Language
from xingping.errors import InputError
from xingping.film_study import FilmReviews
from xingping.language import _, join_sentences, speaking
from xingping.predictor import RatingPredictor
from xingping.progress import Progress, Silent
from xingping.report import find_films, write_study
from xingping.reviews import Reviews, read_reviews
from xingping.segmentation import Segmenter, load_stopwords

__all__ = ["report_file"]

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
    reviews = read_reviews(source, columns, predictor.card.cleaning, require_rating=False)
    film, where = _film(reviews, movie, source)
    if len(where) > MOST_REVIEWS:
        raise InputError(
            f"{source} has {len(where):,} reviews of {film!r}, a case study takes {MOST_REVIEWS:,}; give a sample"
        )
    table = reviews.table.take(where)
    texts = table["text"].to_pylist()
    with progress.bar("report: rating", len(texts), "reviews") as advance:
        expected = predictor.predict(texts, progress=advance).expected
    rated = table["rating"].null_count == 0
    study = FilmReviews(
        film=film,
        texts=texts,
        words=Segmenter(predictor.card.segmentation).words(texts),
        ratings=table["rating"].to_numpy().astype(np.int64) if rated else None,
        expected=expected,
        rows=table["row"].to_numpy().astype(np.int64),
        dates=table["date"].to_pylist(),
        likes=table["likes"].to_pylist(),
    )
    stopwords = predictor.card.segmentation.stopwords
    with speaking(language):
        verdict = join_sentences(_verdict(predictor, expected), _rejected(reviews))
        return write_study(run, study, load_stopwords(stopwords), verdict, source.name)


def _film(reviews: Reviews, movie: str | None, source: Path) -> tuple[str, NDArray[np.int64]]:
    """Return the film to study and which reviews are of it."""
    films = np.asarray(reviews.table["film"].to_pylist(), dtype=str)
    counts = Counter(films.tolist())
    known = {film: n for film, n in counts.items() if film}
    if movie is not None:
        [film] = find_films(known, [movie])
    elif known:
        film = max(sorted(known), key=lambda name: known[name])
    else:
        return source.stem, np.arange(len(films))
    return film, np.flatnonzero(films == film)


def _verdict(predictor: RatingPredictor, expected: NDArray[np.float64]) -> str:
    mean, low, high = predictor.film_means.interval(float(expected.mean()), len(expected))
    return _("From the texts alone the model reads {mean} stars on average (95%: {low} to {high}).").format(
        mean=f"{mean:.2f}", low=f"{low:.2f}", high=f"{high:.2f}"
    )


def _rejected(reviews: Reviews) -> str:
    if not reviews.rows_rejected and not reviews.rows_duplicate:
        return ""
    return _("Of {read} rows read, {rejected} could not be used and {duplicate} were duplicates.").format(
        read=f"{reviews.rows_read:,}", rejected=f"{reviews.rows_rejected:,}", duplicate=f"{reviews.rows_duplicate:,}"
    )
