"""Which films a case study can be made of, and the index of their pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from xingping.errors import InputError
from xingping.language import _, join_list
from xingping.report.content import share

__all__ = ["FilmRow", "film_index", "find_films"]

SUGGESTIONS = 5

Mean = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class FilmRow:
    """A film in the index: its page, its figures in words, and the shares of its stars, 1 to 5."""

    page: str
    film: str
    figures: str
    parts: Sequence[float]
    shares: str


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
    entries: Sequence[tuple[str, str]], films: Mapping[str, Mapping[str, Any]], means: Mean
) -> list[FilmRow]:
    """Return a row for each film of the index.

    Parameters
    ----------
    entries
        The page of each film, and its name.
    films
        `films` of `data_summary.json`.
    means
        Its mean ratings on the test split, true and predicted, where it has any.
    """
    rows = []
    for page, film in entries:
        stars = films[film]["stars"]
        total = max(sum(stars.values()), 1)
        parts = [stars[str(star)] / total for star in range(1, 6)]
        known = means.get(film)
        figures = _("{mean} stars, {n} reviews").format(
            mean=f"{films[film]['mean_rating']:.2f}", n=f"{films[film]['reviews']:,}"
        )
        if known is not None:
            figures = join_list(
                [figures, _("{predicted} read from test texts").format(predicted=f"{known['predicted']:.2f}")]
            )
        shares = join_list([f"{star} ★ {share(part, 0)}" for star, part in enumerate(parts, start=1)])
        rows.append(FilmRow(page, film, figures, parts, shares))
    return rows
