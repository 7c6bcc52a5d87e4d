"""The course of a training."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from xingping.fonts import chinese_style
from xingping.plots.style import ACCENT, INK, MUTED, RULE, bare, heading, new_figure

__all__ = ["training_curves"]


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
    _lines(losses, x, epochs, {"train_loss": ("train", MUTED), "valid_loss": ("valid", ACCENT)})
    losses.set_ylabel("loss")
    _lines(
        shares,
        x,
        epochs,
        {"valid_accuracy": ("exact", ACCENT), "valid_accuracy_within_one": ("within one", MUTED)},
    )
    shares.set_ylabel("valid split")
    shares.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    shares.set_xlabel("epoch", loc="left")
    shares.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (losses, shares):
        axes.axvline(best_epoch, color=RULE, linewidth=1.2, zorder=0)
    losses.annotate(
        f"best: epoch {best_epoch}",
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
    for key, (_, colour) in series.items():
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
