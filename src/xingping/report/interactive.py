"""The data of the page's interactive charts: what `assets/charts.js` draws over the drawings that need no script.

ECharts draws them: it can be inlined whole, is a quarter of Plotly's size, draws tens of thousands of points on a
canvas and all else as SVG, and its tooltips can be elements, so that a review is never taken for markup. All words
are in the data, in the language of the page.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from xingping.language import _

__all__ = [
    "Live", "bars", "dots", "embed", "lines", "map_of_reviews", "matrix", "ranked", "reliability", "script_digests",
    "scripts", "sources", "stacked", "timeline",
]  # fmt: skip

Interval = Mapping[str, float]
"""`value`, and `low` and `high` where they are known."""


@dataclass(frozen=True)
class Live:
    """A chart of the page.

    Attributes
    ----------
    kind
        Which of the builders in `assets/charts.js` draws it.
    data
        What that takes.
    """

    kind: str
    data: Mapping[str, Any]

    def markup(self, label: str) -> Markup:
        """Return the element that holds the data; `label` says what is shown to those who do not see it."""
        script = Markup('<script type="application/json" data-kind="{}" data-label="{}">{}</script>')
        return script.format(self.kind, label, embed(self.data))


def embed(data: object) -> Markup:
    """Return JSON that may stand in a script element, whatever texts are in it."""
    return htmlsafe_json_dumps(data, ensure_ascii=False, separators=(",", ":"))


@cache
def sources() -> tuple[str, ...]:
    """Return ECharts and what uses it."""
    assets = files("xingping.report") / "assets"
    return tuple((assets / name).read_text(encoding="utf-8") for name in ("echarts.min.js", "charts.js"))


def scripts() -> Markup:
    """Return ECharts and what uses it, to stand in a page."""
    return Markup("\n").join(Markup("<script>{}</script>").format(Markup(part)) for part in sources())


def script_digests() -> list[str]:
    """Return what a Content-Security-Policy calls the scripts by, so that it need allow no others."""
    digests = [hashlib.sha256(part.encode()).digest() for part in sources()]
    return [f"sha256-{base64.b64encode(digest).decode()}" for digest in digests]


def dots(
    rows: Sequence[tuple[str, bool, Sequence[Interval | None]]],
    series: Sequence[str],
    *,
    percent: bool = True,
    digits: int | None = None,
    signed: bool = False,
    notes: Sequence[Sequence[str]] = (),
    reference: tuple[float, str] | None = None,
) -> Live:
    """Return rows of dots with intervals.

    Parameters
    ----------
    rows
        A label, whether it is of this run (coloured) or not (grey), and an interval for each of the series.
    series
        Names.
    percent
        Whether values are shares, 0..1.
    digits
        Behind the point; by default one of shares, two of others.
    signed
        Whether values are differences, written with their signs.
    notes
        Further lines of each row's tooltip.
    reference
        A value to mark by a line, and its name.
    """
    shown = [
        {"label": label, "own": own, "values": list(values), "notes": list(notes[at]) if notes else []}
        for at, (label, own, values) in enumerate(rows)
    ]
    mark = None if reference is None else {"value": reference[0], "label": reference[1]}
    data = {"rows": shown, "series": list(series), "percent": percent, "signed": signed, "reference": mark}
    return Live("dots", data if digits is None else {**data, "digits": digits})


def matrix(counts: Sequence[Sequence[int]], *, near: bool) -> Live:
    """Return a confusion matrix, (5, 5) counts, rows true; with `near` neighbouring stars count as right."""
    words = {"true": _("true"), "given": _("given"), "share": _("of the row"), "reviews": _("reviews")}
    return Live("matrix", {"counts": counts, "near": near, "words": words})


def bars(series: Mapping[str, Sequence[int]]) -> Live:
    """Return shares of the stars side by side, from (5,) counts of each series; the last one is coloured."""
    shown = [{"name": name, "counts": list(counts)} for name, counts in series.items()]
    return Live("bars", {"categories": [f"{star} ★" for star in range(1, 6)], "series": shown})


def stacked(rows: Mapping[str, Sequence[int]]) -> Live:
    """Return a bar of five parts for each row, from (5,) counts of the stars."""
    return Live("stacked", {"rows": [{"label": label, "counts": list(counts)} for label, counts in rows.items()]})


def lines(
    x: Sequence[int], x_name: str, panels: Sequence[Mapping[str, Any]], mark: tuple[int, str] | None = None
) -> Live:
    """Return lines in panels.

    Parameters
    ----------
    x, x_name
        (n,) places, and what they are.
    panels
        `series`, each with `name` and `values` (n,); `main`, which of them is coloured; `percent`.
    mark
        A place to mark, and its name.
    """
    marked = None if mark is None else {"x": mark[0], "label": mark[1]}
    data = {"x": list(x), "words": {"x": x_name}, "panels": list(panels)}
    return Live("lines", data if marked is None else {**data, "mark": marked})


def ranked(
    items: Sequence[tuple[str, float]],
    value_name: str,
    *,
    percent: bool = False,
    digits: int = 3,
    stars: Sequence[int] = (),
    notes: Sequence[Sequence[str]] = (),
) -> Live:
    """Return bars of words.

    Parameters
    ----------
    items
        Words and their values, in the order of the bars.
    value_name
        What the values are.
    percent, digits
        How to write them.
    stars
        (n,) 1..5 where each bar has the colour of a star.
    notes
        Further lines of each tooltip.
    """
    shown = [
        {"word": word, "value": value}
        | ({"star": stars[at]} if stars else {})
        | ({"notes": list(notes[at])} if notes else {})
        for at, (word, value) in enumerate(items)
    ]
    return Live("ranked", {"items": shown, "percent": percent, "digits": digits, "words": {"value": value_name}})


def timeline(bins: Sequence[Mapping[str, Any]]) -> Live:
    """Return ratings over time: bins with `label, n, mean, low, high`, the last three None where n is 0."""
    return Live("timeline", {"bins": list(bins), "words": {"mean": _("mean rating"), "reviews": _("reviews")}})


def reliability(bins: Sequence[Mapping[str, Any]]) -> Live:
    """Return how often the model is right where it is how sure: bins with `n, confidence, accuracy, low, high`."""
    words = {"confidence": _("confidence"), "accuracy": _("right"), "reviews": _("reviews")}
    return Live("reliability", {"bins": list(bins), "words": words})


def map_of_reviews(views: Mapping[str, str], film: int | None = None) -> Live:
    """Return reviews as points, which lie once in the page, in its element `map-points`.

    Parameters
    ----------
    views
        Keys of the places in `map-points`, and what each is called.
    film
        Number of the film to show among the others; None for all, coloured by star or by film.
    """
    words = {"star": _("by star"), "film": _("by film"), "others": _("other films"), "zoom": _("zoom"),
             "back": _("back"), "whole": _("whole map")}  # fmt: skip
    data: dict[str, Any] = {"views": [{"key": key, "name": name} for key, name in views.items()], "words": words}
    return Live("map", data if film is None else {**data, "film": film})
