"""Two films side by side."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from xingping import plots
from xingping.estimates import Estimate
from xingping.film_comparison import FilmComparison, compare_films
from xingping.film_study import FilmReviews, FilmStudy
from xingping.language import _
from xingping.names import aspect_name, sentence_case
from xingping.report import interactive
from xingping.report.content import count, share, with_interval
from xingping.report.figures import Chart, FigureFolder
from xingping.report.film_words import Step, ladder
from xingping.report.tabular import MISSING, Column, Group, Row, Table

__all__ = ["Versus", "make_versus"]

WORDS = 12


@dataclass(frozen=True)
class Versus:
    """What the template needs of a comparison; pairs are of the first film and the other."""

    films: tuple[str, str]
    finding: str
    stars: Chart
    aspects: Table
    words: Sequence[tuple[str, Sequence[Step]]]


def make_versus(
    first: FilmStudy,
    other: FilmStudy,
    reviews: tuple[FilmReviews, FilmReviews],
    slug: str,
    folder: FigureFolder,
    stopwords: Set[str],
) -> Versus:
    """Compare a film with another.

    Parameters
    ----------
    first, other
        The films.
    reviews
        Theirs.
    slug, folder
        Where the figure goes.
    stopwords
        Words that do not count.
    """
    compared = compare_films(first, other, reviews[0].words, reviews[1].words, stopwords)
    means = tuple(None if mean is None else mean.value for mean in compared.means)
    figure = plots.film_comparison(compared.films, compared.stars[0], compared.stars[1], (means[0], means[1]))
    live = interactive.stacked(dict(zip(compared.films, compared.stars, strict=True)))
    finding = _finding(compared)
    chart = folder.add(f"{slug}-versus", figure, _("Shares of the stars of two films."), "", live)
    words = [(film, ladder(words[:WORDS])) for film, words in zip(compared.films, compared.words, strict=True) if words]
    return Versus(compared.films, finding, chart, _aspects(compared), words)


def _finding(compared: FilmComparison) -> str:
    """Say which film is rated higher, and whether beyond chance."""
    difference, (first, other) = compared.difference, compared.films
    if difference is None:
        return _("One of the two has no reviews.")
    gap = with_interval(f"{abs(difference.value):.2f}", *(f"{end:.2f}" for end in _ends(difference)))
    higher, lower = (first, other) if difference.value >= 0 else (other, first)
    if difference.low <= 0 <= difference.high:
        message = _("{higher} is rated {gap} stars higher than {lower}, which may be chance.")
    else:
        message = _("{higher} is rated {gap} stars higher than {lower}, beyond chance.")
    return message.format(higher=higher, lower=lower, gap=gap)


def _ends(difference: Estimate) -> tuple[float, float]:
    """Return the ends of the difference as seen from the film that is rated higher."""
    if difference.value >= 0:
        return difference.low, difference.high
    return -difference.high, -difference.low


def _aspects(compared: FilmComparison) -> Table:
    rows = [
        Row(
            sentence_case(aspect_name(aspect.key)),
            [
                *(
                    MISSING if mean is None else f"{mean.value:.2f} ({share(part, 0)})"
                    for mean, part in zip(aspect.means, aspect.share, strict=True)
                ),
                MISSING if aspect.difference is None else _signed(aspect.difference),
            ],
        )
        for aspect in compared.aspects
    ]
    columns = [
        *(Column(film, count(n, "review")) for film, n in zip(compared.films, compared.n, strict=True)),
        Column(_("Difference"), _("Of the mean stars, with its 95% interval")),
    ]
    caption = _("Mean stars of the reviews that mention an aspect, and their share of all reviews")
    return Table(caption, _("Aspect"), columns, [Group("", rows)])


def _signed(difference: Estimate) -> str:
    written = (f"{value:+.2f}".replace("-", "−") for value in (difference.value, difference.low, difference.high))
    return with_interval(*written)
