"""Which films a case study can be made of, and the index of their pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil, floor
from typing import Any

from xingping.errors import InputError
from xingping.language import join_list
from xingping.report.content import share

__all__ = ["FilmIndex", "FilmRow", "Tested", "film_index", "find_films"]

SUGGESTIONS = 5


@dataclass(frozen=True)
class Tested:
    """What the test reviews of a film say of the model.

    Attributes
    ----------
    n
        How many there are.
    true, predicted, low, high
        Their mean stars by their authors, and by the model with its 95 % interval.
    exact, near
        Shares that are given their exact star, and one at most one star off.
    """

    n: int
    true: float
    predicted: float
    low: float
    high: float
    exact: float
    near: float

    @property
    def gap(self) -> float:
        """How far the predicted mean is off, in stars."""
        return abs(self.predicted - self.true)


@dataclass(frozen=True)
class FilmRow:
    """A film in the index.

    Attributes
    ----------
    page, film
        The address of its page, and its name.
    reviews, mean
        How many there are in all, and their mean stars.
    parts, shares
        The shares of its stars, 1 to 5, as numbers and in words.
    tested
        None where it has no test reviews.
    """

    page: str
    film: str
    reviews: int
    mean: float
    parts: Sequence[float]
    shares: str
    tested: Tested | None


@dataclass(frozen=True)
class FilmIndex:
    """The films, and the whole stars between which all their means and intervals lie."""

    rows: Sequence[FilmRow]
    low: int
    high: int

    def place(self, stars: float) -> str:
        """Return where a number of stars is on the scale, as per cent of its length."""
        return f"{100 * (stars - self.low) / (self.high - self.low):.2f}%"


def find_films(counts: Mapping[str, int], movies: Sequence[str]) -> list[str]:
    """Return the films asked for, each once, in the order asked.

    Parameters
    ----------
    counts
        Reviews by film.
    movies
        Films asked for; space around a name does not count.

    Raises
    ------
    InputError
        One is not among the films; the message lists similar names and the most reviewed films.
    """
    known = {film: count for film, count in counts.items() if film}
    wanted = list(dict.fromkeys(movie.strip() for movie in movies))
    for movie in wanted:
        if movie not in known:
            raise InputError(_unknown(movie, known))
    return wanted


def _unknown(movie: str, known: Mapping[str, int]) -> str:
    if not known:
        return f"no reviews of the film {movie!r}: the data names no films; name the column with --movie-column"
    parts = [f"no reviews of the film {movie!r}"]
    close = get_close_matches(movie, known, n=SUGGESTIONS, cutoff=0.4)
    if close:
        parts.append(f"did you mean {' or '.join(close)}?")
    most = sorted(known, key=lambda film: (-known[film], film))[:SUGGESTIONS]
    parts.append(f"most reviewed: {', '.join(most)}")
    return "; ".join(parts)


def film_index(
    entries: Sequence[tuple[str, str]], films: Mapping[str, Any], metrics: Mapping[str, Any], task: str
) -> FilmIndex:
    """Return the index of the films.

    Parameters
    ----------
    entries
        The page of each film, and its name.
    films
        `films` of `data_summary.json`.
    metrics
        `metrics.json`.
    task
        Whose model is told of.
    """
    rows = [_row(page, film, films[film], _tested(film, metrics, task)) for page, film in entries]
    ends = [end for row in rows if (of := row.tested) is not None for end in (of.true, of.predicted, of.low, of.high)]
    low = min(4, max(1, floor(min(ends, default=1))))
    return FilmIndex(rows, low, max(low + 1, min(5, ceil(max(ends, default=5)))))


def _row(page: str, film: str, known: Mapping[str, Any], tested: Tested | None) -> FilmRow:
    total = max(sum(known["stars"].values()), 1)
    parts = [known["stars"][str(star)] / total for star in range(1, 6)]
    shares = join_list([f"{star} ★ {share(part, 0)}" for star, part in enumerate(parts, start=1)])
    return FilmRow(page, film, known["reviews"], known["mean_rating"], parts, shares, tested)


def _tested(film: str, metrics: Mapping[str, Any], task: str) -> Tested | None:
    means = metrics["film_means"][task]["films"]
    if film not in means:
        return None
    mean, measured = means[film], metrics["films"][film]["test"][task]
    return Tested(
        n=mean["n"], true=mean["true"], predicted=mean["predicted"], low=mean["low"], high=mean["high"],
        exact=measured["accuracy"], near=measured["accuracy_within_one"],
    )  # fmt: skip
