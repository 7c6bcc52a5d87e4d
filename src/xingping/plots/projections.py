"""Reviews as points in the plane."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from xingping.fonts import chinese_style
from xingping.plots.style import FAINT, INK, RATINGS, RULE, STAR_COLOURS, heading, new_figure

__all__ = ["tsne"]

FEW_POINTS = 400


@chinese_style()
def tsne(x: ArrayLike, y: ArrayLike, ratings: ArrayLike, title: str, *, among: ArrayLike | None = None) -> Figure:
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
    """
    x, y, ratings = np.asarray(x), np.asarray(y), np.asarray(ratings)
    coloured = np.ones(len(x), dtype=bool) if among is None else np.asarray(among, dtype=bool)
    figure = new_figure(4.5)
    axes = figure.add_subplot()
    heading(axes, title)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    axes.set_facecolor("none")
    axes.set_xticks([])
    axes.set_yticks([])
    size = 22.0 if coloured.sum() < FEW_POINTS else max(2.5, 9 - len(x) / 1000)
    axes.scatter(x[~coloured], y[~coloured], s=2.5, c=FAINT, alpha=0.4, linewidths=0, rasterized=True)
    # In one call and in the given order, so that no star is drawn over all the others.
    colours = np.array(STAR_COLOURS)[ratings[coloured].astype(int) - 1]
    axes.scatter(x[coloured], y[coloured], s=size, c=colours, linewidths=0, alpha=0.75, rasterized=True)
    axes.set_aspect("equal", adjustable="datalim")
    for rating in RATINGS:
        place = 0.02 + 0.17 * (rating - 1)
        axes.plot(
            [place],
            [-0.045],
            "o",
            color=STAR_COLOURS[rating - 1],
            markersize=6,
            clip_on=False,
            transform=axes.transAxes,
        )
        axes.text(place + 0.025, -0.045, f"{rating} ★", transform=axes.transAxes, va="center", color=INK, fontsize=8)
    axes.set_xlabel(" ", fontsize=8)  # room for the key
    return figure
