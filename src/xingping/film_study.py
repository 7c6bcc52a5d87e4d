"""The case study of one film as data: its stars, words, aspects and reviews, from its authors or from a model."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xingping.aspects import AspectReport, report_aspects
from xingping.contrast import DistinctiveWord, distinctive_words
from xingping.estimates import Estimate, mean_estimate, star_deviation
from xingping.metrics import round_rating
from xingping.periods import Timeline, ratings_over_time
from xingping.ratings import RATINGS
from xingping.segmentation import Segmenter
from xingping.typical import typical_reviews
from xingping.vocabulary import WordTable

__all__ = ["CloudWord", "FilmReviews", "FilmStudy", "ShownReview", "study_film"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TFIDF_WORDS = 30
FREQUENT_WORDS = 15
DISTINCTIVE_WORDS = 20
CLOUD_WORDS = 150
TYPICAL_REVIEWS = 3
LISTED_REVIEWS = 8

SIDES: dict[str, Any] = {"top": 80, "least_z": 0.5, "least_count": 2}
"""Clouds of praise and blame also hold words that might be there by chance; the z-score says how large to show them."""

SHOWN_CHARACTERS = 600
"""Of a longer review the beginning is shown."""


@dataclass(frozen=True)
class FilmReviews:
    """All reviews of one film, n of them.

    Attributes
    ----------
    film
        Its name.
    texts, words
        Cleaned texts, and the words of each.
    ratings
        (n,) stars of the authors, 1..5; None where nobody gave any. Then all is told by `expected`.
    expected
        (n,) ratings that a model expects, 1..5, NaN where it was not asked; None without a model.
    honest
        (n,) whether the model had not learned from the review; None: nowhere it had.
    rows
        (n,) numbers of the rows in the data; None counts from 0.
    dates
        Such as 2016-03-04, or None.
    likes
        Numbers, or None.

    Raises
    ------
    ValueError
        Lengths differ; neither stars nor expected ratings are given; or there are no stars and a rating is NaN.
    """

    film: str
    texts: Sequence[str]
    words: Sequence[Sequence[str]]
    ratings: Ints | None = None
    expected: Floats | None = None
    honest: Bools | None = None
    rows: Ints | None = None
    dates: Sequence[str | None] | None = None
    likes: Sequence[int | None] | None = None

    def __post_init__(self) -> None:
        for name in ("words", "ratings", "expected", "honest", "rows", "dates", "likes"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.texts):
                raise ValueError(f"{name} has {len(column)} entries, texts has {len(self.texts)}")
        if self.ratings is None and (self.expected is None or np.isnan(self.expected).any()):
            raise ValueError("without stars, every review needs an expected rating")

    @property
    def source(self) -> Literal["authors", "model"]:
        """Who gave the stars that all is told by."""
        return "model" if self.ratings is None else "authors"

    @property
    def stars(self) -> Ints:
        """Whole stars, (n,): the authors', or the expected ratings rounded."""
        return round_rating(self._model()) if self.ratings is None else self.ratings

    @property
    def values(self) -> Floats:
        """Stars to take means of, (n,): the authors', or the expected ratings as they are."""
        return self._model() if self.ratings is None else self.ratings.astype(np.float64)

    def _model(self) -> Floats:
        return np.empty(0) if self.expected is None else self.expected


@dataclass(frozen=True, slots=True)
class CloudWord:
    """A word, how often it occurs, and the mean stars of the reviews that use it."""

    word: str
    count: int
    mean: float


@dataclass(frozen=True, slots=True)
class ShownReview:
    """A review to show.

    Attributes
    ----------
    row
        Of the data.
    text
        At most 600 characters of it.
    cut
        Whether there are more.
    rating, expected
        The author's stars, and the model's rating; None where unknown.
    honest
        Whether the model had not learned from it; False without a rating of the model.
    likes, date
        None where unknown.
    """

    row: int
    text: str
    cut: bool
    rating: int | None
    expected: float | None
    honest: bool
    likes: int | None
    date: str | None


@dataclass(frozen=True)
class FilmStudy:
    """What a case study says of one film. Every list is short, however many reviews there are.

    Attributes
    ----------
    film
        Its name: not to be trusted, as all texts here.
    source
        `authors`, or `model` where there are no stars and predicted ones stand in their place, everywhere.
    n
        Reviews.
    mean, deviation
        Of the stars; `mean` is None of no reviews. Where a model gave them, the interval does not know its error.
    stars
        How many reviews have 1, 2, 3, 4 and 5 stars.
    timeline
        Ratings over time.
    tfidf
        Words and weights, heaviest first (`vocabulary.tfidf_top`).
    frequent
        By star, the most frequent words and how often they occur.
    distinctive
        By star, the words that set it apart from the other four.
    cloud
        The most frequent words.
    praise, blame
        Words that the reviews of 4 and 5 stars use more than those of 1 and 2, and the other way round, without
        those of the film's name; where the z-score is below 1.96, it may well be chance.
    aspects
        Story, acting, picture, music and pace.
    typical
        By star, reviews that stand for many.
    disagreements
        Reviews whose star is farthest from the honest expectation of the model; empty without a model or stars.
    most_liked
        Reviews with most likes; empty where likes are unknown.
    """

    film: str
    source: Literal["authors", "model"]
    n: int
    mean: Estimate | None
    deviation: float | None
    stars: tuple[int, ...]
    timeline: Timeline
    tfidf: tuple[tuple[str, float], ...]
    frequent: Mapping[int, tuple[tuple[str, int], ...]]
    distinctive: Mapping[int, tuple[DistinctiveWord, ...]]
    cloud: tuple[CloudWord, ...]
    praise: tuple[DistinctiveWord, ...]
    blame: tuple[DistinctiveWord, ...]
    aspects: tuple[AspectReport, ...]
    typical: Mapping[int, tuple[ShownReview, ...]]
    disagreements: tuple[ShownReview, ...] = field(default=())
    most_liked: tuple[ShownReview, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the study as JSON takes it; keys by star become text there."""
        return asdict(self)


def study_film(reviews: FilmReviews, stopwords: Set[str], *, segmenter: Segmenter | None = None) -> FilmStudy:
    """Study one film.

    Parameters
    ----------
    reviews
        Of the film.
    stopwords
        Words that never count.
    segmenter
        Cuts the clauses that speak of an aspect; by default one without a user's words.
    """
    stars, values, n = reviews.stars, reviews.values, len(reviews.texts)
    table = WordTable.of(reviews.words, stopwords)
    by_star = {rating: stars == rating for rating in RATINGS}
    deviation = star_deviation(values) if n else None
    return FilmStudy(
        film=reviews.film,
        source=reviews.source,
        n=n,
        mean=None if deviation is None else mean_estimate(float(values.mean()), deviation, n),
        deviation=deviation,
        stars=tuple(int(where.sum()) for where in by_star.values()),
        timeline=ratings_over_time(reviews.dates or [None] * n, values),
        tfidf=tuple(table.tfidf_top(TFIDF_WORDS)),
        frequent={rating: tuple(table.occurrences(where, FREQUENT_WORDS)) for rating, where in by_star.items()},
        distinctive={rating: _apart(table, where, ~where, top=DISTINCTIVE_WORDS) for rating, where in by_star.items()},
        cloud=_cloud(table, values),
        praise=_side(table, stars >= 4, stars <= 2, reviews.film),
        blame=_side(table, stars <= 2, stars >= 4, reviews.film),
        aspects=tuple(report_aspects(reviews.texts, values, stars, rows=reviews.rows, segmenter=segmenter)),
        typical={
            rating: _shown(reviews, typical_reviews(table.tfidf, reviews.texts, where, TYPICAL_REVIEWS))
            for rating, where in by_star.items()
        },
        disagreements=_shown(reviews, _disagreements(reviews)),
        most_liked=_shown(reviews, _most_liked(reviews)),
    )


def _apart(table: WordTable, first: Bools, second: Bools, **options: Any) -> tuple[DistinctiveWord, ...]:  # noqa: ANN401
    counts = table.reviews_with(first), table.reviews_with(second)
    return tuple(distinctive_words(table.words, *counts, **options))


def _side(table: WordTable, first: Bools, second: Bools, film: str) -> tuple[DistinctiveWord, ...]:
    return tuple(word for word in _apart(table, first, second, **SIDES) if word.word not in film)


def _cloud(table: WordTable, values: Floats) -> tuple[CloudWord, ...]:
    means = dict(zip(table.words, table.means(values).tolist(), strict=True))
    everything = np.ones(len(values), dtype=np.bool_)
    return tuple(CloudWord(word, count, means[word]) for word, count in table.occurrences(everything, CLOUD_WORDS))


def _disagreements(reviews: FilmReviews) -> list[int]:
    if reviews.ratings is None or reviews.expected is None:
        return []
    gap = np.abs(reviews.expected - reviews.ratings)
    honest = ~np.isnan(gap) if reviews.honest is None else reviews.honest & ~np.isnan(gap)
    rows = np.flatnonzero(honest)
    return _first_texts(reviews.texts, rows[np.argsort(-gap[rows], kind="stable")])


def _most_liked(reviews: FilmReviews) -> list[int]:
    likes = np.array([number or 0 for number in reviews.likes or ()], dtype=np.int64)
    rows = np.flatnonzero(likes > 0)
    return _first_texts(reviews.texts, rows[np.argsort(-likes[rows], kind="stable")])


def _first_texts(texts: Sequence[str], rows: NDArray[np.intp]) -> list[int]:
    """Return the first rows, no text twice."""
    chosen: dict[str, int] = {}
    for row in rows.tolist():
        chosen.setdefault(texts[row], row)
        if len(chosen) == LISTED_REVIEWS:
            break
    return list(chosen.values())


def _shown(reviews: FilmReviews, places: Iterable[int]) -> tuple[ShownReview, ...]:
    return tuple(_show(reviews, at) for at in places)


def _show(reviews: FilmReviews, at: int) -> ShownReview:
    text = reviews.texts[at]
    expected = None if reviews.expected is None or np.isnan(reviews.expected[at]) else float(reviews.expected[at])
    return ShownReview(
        row=at if reviews.rows is None else int(reviews.rows[at]),
        text=text[:SHOWN_CHARACTERS],
        cut=len(text) > SHOWN_CHARACTERS,
        rating=None if reviews.ratings is None else int(reviews.ratings[at]),
        expected=expected,
        honest=expected is not None and (reviews.honest is None or bool(reviews.honest[at])),
        likes=reviews.likes[at] if reviews.likes else None,
        date=reviews.dates[at] if reviews.dates else None,
    )
