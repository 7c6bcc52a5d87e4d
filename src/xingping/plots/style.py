"""The look that all figures share: colours, a bare frame, and how they are saved."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xingping.artifacts import atomic_path
from xingping.fonts import chinese_style, drawable

__all__ = [
    "ACCENT",
    "CELL",
    "CELL_WRONG",
    "FAINT",
    "FILM_COLOURS",
    "INK",
    "LONGEST_NAME",
    "LONGEST_NAME_OF_FIVE",
    "MUTED",
    "ON_DARK",
    "ON_LIGHT",
    "PAPER",
    "RATINGS",
    "RULE",
    "STAR_COLOURS",
    "WIDTH",
    "bare",
    "heading",
    "legible",
    "new_figure",
    "nothing_to_show",
    "percent",
    "save_figure",
    "star_axis",
]

# Each of these is its own colour and no other's, so that a page can set them anew for a dark background.
PAPER = "#fffefd"
INK = "#1d1c1b"
MUTED = "#6b675f"
RULE = "#dcd8d0"
ACCENT = "#2a659f"

# Cells are as transparent as their number is small, so they need no other colour on a dark page.
CELL = "#2a659e"
CELL_WRONG = "#b4472f"
FAINT = "#8a857b"

# Text on the stars' colours and on shaded cells, which are the same on every page.
ON_LIGHT = "#1d1c1c"
ON_DARK = "#fffffe"

RATINGS = (1, 2, 3, 4, 5)
STAR_COLOURS = ("#b2432f", "#de8f5f", "#aaa296", "#6fa3cc", "#2a67ab")
"""From bad to good: red to blue over grey, told apart with every common colour blindness."""

FILM_COLOURS = ("#0272b3", "#e79f02", "#039e74", "#d45f02", "#cb79a8", "#57b4ea")
"""Kinds without an order (Okabe and Ito 2008), told apart with every common colour blindness."""

LONGEST_NAME = 14
"""Characters of a name in a figure."""

LONGEST_NAME_OF_FIVE = 6
"""Characters of a name where five charts stand side by side."""

WIDTH = 4.4
"""Inches. Narrow, so that text stays legible on a telephone; wide pages set figures side by side."""


def new_figure(height: float, *, width: float = WIDTH) -> Figure:
    """Return an empty figure in the house style; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr, call-arg]  # constrained has both
    return figure


def bare(axes: Axes, *, grid: str | None = None) -> None:
    """Take the frame off, mute the ticks, and draw faint grid lines along one axis (`x` or `y`)."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_facecolor("none")
    axes.tick_params(length=0, labelcolor=MUTED, pad=5)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.set_axisbelow(True)
    if grid is not None:
        axes.grid(axis=grid, color=RULE, linewidth=0.7)  # type: ignore[arg-type]  # x or y


def heading(axes: Axes, title: str) -> None:
    """Set a title flush left."""
    axes.set_title(title, loc="left", color=INK, fontsize=10, pad=10)


def nothing_to_show(axes: Axes, why: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=MUTED, fontsize=8.5)


def legible(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name as a figure can show it: without characters that no font draws, and cut; `–` where none is left."""
    name = drawable(name).strip()
    if len(name) > longest:
        name = f"{name[: longest - 1]}…"
    return name or "–"


def star_axis(axes: Axes, which: str) -> None:
    """Label the five positions of an axis (`x` or `y`) with stars."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(range(len(RATINGS)), labels=[f"{rating} ★" for rating in RATINGS])


def percent(value: float) -> str:
    """Write a share as whole per cent; what is there but rounds to nothing is said to be under one."""
    if 0 < value < 0.005:
        return "<1%"
    return f"{value:.0%}"


@chinese_style()
def save_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a figure as PNG (150 dpi) and SVG; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        From a function of this package.
    folder
        Made where it is missing.
    name
        File name without an ending.

    Returns
    -------
    tuple of Path
        The PNG and the SVG.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with atomic_path(png) as path:
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
    figure.set_layout_engine("none")  # the places are found, and stay
    with atomic_path(svg) as path:
        figure.savefig(path, format="svg", dpi=160, metadata={"Date": None, "Creator": None})
    return png, svg
