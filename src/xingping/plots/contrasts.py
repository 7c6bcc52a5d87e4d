"""Words to both sides of nothing: what sets stars apart, what moves a rating, what a review rests on."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xingping.fonts import chinese_style
from xingping.language import _
from xingping.plots.style import (
    ACCENT,
    FAINT,
    INK,
    LONGEST_NAME,
    LONGEST_NAME_OF_FIVE,
    MUTED,
    RULE,
    STAR_COLOURS,
    WIDTH,
    bare,
    heading,
    legible,
    new_figure,
    nothing_to_show,
)

__all__ = ["distinctive_words", "explanation_bars", "moving_words"]

Words = Sequence[tuple[str, float]]

DOWN, UP = STAR_COLOURS[0], STAR_COLOURS[4]

HEADROOM = 1.45
"""Part of the longest bar that an axis is long, so that numbers behind the bars have room."""


@chinese_style()
def distinctive_words(by_rating: Mapping[int, Words], title: str) -> Figure:
    """Draw the words that set each star apart from the others, one small chart a star, all of one scale.

    Parameters
    ----------
    by_rating
        By star, pairs of word and score, such as the z-score of the log-odds (Monroe et al. 2008,
        doi:10.1093/pan/mpn018): above nothing where the star's reviews use it more than the others, below where less.
    title
        Whose words they are.
    """
    longest = max([len(words) for words in by_rating.values()] + [3])
    figure = new_figure(0.95 + 0.2 * longest, width=2 * WIDTH)
    figure.suptitle(title, x=0.005, ha="left", color=INK, fontsize=10)
    reach = max([abs(score) for words in by_rating.values() for _, score in words] + [1e-9])
    panels = figure.subplots(1, max(len(by_rating), 1), squeeze=False)[0]
    for axes in panels[len(by_rating) :]:
        bare(axes)
        nothing_to_show(axes, _("no words"))
    for axes, (rating, words) in zip(panels, by_rating.items(), strict=False):
        bare(axes)
        axes.set_title(f"{rating} ★", loc="left", color=INK, fontsize=10)
        colour = STAR_COLOURS[rating - 1]
        colours = [colour if score >= 0 else FAINT for _, score in words]
        _diverging(axes, words, colours, "{:+.1f}", reach=reach, longest=LONGEST_NAME_OF_FIVE)
        axes.set_ylim(longest - 0.4, -0.6)
        if not words:
            nothing_to_show(axes, _("no words"))
    return figure


@chinese_style()
def moving_words(up: Words, down: Words, title: str) -> Figure:
    """Draw the words that move ratings most, those that raise them above those that lower them.

    Parameters
    ----------
    up, down
        Pairs of word and mean effect in stars, above nothing in the first and below in the second, each from top to
        bottom.
    title
        Whose ratings they move.
    """
    words = [*up, *down]
    figure = new_figure(0.85 + 0.205 * max(len(words), 3))
    axes = figure.add_subplot()
    bare(axes)
    heading(axes, title)
    if not words:
        nothing_to_show(axes, _("no words"))
        return figure
    _diverging(axes, words, [UP if effect >= 0 else DOWN for _, effect in words], "{:+.2f}")
    axes.set_ylim(len(words) - 0.4, -0.6)
    axes.set_xlabel(_("stars that the word adds or takes"), loc="left")
    return figure


@chinese_style()
def explanation_bars(words: Sequence[str], weights: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Draw what several methods say of each word of one review, side by side.

    Parameters
    ----------
    words
        (n,) in order of the text.
    weights
        By method, (n,) numbers; each chart has its own scale. Methods that never go below nothing, such as
        attention, have one colour; the others one for each side.
    title
        Which review it is.
    """
    figure = new_figure(1.0 + 0.205 * max(len(words), 3), width=1.5 * WIDTH)
    figure.suptitle(legible(title, 60), x=0.005, ha="left", color=INK, fontsize=10)
    panels = figure.subplots(1, max(len(weights), 1), squeeze=False)[0]
    if not words or not weights:
        for axes in panels:
            bare(axes)
            nothing_to_show(axes, _("no words"))
        return figure
    for place, (axes, (method, values)) in enumerate(zip(panels, weights.items(), strict=True)):
        bare(axes)
        axes.set_title(method, loc="left", color=INK, fontsize=9)
        signed = min(values) < 0
        colours = [(UP if value >= 0 else DOWN) if signed else ACCENT for value in values]
        number = "{:+.2f}" if signed else "{:.2f}"
        _diverging(axes, list(zip(words, values, strict=True)), colours, number)
        axes.set_ylim(len(words) - 0.4, -0.6)
        if place:
            axes.set_yticks([])
    return figure


def _diverging(
    axes: Axes,
    words: Words,
    colours: Sequence[str],
    number: str,
    *,
    reach: float | None = None,
    longest: int = LONGEST_NAME,
) -> None:
    """Draw bars from nothing to both sides, with the words at the edge and the numbers behind the bars."""
    places, values = range(len(words)), [value for _, value in words]
    axes.barh(places, values, 0.66, color=colours)
    axes.axvline(0, color=RULE, linewidth=0.8)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            number.format(value), (value, place), xytext=(3 if value >= 0 else -3, 0), textcoords="offset points",
            ha="left" if value >= 0 else "right", va="center", color=MUTED, fontsize=7,
        )  # fmt: skip
    axes.set_yticks(places, labels=[legible(word, longest) for word, _ in words])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_xticks([])
    reach = HEADROOM * (reach or max([abs(value) for value in values] + [1e-9]))
    axes.set_xlim(-reach if min(values, default=0) < 0 else 0, reach if max(values, default=0) > 0 else 0.1 * reach)
