"""Figures with their intervals: dots on lines."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from xingping.fonts import chinese_style
from xingping.language import _, ngettext
from xingping.plots.style import (
    ACCENT,
    FAINT,
    INK,
    MUTED,
    PAPER,
    RATINGS,
    STAR_COLOURS,
    WIDTH,
    bare,
    heading,
    legible,
    new_figure,
    nothing_to_show,
)

__all__ = ["aspect_ratings", "differences", "faithfulness", "model_intervals"]

Interval = Mapping[str, float]

LONGEST_ROW_NAME = 24


@chinese_style()
def model_intervals(
    intervals: Mapping[str, Interval], ours: Collection[str], title: str, label: str, *, share: bool = True
) -> Figure:
    """Draw one measure of several models with its intervals, as a forest plot.

    Parameters
    ----------
    intervals
        By model, from top to bottom: `{"value", "low", "high"}`.
    ours
        Those that are the run's own (coloured); the others are baselines (grey). A faint line goes through the first
        of them, so that one sees which intervals it is outside of.
    title
        Where it was measured.
    label
        Name of the measure, with its unit.
    share
        Whether it is a share, shown in per cent; else it is a number.
    """
    figure = new_figure(0.95 + 0.3 * max(len(intervals), 2))
    axes = figure.add_subplot()
    bare(axes, grid="x")
    heading(axes, title)
    axes.set_xlabel(label, loc="left")
    if not intervals:
        nothing_to_show(axes, _("no models"))
        return figure
    first = next((name for name in intervals if name in ours), None)
    if first is not None:
        axes.axvline(intervals[first]["value"], color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
    colours = [ACCENT if name in ours else MUTED for name in intervals]
    _rows(axes, list(intervals.items()), colours, "{:.1%}" if share else "{:.3f}")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if share:
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


@chinese_style()
def faithfulness(
    scores: Mapping[str, Mapping[str, Interval]], title: str, *, chance: str = "random", unit: str = ""
) -> Figure:
    """Draw how much ratings rest on the words that each method names, beside random words.

    Parameters
    ----------
    scores
        By method, from top to bottom: `comprehensiveness` and `sufficiency` (DeYoung et al. 2020, arXiv 1911.03429),
        each as `{"value", "low", "high"}`.
    title
        What was explained.
    chance
        The method whose words are random; a line in each chart marks its value.
    unit
        Of the scores, such as stars.
    """
    figure = new_figure(1.25 + 0.3 * max(len(scores), 2), width=1.5 * WIDTH)
    panels = figure.subplots(1, 2, sharey=True)
    figure.suptitle(title, x=0.005, ha="left", color=INK, fontsize=10)
    end = f" ({unit})" if unit else ""
    names = {"comprehensiveness": _("comprehensiveness"), "sufficiency": _("sufficiency")}
    meanings = {
        "comprehensiveness": _("lost without the words{unit}\nhigher is better").format(unit=end),
        "sufficiency": _("lost with the words alone{unit}\nlower is better").format(unit=end),
    }
    for axes, (measure, meaning) in zip(panels, meanings.items(), strict=True):
        bare(axes, grid="x")
        axes.set_title(names[measure], loc="left", color=INK, fontsize=9)
        axes.set_xlabel(meaning, loc="left", fontsize=8)
        if not scores:
            nothing_to_show(axes, _("no methods"))
            continue
        if chance in scores:
            axes.axvline(scores[chance][measure]["value"], color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
        colours = [MUTED if method == chance else ACCENT for method in scores]
        _rows(axes, [(method, of[measure]) for method, of in scores.items()], colours, "{:.2f}")
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


@chinese_style()
def differences(
    measures: Mapping[str, Mapping[str, Interval]], title: str, *, share: bool = True, width: float = WIDTH
) -> Figure:
    """Draw how far models are from another one, a panel a measure, with a line where there is no difference.

    Parameters
    ----------
    measures
        By measure, and then by model from top to bottom: `{"value", "low", "high"}`.
    title
        What the measures are.
    share
        Whether they are shares, shown in percentage points; else they are numbers.
    width
        Inches.
    """
    rows = max([len(of) for of in measures.values()] + [2])
    figure = new_figure(0.5 + len(measures) * (0.65 + 0.3 * rows), width=width)
    figure.suptitle(title, x=0.005, ha="left", color=INK, fontsize=10)
    panels = figure.subplots(max(len(measures), 1), 1, squeeze=False)[:, 0]
    if not measures:
        bare(panels[0])
        nothing_to_show(panels[0], _("no models"))
    for axes, (measure, of) in zip(panels, measures.items(), strict=False):
        bare(axes, grid="x")
        axes.set_title(measure, loc="left", color=MUTED, fontsize=9)
        axes.axvline(0, color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
        scale = 100 if share else 1
        shown = [(name, {end: scale * value for end, value in interval.items()}) for name, interval in of.items()]
        _rows(axes, shown, [ACCENT] * len(shown), "{:+.1f}" if share else "{:+.3f}")
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


@chinese_style()
def aspect_ratings(aspects: Mapping[str, Mapping[str, Any]], mean: float, title: str) -> Figure:
    """Draw the mean stars of the reviews that speak of each aspect, beside the mean of all.

    Parameters
    ----------
    aspects
        By aspect, from top to bottom: `n` reviews, and of their stars the mean `value` with `low` and `high`; these
        are None where no review speaks of it.
    mean
        Mean stars of all reviews of the film, 1..5; marked by a line.
    title
        Whose reviews they are.
    """
    figure = new_figure(1.05 + 0.34 * max(len(aspects), 2))
    axes = figure.add_subplot()
    bare(axes, grid="x")
    heading(axes, title)
    if not aspects:
        nothing_to_show(axes, _("no aspects"))
        return figure
    axes.axvline(mean, color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.text(
        mean, -0.62, _("all: {mean}").format(mean=f"{mean:.2f}"), ha="center", va="bottom", color=MUTED, fontsize=7.5
    )
    known = [(name, of if of["value"] is not None else None) for name, of in aspects.items()]
    colours = [STAR_COLOURS[0] if of and of["value"] < mean else STAR_COLOURS[4] for _, of in known]
    _rows(axes, known, colours, "{:.2f}")
    for row, of in enumerate(aspects.values()):
        note = ngettext("{n:,} review", "{n:,} reviews", of["n"]).format(n=of["n"])
        axes.annotate(
            note, (1, row), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", color=MUTED, fontsize=7.5,
        )  # fmt: skip
    axes.set_xlim(1, 5)
    axes.set_xticks(RATINGS, labels=[f"{rating} ★" for rating in RATINGS])
    return figure


def _rows(axes: Axes, rows: Sequence[tuple[str, Interval | None]], colours: Sequence[str], number: str) -> None:
    """Draw a dot on its interval for each row, with the name before it and the number above it."""
    for row, ((_name, interval), colour) in enumerate(zip(rows, colours, strict=True)):
        if interval is None:
            continue
        axes.plot([interval["low"], interval["high"]], [row, row], color=colour, linewidth=1.6, alpha=0.5)
        axes.plot([interval["value"]], [row], "o", color=colour, markersize=5.5)
        value = axes.annotate(
            number.format(interval["value"]), (interval["value"], row), xytext=(0, 4), textcoords="offset points",
            ha="center", va="bottom", color=colour, fontsize=7.5,
        )  # fmt: skip
        value.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 0.3})  # keeps the lines off it
    axes.set_yticks(range(len(rows)), labels=[legible(name, LONGEST_ROW_NAME) for name, _ in rows])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(rows) - 0.5, -0.75)
    axes.margins(x=0.08)
