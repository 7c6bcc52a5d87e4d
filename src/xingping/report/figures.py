"""The figures of the report: drawn, saved beside the page, and made fit to stand in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xingping import plots
from xingping.fonts import drawable
from xingping.language import _, join_sentences
from xingping.names import baseline_name, exact_stars, sentence_case, split_name, task_name
from xingping.report import content, interactive
from xingping.report.inline_svg import inline_svg
from xingping.report.interactive import Interval, Live
from xingping.report.run_data import Projection

__all__ = [
    "Chart",
    "FigureFolder",
    "Maps",
    "comparison_chart",
    "map_charts",
    "map_points",
    "short_title",
    "split_chart",
    "task_charts",
    "training_chart",
]

FILM_FIGURES = ("film-[0-9][0-9]*-*", "film-p[0-9]*-*")
LONGEST_TITLE = 16

MAP_TEXT = 90
"""Characters of a review that a point of the map shows."""

NO_MARKUP = Markup()

SHARES = ("accuracy", "accuracy_within_one")


@dataclass(frozen=True)
class Chart:
    """One figure of the page.

    Attributes
    ----------
    drawing
        What is seen without scripts and on paper: an SVG inside the page, or the address of one.
    caption
        A sentence with the finding.
    live
        The element with the data of the interactive chart that takes its place on a screen; may be empty.
    title
        What the drawing has for a title, to stand over the interactive chart; may be empty.
    """

    drawing: Markup
    caption: str
    live: Markup = NO_MARKUP
    title: str = ""


class FigureFolder:
    """Saves figures in one folder and knows what it saved.

    Parameters
    ----------
    path
        The folder.
    address
        Where pages find it, if they are to: then drawings that interactive charts take the place of are not in the
        page but images beside it.
    """

    def __init__(self, path: Path, address: str = "") -> None:
        self.path = path
        self.address = address
        self.saved: set[Path] = set()

    def linked(self, address: str) -> "FigureFolder":
        """Return the same folder for pages that find it at an address."""
        folder = FigureFolder(self.path, address)
        folder.saved = self.saved
        return folder

    def add(
        self,
        name: str,
        figure: Figure,
        what: str,
        caption: str,
        live: Live | None = None,
        *,
        title: str = "",
        stands_in: bool = False,
    ) -> Chart:
        """Save a figure and return it for the page.

        Parameters
        ----------
        name
            File name without an ending, and prefix of the ids; of letters, digits and hyphens.
        figure
            From `xingping.plots`.
        what
            What kind of figure it is, for those who do not see it.
        caption
            The finding.
        live
            The same as an interactive chart, where there is one.
        title
            What stands over that.
        stands_in
            Whether an interactive chart takes the drawing's place that is not the same.
        """
        png, svg = plots.save_figure(figure, self.path, name)
        self.saved |= {png, svg}
        label = join_sentences(what, caption)
        if self.address and (live is not None or stands_in):
            width, height = (round(96 * inches) for inches in figure.get_size_inches())
            image = Markup('<img class="plot" src="{}/{}" alt="{}" width="{}" height="{}" loading="lazy">')
            drawing = image.format(self.address, svg.name, label, width, height)
        else:
            drawing = Markup(inline_svg(svg.read_text(encoding="utf-8"), name, label))
        return Chart(drawing, caption, NO_MARKUP if live is None else live.markup(label), title)

    def remove_stale(self) -> None:
        """Delete the figures of films that an earlier report had and this one has not."""
        for path in (path for pattern in FILM_FIGURES for path in self.path.glob(pattern)):
            if path not in self.saved:
                path.unlink()


def comparison_chart(
    folder: FigureFolder,
    name: str,
    test: Mapping[str, content.Measures],
    baselines: Mapping[str, content.Measures],
    intervals: Mapping[str, Mapping[str, Interval]],
) -> Chart:
    """Draw the heads beside the baselines.

    Parameters
    ----------
    folder, name
        Where the figure goes.
    test, baselines
        Measures of each.
    intervals
        Of those that have them, over reviews (`intervals` of `metrics.json`); empty where there are none.
    """
    rows = [(key, task_name(key), measures, True) for key, measures in test.items()]
    rows += [(key, baseline_name(key), measures, False) for key, measures in baselines.items()]
    figure = plots.model_comparison(
        [sentence_case(label) for _key, label, _measures, _own in rows],
        [measures["accuracy"] for _key, _label, measures, _own in rows],
        [measures["accuracy_within_one"] for _key, _label, measures, _own in rows],
        [own for _key, _label, _measures, own in rows],
    )
    live = interactive.dots(
        [
            (sentence_case(label), own, [_with_interval(key, name, measures, intervals) for name in SHARES])
            for key, label, measures, own in rows
        ],
        [_("exactly right"), _("within one star")],
    )
    what = join_sentences(
        _("Two dots for each model: exactly right, and within one star."), content.comparison(test, baselines)
    )
    return folder.add(name, figure, what, _("In blue this run, in grey the baselines."), live)


def _with_interval(
    key: str, name: str, measures: content.Measures, intervals: Mapping[str, Mapping[str, Interval]]
) -> Interval:
    """Return a share with its interval, where that is of the same rule: the best rule may be another."""
    value, known = measures[name], intervals.get(key, {}).get(name)
    return {"value": value} if known is None or abs(known["value"] - value) > 1e-9 else known


def task_charts(
    folder: FigureFolder, prefix: str, task: str, confusion: Sequence[Sequence[int]], film: str | None = None
) -> dict[str, Chart]:
    """Draw a task's confusion matrix, the same with neighbours as right, and the distribution of its ratings.

    Returns
    -------
    dict
        `exact`, `near` and `distribution`.
    """
    name = sentence_case(task_name(task))
    title = name if film is None else f"{short_title(film)} · {name}"
    counts = np.asarray(confusion)
    true, given = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    of = f"{prefix}{task}"
    return {
        "exact": folder.add(
            f"{of}-confusion",
            plots.confusion(counts, title),
            _("Confusion matrix: {title}.").format(title=title),
            content.confusion_finding(confusion),
            interactive.matrix(confusion, near=False),
            title=name,
        ),
        "near": folder.add(
            f"{of}-confusion-within-one",
            plots.confusion_within_one(counts, title),
            _("Confusion matrix with neighbouring stars counted as right: {title}.").format(title=title),
            content.within_one_finding(confusion),
            interactive.matrix(confusion, near=True),
            title=_("{model}, within one star").format(model=name),
        ),
        "distribution": folder.add(
            f"{of}-distribution",
            plots.rating_distribution(true, given, title),
            _("Bars of how often each star is true, and given: {title}.").format(title=title),
            content.distribution_finding(confusion),
            interactive.bars({_("true"): true, _("given"): given}),
            title=name,
        ),
    }


def training_chart(folder: FigureFolder, task: str, history: Mapping[str, Any]) -> Chart:
    """Draw the course of a task's training."""
    epochs, best, name = history["epochs"], history["best_epoch"], sentence_case(task_name(task))
    panels = [
        _panel(epochs, {"train_loss": _("loss, training"), "valid_loss": _("loss, validation")}, main=1),
        _panel(
            epochs,
            {"valid_accuracy": _("exactly right"), "valid_accuracy_within_one": _("within one star")},
            main=0,
            percent=True,
        ),
    ]
    numbers = [record["epoch"] for record in epochs]
    live = interactive.lines(numbers, _("epoch"), panels, (best, _("kept")))
    figure = plots.training_curves(epochs, best, name)
    what = _("Lines of loss and of right ratings by epoch: {task}.").format(task=name)
    return folder.add(f"{task}-training", figure, what, content.training_finding(history), live, title=name)


def _panel(
    epochs: Sequence[Mapping[str, Any]], names: Mapping[str, str], *, main: int, percent: bool = False
) -> dict[str, Any]:
    series = [{"name": name, "values": [record[key] for record in epochs]} for key, name in names.items()]
    return {"series": series, "main": main, "percent": percent}


def split_chart(folder: FigureFolder, splits: Mapping[str, Mapping[str, Any]]) -> Chart:
    """Draw the shares of the stars in each split."""
    counts = {split: [part["stars"][str(star)] for star in range(1, 6)] for split, part in splits.items()}
    largest = int(np.argmax(counts["all"]))
    caption = _("The commonest rating is {stars}, with {share} of all reviews.").format(
        stars=exact_stars(largest + 1), share=content.share(counts["all"][largest] / max(sum(counts["all"]), 1))
    )
    what = _("Bars of the stars' shares in each split.")
    live = interactive.stacked({sentence_case(split_name(split)): stars for split, stars in counts.items()})
    return folder.add("stars-by-split", plots.stars_by_split(counts), what, caption, live)


@dataclass(frozen=True)
class Maps:
    """The drawings of two maps, and the one interactive chart that takes their place."""

    drawings: Sequence[Chart]
    live: Markup


def map_charts(
    folder: FigureFolder,
    prefix: str,
    projection: Projection,
    *,
    among: NDArray[np.bool_] | None = None,
    film: str | None = None,
    number: int | None = None,
) -> Maps | None:
    """Draw the frozen encoder's map and the trained head's; None where all points coincide.

    Parameters
    ----------
    folder, prefix
        Where the figures go.
    projection
        The points.
    among, film, number
        Which of them are of the film to show, its name, and its number in `map_points`; all where there is none.
    """
    maps: list[tuple[str, str, NDArray[np.float64]]] = [
        ("tsne-frozen", _("Frozen encoder"), projection.frozen),
        ("tsne-trained", _("Trained head"), projection.trained),
    ]
    end = "" if film is None else f" · {short_title(film)}"
    if all(np.ptp(points, axis=0).max(initial=0) == 0 for _name, _title, points in maps):
        return None
    drawings = [
        folder.add(
            f"{prefix}{name}",
            plots.tsne(points[:, 0], points[:, 1], projection.ratings, f"{title}{end}", among=among),
            _("Map of reviews by t-SNE, coloured by star: {title}.").format(title=title),
            "",
            stands_in=True,
        )
        for name, title, points in maps
    ]
    live = interactive.map_of_reviews({"trained": maps[1][1], "frozen": maps[0][1]}, number)
    return Maps(drawings, live.markup(_("Map of reviews by t-SNE; each point is a review.")))


def map_points(projection: Projection, films: Sequence[str]) -> Markup:
    """Return the places, stars, films and texts of all reviews on the maps, as JSON; "" where there are none.

    Parameters
    ----------
    projection
        The points, with texts.
    films
        Names, whose places in the list are the films' numbers; a review of another film, or of none, has -1.
    """
    if not len(projection.ratings):
        return NO_MARKUP
    numbers = {film: at for at, film in enumerate(films)}
    data = {
        "trained": np.round(projection.trained, 2).tolist(),
        "frozen": np.round(projection.frozen, 2).tolist(),
        "star": projection.ratings.tolist(),
        "test": projection.is_test.astype(int).tolist(),
        "film": [numbers.get(film, -1) for film in projection.film],
        "films": list(films),
        "text": [text if len(text) <= MAP_TEXT else f"{text[: MAP_TEXT - 1]}…" for text in projection.texts],
    }
    return interactive.embed(data)


def short_title(film: str) -> str:
    """Return a film's name as it can stand in the title of a figure."""
    name = drawable(film)
    return name if len(name) <= LONGEST_TITLE else f"{name[: LONGEST_TITLE - 1]}…"
