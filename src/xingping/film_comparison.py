"""Two films side by side."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

from xingping.aspects import AspectReport
from xingping.contrast import DistinctiveWord, distinctive_words_of
from xingping.estimates import Estimate, difference_estimate
from xingping.film_study import FilmStudy
from xingping.vocabulary import is_telling

__all__ = ["AspectComparison", "FilmComparison", "compare_films"]

WORDS = 25


@dataclass(frozen=True)
class AspectComparison:
    """The mean stars of those who mention an aspect, of either film, and the difference.

    Attributes
    ----------
    key, name
        Such as `story`, 剧情.
    n, share
        Reviews of either film that mention it, and their share.
    means
        Of either film; None where nobody mentions it.
    difference
        Of the first film less the second; None as well.
    """

    key: str
    name: str
    n: tuple[int, int]
    share: tuple[float, float]
    means: tuple[Estimate | None, Estimate | None]
    difference: Estimate | None


@dataclass(frozen=True)
class FilmComparison:
    """Two films side by side; pairs are of the first film and the second.

    Attributes
    ----------
    films
        Names.
    sources
        Who gave the stars, `authors` or `model`. Where they differ, the difference is also one between
        authors and model.
    n
        Reviews.
    means
        Mean stars; None of a film without reviews.
    difference
        Of the first less the second; None as well. The interval takes the reviews for independent.
    stars
        How many reviews have 1, 2, 3, 4 and 5 stars.
    aspects
        In their usual order.
    words
        That set either film apart from the other, without those of the films' names.
    """

    films: tuple[str, str]
    sources: tuple[str, str]
    n: tuple[int, int]
    means: tuple[Estimate | None, Estimate | None]
    difference: Estimate | None
    stars: tuple[tuple[int, ...], tuple[int, ...]]
    aspects: tuple[AspectComparison, ...]
    words: tuple[tuple[DistinctiveWord, ...], tuple[DistinctiveWord, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON takes it."""
        return asdict(self)


def compare_films(
    first: FilmStudy,
    second: FilmStudy,
    first_words: Sequence[Sequence[str]],
    second_words: Sequence[Sequence[str]],
    stopwords: Set[str],
) -> FilmComparison:
    """Put two films side by side.

    Parameters
    ----------
    first, second
        The films.
    first_words, second_words
        The words of each review of either.
    stopwords
        Words that never count.
    """
    names = first.film, second.film
    counts, others = (_reviews_with(words, stopwords, names) for words in (first_words, second_words))
    pairs = zip(first.aspects, second.aspects, strict=True)
    return FilmComparison(
        films=names,
        sources=(first.source, second.source),
        n=(first.n, second.n),
        means=(first.mean, second.mean),
        difference=_difference(first, second),
        stars=(first.stars, second.stars),
        aspects=tuple(
            AspectComparison(
                one.key, one.name, (one.n, other.n), (one.share, other.share), (one.mean, other.mean),
                _difference(one, other),
            )
            for one, other in pairs
        ),
        words=(
            tuple(distinctive_words_of(counts, others, top=WORDS)),
            tuple(distinctive_words_of(others, counts, top=WORDS)),
        ),
    )  # fmt: skip


def _difference(one: FilmStudy | AspectReport, other: FilmStudy | AspectReport) -> Estimate | None:
    if one.mean is None or other.mean is None or one.deviation is None or other.deviation is None:
        return None
    return difference_estimate(
        one.mean.value - other.mean.value, one.deviation**2 / one.n, other.deviation**2 / other.n
    )


def _reviews_with(words: Sequence[Sequence[str]], stopwords: Set[str], films: tuple[str, str]) -> Mapping[str, int]:
    """Count the reviews that use each telling word."""
    counts: dict[str, int] = {}
    for document in words:
        for word in set(document):
            counts[word] = counts.get(word, 0) + 1
    return {
        word: count
        for word, count in counts.items()
        if is_telling(word, stopwords) and not any(word in film for film in films)
    }
