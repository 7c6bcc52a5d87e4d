"""Ratings and how many there are, over time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from xingping.fonts import chinese_style
from xingping.language import _
from xingping.plots.style import ACCENT, FAINT, RATINGS, RULE, bare, heading, new_figure, nothing_to_show

__all__ = ["ratings_over_time"]

MOST_LABELS = 5
"""Periods that are named below the axis."""


@chinese_style()
def ratings_over_time(
    periods: Sequence[str],
    counts: ArrayLike,
    means: ArrayLike,
    title: str,
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> Figure:
    """Draw the mean stars of each period above, and the number of reviews below.

    Parameters
    ----------
    periods
        (n,) names, such as months, in order and without gaps.
    counts
        (n,) reviews.
    means
        (n,) mean stars, 1..5; NaN where there is no review, which interrupts the line.
    title
        Whose reviews they are.
    low, high
        (n,) ends of the means' intervals, NaN where unknown; drawn as a band.
    """
    counts, means = np.asarray(counts), np.asarray(means, dtype=np.float64)
    figure = new_figure(3.9)
    stars, volume = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    heading(stars, title)
    bare(stars, grid="y")
    bare(volume)
    if not len(periods):
        nothing_to_show(stars, _("no dated reviews"))
        nothing_to_show(volume, "")
        return figure
    x = np.arange(len(periods))
    if low is not None and high is not None:
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        stars.fill_between(x, low, high, color=ACCENT, alpha=0.15, linewidth=0)
        stars.vlines(x, low, high, color=ACCENT, alpha=0.25, linewidth=1)  # a band needs two neighbours
    stars.plot(x, means, color=ACCENT, linewidth=1.6, marker="o", markersize=3.5 if len(x) < 40 else 0)
    lonely = np.isnan(np.concatenate([[np.nan], means[:-1]])) & np.isnan(np.concatenate([means[1:], [np.nan]]))
    stars.plot(x[lonely], means[lonely], "o", color=ACCENT, markersize=3.5)
    stars.set_ylim(0.9, 5.1)
    stars.set_yticks(RATINGS, labels=[f"{rating} ★" for rating in RATINGS])
    volume.bar(x, counts, 0.8, color=FAINT)
    volume.axhline(0, color=RULE, linewidth=0.7)
    volume.set_ylabel(_("number of reviews"))
    volume.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    volume.yaxis.set_major_formatter("{x:,.0f}")
    named = np.unique(np.linspace(0, len(x) - 1, min(MOST_LABELS, len(x))).round().astype(int))
    volume.set_xticks(named, labels=[periods[index] for index in named])
    volume.set_xlim(-0.7, len(x) - 0.3)
    return figure
