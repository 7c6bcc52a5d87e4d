"""How often each star is given."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from xingping.fonts import chinese_style
from xingping.language import _, join_list, ngettext
from xingping.names import split_name
from xingping.plots.style import (
    INK,
    MUTED,
    ON_DARK,
    ON_LIGHT,
    PAPER,
    RATINGS,
    STAR_COLOURS,
    bare,
    heading,
    legible,
    new_figure,
    percent,
    star_axis,
)

__all__ = ["film_comparison", "rating_distribution", "stars_by_split"]

NARROWEST_LABELLED = 0.055
"""Share of a bar below which a number does not fit inside."""


@chinese_style()
def rating_distribution(true_counts: Sequence[int], predicted_counts: Sequence[int], title: str) -> Figure:
    """Draw how often each star is true (outlined) and predicted (filled).

    Parameters
    ----------
    true_counts, predicted_counts
        (5,) counts of the stars 1..5.
    title
        What made the predictions.
    """
    figure = new_figure(2.9)
    axes = figure.add_subplot()
    bare(axes)
    heading(axes, title)
    places, width = np.arange(len(RATINGS)), 0.4
    total = max(sum(true_counts), 1)
    true_shares, predicted_shares = np.asarray(true_counts) / total, np.asarray(predicted_counts) / total
    axes.bar(places - width / 2, true_shares, width, facecolor="none", edgecolor=MUTED, linewidth=0.9)
    axes.bar(places + width / 2, predicted_shares, width, color=STAR_COLOURS)
    top = max(true_shares.max(), predicted_shares.max(), 0.01)
    for place, true, predicted in zip(places, true_shares, predicted_shares, strict=True):
        axes.text(place - width / 2, true + top * 0.02, percent(true), ha="center", color=MUTED, fontsize=7.5)
        axes.text(
            place + width / 2,
            predicted + top * 0.02,
            percent(predicted),
            ha="center",
            color=INK,
            fontsize=7.5,
        )
    star_axis(axes, "x")
    axes.set_yticks([])
    axes.set_ylim(0, top * 1.22)
    axes.set_ylabel(_("share of the reviews"))
    axes.text(
        0.0,
        1.0,
        _("outlined: true     filled: predicted"),
        transform=axes.transAxes,
        va="top",
        color=MUTED,
        fontsize=8,
    )
    return figure


@chinese_style()
def stars_by_split(counts: Mapping[str, Sequence[int]]) -> Figure:
    """Draw the shares of the stars in each split as one bar of five parts.

    Parameters
    ----------
    counts
        By split, (5,) counts of the stars 1..5.
    """
    figure = new_figure(0.7 + 0.48 * len(counts))
    axes = figure.add_subplot()
    bare(axes)
    for row, (split, stars) in enumerate(counts.items()):
        start, total = 0.0, max(sum(stars), 1)
        for rating, count in zip(RATINGS, stars, strict=True):
            share = count / total
            axes.barh(row, share, 0.62, left=start, color=STAR_COLOURS[rating - 1], edgecolor=PAPER, linewidth=0.8)
            if share >= NARROWEST_LABELLED:
                axes.text(
                    start + share / 2,
                    row,
                    percent(share),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=ON_LIGHT if rating in (2, 3, 4) else ON_DARK,
                )
            if row == 0:
                axes.text(start + share / 2, -0.42, f"{rating} ★", ha="center", va="bottom", color=MUTED, fontsize=8)
            start += share
        axes.text(-0.02, row, split_name(split), ha="right", va="center", color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(counts) - 0.6, -0.8)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


@chinese_style()
def film_comparison(
    names: tuple[str, str], first: Sequence[int], second: Sequence[int], means: tuple[float | None, float | None]
) -> Figure:
    """Draw the shares of the stars of two films back to back.

    Parameters
    ----------
    names
        Of the films, the left one first.
    first, second
        (5,) counts of the stars 1..5.
    means
        Mean stars, 1..5; None where a film has no reviews.
    """
    figure = new_figure(2.9)
    panels = figure.subplots(1, 2, sharey=True)
    shares = [np.asarray(counts) / max(sum(counts), 1) for counts in (first, second)]
    reach = max(*(share.max() for share in shares), 0.01) * 1.3
    for axes, name, counts, share, mean in zip(panels, names, (first, second), shares, means, strict=True):
        bare(axes)
        left = axes is panels[0]
        side = "right" if left else "left"
        axes.set_title(legible(name), loc=side, color=INK, fontsize=10)
        n = sum(counts)
        reviews = ngettext("{n:,} review", "{n:,} reviews", n).format(n=n)
        note = join_list([reviews] if mean is None else [reviews, _("mean {mean}").format(mean=f"{mean:.2f}")])
        axes.set_xlabel(note, loc=side)
        axes.barh(range(len(RATINGS)), share, 0.7, color=STAR_COLOURS)
        for row, value in enumerate(share):
            axes.annotate(
                percent(value), (value, row), xytext=(-3 if left else 3, 0), textcoords="offset points",
                ha=side, va="center", color=INK, fontsize=8,
            )  # fmt: skip
        axes.set_xlim((reach, 0) if left else (0, reach))
        axes.set_xticks([])
        axes.set_ylim(-0.6, 4.6)
    star_axis(panels[0], "y")
    panels[0].tick_params(axis="y", labelleft=False)
    panels[1].tick_params(axis="y", labelleft=True, labelcolor=INK)
    return figure
