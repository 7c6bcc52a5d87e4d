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
from xingping.report import content
from xingping.report.inline_svg import inline_svg
from xingping.report.run_data import Projection

__all__ = [
    "Chart",
    "FigureFolder",
    "comparison_chart",
    "map_charts",
    "short_title",
    "split_chart",
    "task_charts",
    "training_chart",
]

FILM_FIGURE = "film-[0-9][0-9]*-*"
LONGEST_TITLE = 16


@dataclass(frozen=True)
class Chart:
    """One figure of the page.

    Attributes
    ----------
    svg
        Markup to stand inside the page.
    caption
        A sentence with the finding.
    """

    svg: Markup
    caption: str


class FigureFolder:
    """Saves figures in one folder and knows what it saved.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.saved: set[Path] = set()

    def add(self, name: str, figure: Figure, what: str, caption: str) -> Chart:
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
        """
        png, svg = plots.save_figure(figure, self.path, name)
        self.saved |= {png, svg}
        label = f"{what}. {caption}".strip()
        return Chart(Markup(inline_svg(svg.read_text(encoding="utf-8"), name, label)), caption)

    def remove_stale(self) -> None:
        """Delete the figures of films that an earlier report had and this one has not."""
        for path in self.path.glob(FILM_FIGURE):
            if path not in self.saved:
                path.unlink()


def comparison_chart(
    folder: FigureFolder,
    name: str,
    test: Mapping[str, content.Measures],
    baselines: Mapping[str, content.Measures],
) -> Chart:
    """Draw the heads beside the baselines."""
    rows = [(content.task_name(task), measures, True) for task, measures in test.items()]
    rows += [(content.baseline_name(key), measures, False) for key, measures in baselines.items()]
    figure = plots.model_comparison(
        [label.capitalize() for label, _, _ in rows],
        [measures["accuracy"] for _, measures, _ in rows],
        [measures["accuracy_within_one"] for _, measures, _ in rows],
        [own for _, _, own in rows],
    )
    what = "Two dots for each model: exactly right, and within one star"
    caption = "In blue this run, in grey the baselines."
    return folder.add(name, figure, f"{what}. {content.comparison(test, baselines)}".strip(), caption)


def task_charts(
    folder: FigureFolder, prefix: str, task: str, confusion: Sequence[Sequence[int]], film: str | None = None
) -> dict[str, Chart]:
    """Draw a task's confusion matrix, the same with neighbours as right, and the distribution of its ratings.

    Returns
    -------
    dict
        `exact`, `near` and `distribution`.
    """
    title = task.capitalize() if film is None else f"{short_title(film)}, {task}"
    counts = np.asarray(confusion)
    of = f"{prefix}{task}"
    return {
        "exact": folder.add(
            f"{of}-confusion",
            plots.confusion(counts, f"{title}: exact star"),
            f"Confusion matrix of the {content.task_name(task)}",
            content.confusion_finding(confusion),
        ),
        "near": folder.add(
            f"{of}-confusion-within-one",
            plots.confusion_within_one(counts, f"{title}: within one star"),
            f"Confusion matrix of the {content.task_name(task)}, neighbouring stars counted as right",
            content.within_one_finding(confusion),
        ),
        "distribution": folder.add(
            f"{of}-distribution",
            plots.rating_distribution(counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist(), title),
            f"Bars of how often each star is true, and given by the {content.task_name(task)}",
            content.distribution_finding(confusion),
        ),
    }


def training_chart(folder: FigureFolder, task: str, history: Mapping[str, Any]) -> Chart:
    """Draw the course of a task's training."""
    figure = plots.training_curves(history["epochs"], history["best_epoch"], task.capitalize())
    what = f"Lines of loss and of right ratings by epoch, {content.task_name(task)}"
    return folder.add(f"{task}-training", figure, what, content.training_finding(history))


def split_chart(folder: FigureFolder, splits: Mapping[str, Mapping[str, Any]]) -> Chart:
    """Draw the shares of the stars in each split."""
    counts = {split: [part["stars"][str(star)] for star in range(1, 6)] for split, part in splits.items()}
    largest = int(np.argmax(counts["all"]))
    part = counts["all"][largest] / max(sum(counts["all"]), 1)
    stars = content.exact_stars(largest + 1)
    caption = f"The commonest rating is {stars}, with {content.share(part)} of all reviews."
    return folder.add("stars-by-split", plots.stars_by_split(counts), "Bars of the stars' shares", caption)


def map_charts(
    folder: FigureFolder,
    prefix: str,
    projection: Projection,
    *,
    among: NDArray[np.bool_] | None = None,
    film: str | None = None,
) -> list[Chart]:
    """Draw the frozen encoder's map and the trained head's; neither where all points coincide."""
    maps: list[tuple[str, str, NDArray[np.float64]]] = [
        ("tsne-frozen", "Frozen encoder", projection.frozen),
        ("tsne-trained", "Trained head", projection.trained),
    ]
    end = "" if film is None else f", {short_title(film)}"
    if all(np.ptp(points, axis=0).max(initial=0) == 0 for _, _, points in maps):
        return []
    return [
        folder.add(
            f"{prefix}{name}",
            plots.tsne(points[:, 0], points[:, 1], projection.ratings, f"{title}{end}", among=among),
            f"Map of reviews by t-SNE, coloured by star: {title.lower()}",
            "",
        )
        for name, title, points in maps
    ]


def short_title(film: str) -> str:
    """Return a film's name as it can stand in the title of a figure."""
    name = drawable(film)
    return name if len(name) <= LONGEST_TITLE else f"{name[: LONGEST_TITLE - 1]}…"
