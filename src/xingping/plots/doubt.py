"""Whether a model is as often right as it says."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from xingping.fonts import chinese_style
from xingping.language import _
from xingping.plots.style import ACCENT, FAINT, MUTED, RULE, bare, heading, new_figure, nothing_to_show

__all__ = ["reliability_diagram"]

BAR = 0.036
"""Width of a bar of the number of reviews; a bin is about twice as wide."""


@chinese_style()
def reliability_diagram(bins: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Draw how often predictions are right by how sure the model is, and below how many are so sure.

    Dots on the diagonal are honest, those below it too sure. Vertical lines are intervals of 95 %.

    Parameters
    ----------
    bins
        Records with `n, confidence, accuracy, low, high`, shares 0..1, as `metrics.reliability_bins` returns them.
    title
        What made the predictions.
    """
    figure = new_figure(4.9)
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    heading(shares, title)
    bare(shares, grid="both")
    bare(counts)
    if not bins:
        nothing_to_show(shares, _("no predictions"))
        nothing_to_show(counts, "")
        return figure
    shares.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 2)))
    shares.text(0.98, 0.03, _("too sure"), ha="right", va="bottom", color=MUTED, fontsize=8)
    shares.text(0.02, 0.97, _("too doubtful"), ha="left", va="top", color=MUTED, fontsize=8)
    x = [each["confidence"] for each in bins]
    shares.vlines(x, [each["low"] for each in bins], [each["high"] for each in bins], color=ACCENT, alpha=0.6)
    shares.plot(x, [each["accuracy"] for each in bins], "o", color=ACCENT, markersize=5, clip_on=False)
    shares.set_xlim(0, 1)
    shares.set_ylim(0, 1)
    shares.set_ylabel(_("right"))
    shares.yaxis.set_major_formatter(PercentFormatter(1))
    counts.bar(x, [each["n"] for each in bins], BAR, color=FAINT)
    counts.axhline(0, color=RULE, linewidth=0.7)
    counts.set_ylabel(_("number of reviews"))
    counts.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    counts.yaxis.set_major_formatter("{x:,.0f}")
    counts.xaxis.set_major_formatter(PercentFormatter(1))
    counts.set_xlabel(_("confidence of the model"), loc="left")
    figure.align_ylabels([shares, counts])
    return figure
