"""Reviews as points in the plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from xingping.fonts import chinese_style
from xingping.plots.style import (
    FAINT,
    FILM_COLOURS,
    INK,
    PAPER,
    RATINGS,
    RULE,
    STAR_COLOURS,
    heading,
    legible,
    new_figure,
)

__all__ = ["tsne", "tsne_by_film"]

FEW_POINTS = 400


@chinese_style()
def tsne(
    x: ArrayLike,
    y: ArrayLike,
    ratings: ArrayLike,
    title: str,
    *,
    among: ArrayLike | None = None,
    placed: ArrayLike | None = None,
) -> Figure:
    """Draw reviews placed by t-SNE, coloured by their true star.

    Parameters
    ----------
    x, y
        (n,) coordinates; without unit, so the axes carry no numbers.
    ratings
        (n,) true stars, 1..5.
    title
        Whose vectors they are.
    among
        (n,) booleans. Where given, only these points are coloured; the others are drawn faintly behind them.
    placed
        (m, 2) coordinates of new reviews, drawn as diamonds and numbered from 1.
    """
    x, y, ratings = np.asarray(x), np.asarray(y), np.asarray(ratings)
    coloured = np.ones(len(x), dtype=bool) if among is None else np.asarray(among, dtype=bool)
    figure = new_figure(4.5)
    axes = _frame(figure, title)
    _faint(axes, x[~coloured], y[~coloured])
    # In one call and in the given order, so that no star is drawn over all the others.
    colours = np.array(STAR_COLOURS)[ratings[coloured].astype(int) - 1]
    _points(axes, x[coloured], y[coloured], colours, len(x))
    if placed is not None:
        _place(axes, np.asarray(placed, dtype=np.float64).reshape(-1, 2))
    for rating in RATINGS:
        _key(axes, 0.02 + 0.17 * (rating - 1), -0.045, STAR_COLOURS[rating - 1], f"{rating} ★")
    axes.set_xlabel(" ", fontsize=8)  # room for the key
    return figure


@chinese_style()
def tsne_by_film(x: ArrayLike, y: ArrayLike, film: Sequence[str], shown: Sequence[str], title: str) -> Figure:
    """Draw reviews placed by t-SNE, coloured by their film.

    Parameters
    ----------
    x, y
        (n,) coordinates.
    film
        (n,) names.
    shown
        Films that have a colour, at most as many as `FILM_COLOURS`; the others are drawn faintly behind them.
    title
        Whose vectors they are.

    Raises
    ------
    ValueError
        More films than colours.
    """
    if len(shown) > len(FILM_COLOURS):
        raise ValueError(f"{len(shown)} films to colour, and {len(FILM_COLOURS)} colours")
    x, y = np.asarray(x), np.asarray(y)
    colour_of = dict(zip(shown, FILM_COLOURS, strict=False))
    coloured = np.array([name in colour_of for name in film], dtype=bool)
    figure = new_figure(4.5 + 0.16 * -(-len(shown) // 2))
    axes = _frame(figure, title)
    _faint(axes, x[~coloured], y[~coloured])
    _points(axes, x[coloured], y[coloured], [colour_of[name] for name in film if name in colour_of], len(x))
    for index, (name, colour) in enumerate(colour_of.items()):
        _key(axes, 0.02 + 0.5 * (index % 2), -0.045 - 0.05 * (index // 2), colour, legible(name))
    axes.set_xlabel("\n" * (max(len(shown) - 1, 0) // 2) + " ", fontsize=8)  # room for the key
    return figure


def _frame(figure: Figure, title: str) -> Axes:
    axes = figure.add_subplot()
    heading(axes, title)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    axes.set_facecolor("none")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    return axes


def _faint(axes: Axes, x: ArrayLike, y: ArrayLike) -> None:
    axes.scatter(x, y, s=2.5, c=FAINT, alpha=0.4, linewidths=0, rasterized=True)


def _points(axes: Axes, x: ArrayLike, y: ArrayLike, colours: Sequence[str] | ArrayLike, n: int) -> None:
    """Draw points in their colours; the more there are in all, the smaller."""
    size = 22.0 if np.size(x) < FEW_POINTS else max(2.0, 9 - n / 1000)
    axes.scatter(x, y, s=size, c=colours, linewidths=0, alpha=0.75, rasterized=True)


def _place(axes: Axes, points: ArrayLike) -> None:
    """Mark new reviews with numbered diamonds."""
    for number, (x, y) in enumerate(np.asarray(points), start=1):
        axes.plot([x], [y], "D", color=INK, markersize=6, markeredgecolor=PAPER, markeredgewidth=1)
        label = axes.annotate(str(number), (x, y), xytext=(6, 3), textcoords="offset points", color=INK, fontsize=8)
        label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8})


def _key(axes: Axes, x: float, y: float, colour: str, name: str) -> None:
    """Draw an entry of the key below the axes, at parts of their width and height."""
    axes.plot([x], [y], "o", color=colour, markersize=6, clip_on=False, transform=axes.transAxes)
    axes.text(x + 0.025, y, name, transform=axes.transAxes, va="center", color=INK, fontsize=8)
