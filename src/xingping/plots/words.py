"""Words: bars, small multiples by star, and a cloud."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from wordcloud import WordCloud

from xingping.fonts import chinese_style, font_path
from xingping.language import _
from xingping.plots.style import (
    ACCENT,
    INK,
    LONGEST_NAME,
    LONGEST_NAME_OF_FIVE,
    MUTED,
    STAR_COLOURS,
    WIDTH,
    bare,
    heading,
    legible,
    new_figure,
)

__all__ = ["frequent_words", "tfidf_bars", "word_cloud"]

CLOUD_COLOURS = ("#b2432f", "#cb7440", "#8b8376", "#5a92c0", "#3474ba")
"""The stars' colours, the middle ones darker: words must be legible on white and on black."""


@chinese_style()
def tfidf_bars(words: Sequence[tuple[str, float]], title: str) -> Figure:
    """Draw words and their TF-IDF scores as horizontal bars, first word on top."""
    figure = new_figure(0.7 + 0.205 * max(len(words), 3))
    axes = figure.add_subplot()
    bare(axes)
    heading(axes, title)
    _bars(axes, words, ACCENT, "{:.3f}")
    axes.set_ylim(len(words) - 0.4, -0.6)
    axes.set_xlabel(_("mean TF-IDF over the reviews"), loc="left")
    return figure


@chinese_style()
def frequent_words(by_rating: Mapping[int, Sequence[tuple[str, int]]], title: str) -> Figure:
    """Draw the most frequent words of each star, one small chart a star.

    Parameters
    ----------
    by_rating
        By star, pairs of word and count, most frequent first. Each chart has its own scale.
    title
        Whose words they are.
    """
    longest = max([len(words) for words in by_rating.values()] + [3])
    figure = new_figure(0.9 + 0.2 * longest, width=2 * WIDTH)
    panels = figure.subplots(1, len(by_rating))
    for axes, (rating, words) in zip(np.atleast_1d(panels), by_rating.items(), strict=True):
        bare(axes)
        axes.set_title(f"{rating} ★", loc="left", color=INK, fontsize=10)
        _bars(axes, words, STAR_COLOURS[rating - 1], "{:,}", LONGEST_NAME_OF_FIVE)
        axes.set_ylim(longest - 0.4, -0.6)
    figure.suptitle(title, x=0.005, ha="left", color=INK, fontsize=10)
    return figure


@chinese_style()
def word_cloud(counts: Mapping[str, int], mean_ratings: Mapping[str, float]) -> Figure:
    """Draw words as large as they are frequent; their places come from a fixed seed. Very long words are cut.

    Parameters
    ----------
    counts
        By word, how frequent it is; at least one word.
    mean_ratings
        By word, the mean stars (1..5) of the reviews that use it, which give the colour.
    """
    words = {legible(word): word for word in sorted(counts, key=lambda word: counts[word])}

    def colour_of(word: str, **_: object) -> str:
        return CLOUD_COLOURS[round(mean_ratings[words[word]]) - 1]

    cloud = WordCloud(
        font_path=str(font_path()), width=1320, height=1560, mode="RGBA", background_color=None, max_words=150,
        prefer_horizontal=1.0, relative_scaling=0.5, margin=6, random_state=0, color_func=colour_of,
        min_font_size=20, max_font_size=250,
    )  # fmt: skip
    cloud.generate_from_frequencies({shown: counts[word] for shown, word in words.items()})
    figure = new_figure(WIDTH * 1560 / 1320)
    axes = figure.add_subplot()
    axes.axis("off")
    axes.imshow(cloud.to_array(), interpolation="antialiased")
    return figure


def _bars(
    axes: Axes, words: Sequence[tuple[str, float]], colour: str, number: str, longest: int = LONGEST_NAME
) -> None:
    """Draw a bar for each word, with the word before it, cut where it is long, and its number behind it."""
    places, values = range(len(words)), [value for _, value in words]
    axes.barh(places, values, 0.66, color=colour)
    axes.set_yticks(places, labels=[legible(word, longest) for word, _ in words])
    axes.tick_params(axis="y", labelcolor=INK)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            number.format(value), (value, place), xytext=(3, 0), textcoords="offset points",
            va="center", color=MUTED, fontsize=7,
        )  # fmt: skip
    axes.set_xlim(0, max([*values, 1e-9]) * 1.15)
    axes.set_xticks([])
