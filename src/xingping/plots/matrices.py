"""Confusion matrices: which stars are taken for which."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from xingping.fonts import chinese_style
from xingping.language import _
from xingping.plots.style import (
    CELL,
    CELL_WRONG,
    INK,
    MUTED,
    ON_DARK,
    RATINGS,
    RULE,
    bare,
    heading,
    new_figure,
    percent,
    star_axis,
)

__all__ = ["confusion", "confusion_within_one"]

LIGHT_TEXT_FROM = 0.75
"""Shade from which white is easier to read than ink."""

SHADE_OF_BAND = 0.32


@chinese_style()
def confusion(matrix: ArrayLike, title: str) -> Figure:
    """Draw a confusion matrix, shaded by the share of each true star.

    Parameters
    ----------
    matrix
        (5, 5) counts, rows true, columns predicted.
    title
        What made the predictions.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    shares = _row_shares(counts)
    figure = new_figure(3.9)
    axes = _frame(figure, title)
    _notes(axes, _("number of\nreviews"), [f"{total:,}" for total in counts.sum(axis=1)])
    for row, column in product(range(len(RATINGS)), repeat=2):
        _cell(axes, row, column, CELL, shares[row, column], counts[row, column], shares[row, column])
    return figure


@chinese_style()
def confusion_within_one(matrix: ArrayLike, title: str) -> Figure:
    """Draw a confusion matrix in which a neighbouring star counts as right.

    The diagonal and its neighbours are one band of one shade; what lies outside is shaded as error. The
    share inside the band stands at the end of each row.

    Parameters
    ----------
    matrix
        (5, 5) counts, rows true, columns predicted.
    title
        What made the predictions.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    shares = _row_shares(counts)
    figure = new_figure(3.9)
    axes = _frame(figure, title)
    inside = [shares[row, max(row - 1, 0) : row + 2].sum() for row in range(len(RATINGS))]
    found = counts.sum(axis=1) > 0
    notes = [percent(near) if has else "–" for near, has in zip(inside, found, strict=True)]
    _notes(axes, _("within\none star"), notes)
    for row, column in product(range(len(RATINGS)), repeat=2):
        near = abs(row - column) <= 1
        colour, shade = (CELL, SHADE_OF_BAND) if near else (CELL_WRONG, shares[row, column])
        _cell(axes, row, column, colour, shade, counts[row, column], shares[row, column])
    return figure


def _row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _frame(figure: Figure, title: str) -> Axes:
    axes = figure.add_subplot()
    bare(axes)
    heading(axes, title)
    star_axis(axes, "x")
    star_axis(axes, "y")
    axes.set_xlim(-0.5, 5.65)  # the last column is for notes
    axes.set_ylim(4.5, -0.5)
    axes.set_xlabel(_("predicted"), loc="left")
    axes.set_ylabel(_("true"), loc="top")
    return axes


def _notes(axes: Axes, title: str, notes: Sequence[str]) -> None:
    """Write one note at the end of each row."""
    axes.text(5.1, -0.62, title, ha="center", va="bottom", color=MUTED, fontsize=7.5, linespacing=1.1)
    for row, note in enumerate(notes):
        axes.text(5.1, row, note, ha="center", va="center", color=INK, fontsize=10)


def _cell(axes: Axes, row: int, column: int, colour: str, shade: float, count: int, share: float) -> None:
    """Draw one cell: the share large, the count small."""
    box = Rectangle(
        (column - 0.48, row - 0.48),
        0.96,
        0.96,
        facecolor=to_rgba(colour, shade),
        edgecolor=RULE,
        linewidth=0.6,
    )
    axes.add_patch(box)
    if count == 0:
        return
    text = ON_DARK if shade >= LIGHT_TEXT_FROM else INK
    axes.text(column, row - 0.1, percent(share), ha="center", va="center", color=text, fontsize=10)
    axes.text(column, row + 0.24, f"{count:,}", ha="center", va="center", color=text, fontsize=7, alpha=0.75)
