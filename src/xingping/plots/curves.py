"""The course of a training, and what more labels bring."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from xingping.fonts import chinese_style
from xingping.language import N_, _
from xingping.names import split_name
from xingping.plots.style import ACCENT, INK, MUTED, RULE, bare, heading, new_figure

__all__ = ["learning_curves", "training_curves"]

LEARNERS = {
    "model": (N_("head and n-grams"), ACCENT, "-"),
    "head": (N_("head alone"), ACCENT, (0, (4, 2))),
    "char_ngram": (N_("character n-grams"), MUTED, "-"),
    "word_ngram": (N_("word n-grams"), MUTED, (0, (4, 2))),
}
"""Names (messages, not yet looked up), colours and dashes."""

TICKS_APART = 0.28
"""Powers of ten between two sizes below which the labels of an axis would touch."""

NAMES_APART = 0.075
"""Part of an axis' height that a name takes."""


@chinese_style()
def training_curves(epochs: Sequence[Mapping[str, Any]], best_epoch: int, title: str) -> Figure:
    """Draw losses above and shares of right ratings below, by epoch.

    Parameters
    ----------
    epochs
        Records with `epoch, train_loss, valid_loss, valid_accuracy, valid_accuracy_within_one`.
    best_epoch
        The epoch that was kept; marked by a line.
    title
        What was trained.
    """
    figure = new_figure(4.2)
    losses, shares = figure.subplots(2, 1, sharex=True)
    heading(losses, title)
    x = [record["epoch"] for record in epochs]
    _lines(losses, x, epochs, {"train_loss": (split_name("train"), MUTED), "valid_loss": (split_name("valid"), ACCENT)})
    losses.set_ylabel(_("loss"))
    _lines(
        shares,
        x,
        epochs,
        {"valid_accuracy": (_("exact"), ACCENT), "valid_accuracy_within_one": (_("within one"), MUTED)},
    )
    shares.set_ylabel(_("valid split"))
    shares.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    shares.set_xlabel(_("epoch"), loc="left")
    shares.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (losses, shares):
        axes.axvline(best_epoch, color=RULE, linewidth=1.2, zorder=0)
    losses.annotate(
        _("best: epoch {epoch}").format(epoch=best_epoch),
        (best_epoch, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=MUTED,
        fontsize=7.5,
    )
    return figure


def _lines(
    axes: Axes, x: Sequence[int], epochs: Sequence[Mapping[str, Any]], series: Mapping[str, tuple[str, str]]
) -> None:
    """Draw named lines with their names at the right end, kept apart where the ends meet."""
    bare(axes, grid="y")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    ends = []
    for key, (_name, colour) in series.items():
        y = [record[key] for record in epochs]
        axes.plot(x, y, color=colour, linewidth=1.6, marker="o", markersize=3.5, clip_on=False)
        ends.append(y[-1])
    higher = ends.index(max(ends))
    for place, (end, (label, colour)) in enumerate(zip(ends, series.values(), strict=True)):
        lift = 5 if place == higher else -5
        axes.annotate(
            label,
            (x[-1], end),
            xytext=(7, lift),
            textcoords="offset points",
            va="center",
            color=INK if colour == MUTED else colour,
            fontsize=8,
        )
    axes.margins(x=0.02, y=0.12)
    axes.set_xlim(right=x[-1] + max(0.12 * (x[-1] - x[0]), 0.2))


@chinese_style()
def learning_curves(points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw the shares of right ratings by the number of labels: means as lines, and a deviation to both sides.

    Parameters
    ----------
    points
        Records with `labels` and `measures`, `{name: {measure: {"mean", "sd"}}}`, labels ascending; at least one.
    title
        What was measured.
    """
    figure = new_figure(5.6)
    panels = figure.subplots(2, 1, sharex=True)
    heading(panels[0], title)
    x = [point["labels"] for point in points]
    labels = {"accuracy": _("exact"), "accuracy_within_one": _("within one")}
    for axes, (measure, label) in zip(panels, labels.items(), strict=True):
        bare(axes, grid="y")
        axes.set_xscale("log")
        for name in points[0]["measures"]:
            colour, dashes = LEARNERS[name][1:]
            mean = np.array([point["measures"][name][measure]["mean"] for point in points])
            sd = np.array([point["measures"][name][measure]["sd"] or 0.0 for point in points])
            axes.fill_between(x, mean - sd, mean + sd, color=colour, alpha=0.13, linewidth=0)
            axes.plot(x, mean, color=colour, linestyle=dashes, linewidth=1.6, marker="o", markersize=3)
        axes.set_ylabel(label)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.margins(y=0.08)
        axes.set_xlim(x[0] / 1.15, x[-1] * max((x[-1] / x[0]) ** 0.45, 2.0))  # room for the names
        _name_ends(axes, x[-1], {name: of[measure]["mean"] for name, of in points[-1]["measures"].items()})
    panels[1].xaxis.set_major_locator(FixedLocator(_apart(x)))
    panels[1].xaxis.set_major_formatter(FuncFormatter(lambda size, _place: f"{size:,.0f}"))
    panels[1].xaxis.set_minor_locator(NullLocator())
    panels[1].set_xlabel(_("labelled reviews"), loc="left")
    return figure


def _name_ends(axes: Axes, x: float, ends: Mapping[str, float]) -> None:
    """Write names behind the ends of lines, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    places: list[float] = []
    for name, end in sorted(ends.items(), key=lambda item: item[1]):
        place = (end - low) / (high - low)
        places.append(max(place, places[-1] + NAMES_APART) if places else place)
        label, colour = LEARNERS[name][:2]
        axes.annotate(
            _(label),
            (x, places[-1]),
            xycoords=("data", "axes fraction"),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=INK if colour == MUTED else colour,
            fontsize=8,
        )


def _apart(sizes: Sequence[int]) -> list[int]:
    """Return the sizes whose labels have room beside those of larger ones."""
    kept = [sizes[-1]]
    for size in reversed(sizes[:-1]):
        if np.log10(kept[-1] / size) >= TICKS_APART:
            kept.append(size)
    return kept[::-1]
