"""The page: everything put together in one file that needs no other."""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from xingping.artifacts import atomic_path
from xingping.fonts import subset_woff2
from xingping.report import content, doubt, figures
from xingping.report.case_study import CaseStudy, make_case_study
from xingping.report.figures import FigureFolder
from xingping.report.films import find_films
from xingping.report.highlights import highlights
from xingping.report.published import PUBLISHED, PUBLISHED_ON
from xingping.report.run_data import RunData
from xingping.report.tabular import decision_table, film_table, metrics_table, split_table
from xingping.segmentation import load_stopwords

__all__ = ["write_report"]

HAN_RUN = re.compile("([⺀-\U0003ffff]+)")
"""Han characters, kana, and full-width punctuation."""

SUSPECTS = 8
"""Reviews shown whose star is suspect."""

ASCII = frozenset(map(chr, range(0x20, 0x7F)))
"""Beyond it, a Chinese font draws much, such as ±, too wide for English text."""


def write_report(run_path: Path, movies: Sequence[str]) -> Path:
    """Write the report of an evaluated run: `report/index.html`, and its figures beside it.

    The page holds all it needs, fonts and figures too, and loads nothing. Only artefacts of the run are read; no
    model is run.

    Parameters
    ----------
    run_path
        The run directory.
    movies
        Films to add a case study of.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    RunDirectoryError
        The folder is no run directory, or an artefact is missing.
    InputError
        There are no reviews of a film, or the stopwords of the run cannot be read.
    UsageError
        No font with Chinese characters is installed.
    OutputError
        The folder cannot be written.
    """
    data = RunData.read(run_path)
    films = data.summary["films"]
    wanted = find_films({film: known["reviews"] for film, known in films.items()}, movies)
    stopwords = data.record["settings"]["segmentation"]["stopwords"]
    stopwords = load_stopwords(Path(stopwords) if stopwords else None)
    folder = FigureFolder(run_path / "report" / "figures")
    studies = [make_case_study(data, film, number, folder, stopwords) for number, film in enumerate(wanted, start=1)]
    html = _render(_context(data, folder, studies))
    folder.remove_stale()
    page = run_path / "report" / "index.html"
    with atomic_path(page) as path:
        path.write_text(html, encoding="utf-8")
    return page


def _context(data: RunData, folder: FigureFolder, studies: Sequence[CaseStudy]) -> dict[str, Any]:
    """Return all that the template shows."""
    test = {task: data.metrics["test"][task] for task in data.tasks}
    baselines, films = content.best_first(data.metrics["baselines"]), data.metrics["films"]
    n = test[data.tasks[0]]["n"]
    decided = next((task for task in data.tasks if "decisions" in test[task]), None)
    decisions = test[decided]["decisions"] if decided else None
    means = data.metrics["film_means"][data.tasks[0]]
    tested = data.projection.take(data.projection.is_test)
    return {
        "record": data.record,
        "encoder": data.record.get("tuned_encoder") or data.record["encoder"],
        "settings": data.record["settings"],
        "summary": data.summary,
        "headline": content.headline(test[data.tasks[0]]),
        "standfirst": content.standfirst(test),
        "comparison": content.comparison(test, baselines),
        "margin": content.margin(n),
        "test": test,
        "comparison_chart": figures.comparison_chart(folder, "model-comparison", test, baselines),
        "metrics": metrics_table(
            test, baselines, PUBLISHED, PUBLISHED_ON, f"Measures on {content.count(n, 'test review')}"
        ),
        "decided": content.task_name(decided) if decided else "",
        "decisions": decision_table(decided, decisions) if decided and decisions else None,
        "decision_finding": content.decision_finding(decisions) if decisions else "",
        "charts": {
            task: figures.task_charts(folder, "", task, measures["confusion"]) for task, measures in test.items()
        },
        "training": [figures.training_chart(folder, task, data.histories[task]) for task in data.tasks],
        "maps": figures.map_charts(folder, "", tested),
        "points": len(tested.ratings),
        "test_reviews": n,
        "baseline_note": content.baseline_note(data.metrics["baselines_trained_on"]),
        "neighbour_finding": content.neighbour_finding(tested.trained, tested.frozen, tested.ratings),
        "film_table": film_table(films, means["films"], data.tasks) if len(films) > 1 else None,
        "film_finding": content.film_finding(means),
        "film_count": len(films),
        "highlights": highlights(data.explanations["overall"]),
        "attends": _attends(data.explanations),
        "studies": studies,
        "splits": split_table(data.summary["splits"]),
        "split_chart": figures.split_chart(folder, data.summary["splits"]),
        "ngrams": content.ngram_kinds(data.record["settings"]["ngrams"]),
        **_doubt(data),
        "seconds": sum(stage["seconds"] for stage in data.record["stages"].values()),
    }


def _doubt(data: RunData) -> dict[str, Any]:
    """Return what the section on doubt shows."""
    metrics, first = data.metrics, data.tasks[0]
    believed = next((task for task in data.tasks if task in metrics["prediction_sets"]), None)
    return {
        "lead_finding": doubt.lead_finding(metrics, first),
        "intervals": doubt.interval_table(metrics, data.tasks),
        "set_finding": doubt.set_finding(metrics["prediction_sets"][believed]) if believed else "",
        "ceiling_finding": doubt.ceiling_finding(metrics["ceiling"]),
        "slices": doubt.slice_table(metrics["slices"], data.tasks),
        "behaviour": doubt.behaviour_table(metrics["behaviour"]),
        "behaviour_finding": doubt.behaviour_finding(metrics["behaviour"]),
        "suspects": data.suspects(SUSPECTS),
        "suspect_count": (metrics["suspect_labels"] or {"n": 0})["n"],
    }


def _attends(explanations: Mapping[str, Any]) -> bool:
    """Say whether any word of any review has a weight; heads without attention give none."""
    return any(word["weight"] > 0 for example in explanations["overall"] for word in example["words"])


def _render(context: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("xingping.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(zh=_chinese, duration=_duration, share=content.share, count=content.count)
    body = Markup(environment.get_template("body.html.j2").render(context))
    names = frozenset("".join(study.film for study in context["studies"]) + "星评")
    fonts = {
        "sans": _data_address(subset_woff2(frozenset(body) | ASCII)),
        "serif": _data_address(subset_woff2(names | ASCII, "serif")),
    }
    return environment.get_template("page.html.j2").render(
        body=body, fonts=fonts, title=context["headline"], source=context["summary"]["source"]["name"]
    )


def _data_address(font: bytes) -> Markup:
    return Markup("data:font/woff2;base64,") + base64.b64encode(font).decode()


def _chinese(text: str) -> Markup:
    """Mark the Chinese stretches of a text as Chinese."""
    parts = HAN_RUN.split(text)
    marked = [
        Markup('<span lang="zh-Hans">{}</span>').format(part) if odd % 2 else escape(part)
        for odd, part in enumerate(parts)
    ]
    return Markup("").join(marked)


def _duration(seconds: float) -> str:
    """Write a time in seconds, or minutes and seconds, or hours and minutes."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
