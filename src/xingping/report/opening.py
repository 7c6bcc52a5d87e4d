"""The top of the report: the few figures that answer its question, each with its interval and the best baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xingping.language import _
from xingping.names import baseline_name
from xingping.report import content
from xingping.report.content import share
from xingping.report.doubt import best_baseline

__all__ = ["KeyFigure", "film_verdict", "key_figures"]


@dataclass(frozen=True)
class KeyFigure:
    """A figure, what it is, its 95 % interval over reviews, and the best baseline's."""

    label: str
    value: str
    interval: str
    rival: str


def key_figures(metrics: Mapping[str, Any], task: str) -> list[KeyFigure]:
    """Return exact stars, within one star and the mean error of a task, each by the rule that is best for it.

    Parameters
    ----------
    metrics
        `metrics.json`.
    task
        Whose.
    """
    intervals = metrics["intervals"]["reviews"]
    labels = {
        "accuracy": _("exact star"),
        "accuracy_within_one": _("within one star"),
        "mae": _("mean error, in stars"),
    }
    figures = []
    for measure, label in labels.items():
        own = intervals[task][measure]
        write = _stars if measure == "mae" else share
        best = best_baseline(metrics, task, measure)
        rival = ""
        if best is not None:
            rival = _("best baseline {value} ({name})").format(
                value=write(intervals[best][measure]["value"]), name=baseline_name(best)
            )
        interval = _("95%: {low} to {high}").format(low=write(own["low"]), high=write(own["high"]))
        figures.append(KeyFigure(label, write(own["value"]), interval, rival))
    return figures


def film_verdict(film: str, mean: Mapping[str, float] | None, reviews: int) -> str:
    """Say in one sentence what a film's reviewers think of it, and what the model reads from their texts alone.

    Parameters
    ----------
    film
        Its name.
    mean
        `true, predicted, low, high, n` of its test reviews; None where there are none.
    reviews
        In all.
    """
    if mean is None:
        return _("{film} has {reviews}, none of them in the test split.").format(
            film=film, reviews=content.count(reviews, "review")
        )
    return _(
        "{film} gets {true} stars on average from the authors of {n} test reviews; from their texts alone the model "
        "reads {predicted} (95%: {low} to {high})."
    ).format(
        film=film,
        true=f"{mean['true']:.2f}",
        n=f"{mean['n']:,}",
        predicted=f"{mean['predicted']:.2f}",
        low=f"{mean['low']:.2f}",
        high=f"{mean['high']:.2f}",
    )


def _stars(value: float) -> str:
    return f"{value:.3f}"
