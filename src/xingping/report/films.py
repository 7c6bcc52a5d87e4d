"""Which films a case study can be made of."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from xingping.errors import InputError

__all__ = ["find_films"]

SUGGESTIONS = 5


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
