"""Models side by side."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from xingping.fonts import chinese_style
from xingping.language import _
from xingping.plots.style import ACCENT, INK, MUTED, PAPER, bare, new_figure

__all__ = ["model_comparison"]


@chinese_style()
def model_comparison(
    names: Sequence[str], accuracy: Sequence[float], within_one: Sequence[float], ours: Sequence[bool]
) -> Figure:
    """Draw two dots for each model: the share rated exactly right, and the share within one star.

    Parameters
    ----------
    names
        (n,) models, drawn from top to bottom.
    accuracy, within_one
        (n,) shares, 0..1.
    ours
        (n,) whether a model is the run's own (coloured) or a baseline (grey).
    """
    figure = new_figure(0.7 + 0.56 * len(names))
    axes = figure.add_subplot()
    bare(axes, grid="x")
    for row, (name, exact, near, own) in enumerate(zip(names, accuracy, within_one, ours, strict=True)):
        colour = ACCENT if own else MUTED
        axes.plot([exact, near], [row, row], color=colour, linewidth=1.2, alpha=0.55, solid_capstyle="butt")
        axes.plot([exact], [row], "o", color=colour, markersize=6)
        axes.plot([near], [row], "o", color=colour, markersize=6, markerfacecolor="none", markeredgewidth=1.5)
        label = axes.text(0, row - 0.3, name, va="bottom", color=INK if own else MUTED, fontsize=8.5)
        label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 1})  # keeps the grid off it
        axes.text(exact - 0.022, row, f"{exact:.1%}", ha="right", va="center", color=colour, fontsize=8)
        axes.text(near + 0.022, row, f"{near:.1%}", ha="left", va="center", color=colour, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.95)
    axes.set_xlim(0, 1.09)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(_("● exactly right     ○ within one star"), loc="left")
    return figure
