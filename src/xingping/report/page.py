"""The report of a run: its page, the case studies of films in it, and a page for each film where all are asked for."""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xingping.artifacts import atomic_path
from xingping.film_study import FilmReviews
from xingping.names import task_name
from xingping.report import content, doubt, figures, notes
from xingping.report.case_study import CaseStudy, make_case_study, make_unrated_study
from xingping.report.figures import FigureFolder
from xingping.report.films import film_index, find_films
from xingping.report.highlights import highlights, shade_measures
from xingping.report.opening import key_figures
from xingping.report.published import PUBLISHED, PUBLISHED_ON
from xingping.report.rendering import SharedFiles, duration, render
from xingping.report.run_data import RunData
from xingping.report.tabular import decision_table, film_table, metrics_table, split_table
from xingping.report.trust import faithfulness_section, moving_words_section, reliability_chart
from xingping.segmentation import load_stopwords

__all__ = ["write_report", "write_study"]

SUSPECTS = 8
"""Reviews shown whose star is suspect."""

MAP_FILMS = 500
"""Films, the most reviewed first, that the points of the map name."""

FILM_PAGES = "films"


def write_report(
    run_path: Path, movies: Sequence[str] = (), *, all_movies: bool = False, versus: str | None = None
) -> Path:
    """Write the report of an evaluated run: `report/index.html`, and its figures beside it.

    The page holds all it needs, fonts and charts too, and loads nothing; those of single films share what they need in
    a folder beside them. Only artefacts of the run are read; no model is run.

    Parameters
    ----------
    run_path
        The run directory.
    movies
        Films to add a case study of.
    all_movies
        Whether to write a page for each film, and an index of them, in `report/films/`.
    versus
        Film to compare each of `movies` with.

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
    counts = {film: known["reviews"] for film, known in data.summary["films"].items()}
    wanted = find_films(counts, movies)
    other = find_films(counts, [versus])[0] if versus is not None else None
    stopwords = data.record["settings"]["segmentation"]["stopwords"]
    stopwords = load_stopwords(Path(stopwords) if stopwords else None)
    folder = FigureFolder(run_path / "report" / "figures")
    films = sorted((film for film in counts if film), key=lambda film: (-counts[film], film))
    site = _Site(data, folder, stopwords, films[:MAP_FILMS], other)
    studies = [site.study(film, f"film-{number:02d}", folder) for number, film in enumerate(wanted, start=1)]
    page = run_path / "report" / "index.html"
    title = content.headline(data.metrics["test"][data.tasks[0]])
    _write(page, "body.html.j2", title, site.context(studies, all_movies))
    film_pages = page.parent / FILM_PAGES
    written = site.write_film_pages(film_pages, films) if all_movies else set()
    _remove_stale(film_pages, written)
    folder.remove_stale()
    return page


def _remove_stale(folder: Path, written: Set[Path]) -> None:
    """Delete the pages of films that an earlier report had and this one has not."""
    for pattern in ("film-[0-9]*.html", "index.html", f"{SharedFiles.FOLDER}/*"):
        for path in folder.glob(pattern):
            if path not in written:
                path.unlink()
    for empty in (folder / SharedFiles.FOLDER, folder):
        with suppress(OSError):
            empty.rmdir()


def write_study(
    page: Path, reviews: FilmReviews, stopwords: frozenset[str], verdict: str, source: str, versions: Mapping[str, str]
) -> None:
    """Write the case study of reviews that a model rated, and its figures in a folder beside it.

    Parameters
    ----------
    page
        The file to write.
    reviews
        With expected ratings.
    stopwords
        Words that do not count.
    verdict
        What the model makes of them, in a sentence.
    source
        Name of the file that they are from.
    versions
        Of what rated them.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    folder = FigureFolder(page.parent / "figures")
    study = make_unrated_study(reviews, "film-01", folder, stopwords, verdict)
    context = {"study": study, "versions": versions, "source": source}
    _write(page, "study_page.html.j2", reviews.film, context)
    folder.remove_stale()


@dataclass(frozen=True)
class _Site:
    """What all pages of a report share.

    Attributes
    ----------
    data, folder, stopwords
        The run, where figures go, and words that do not count.
    map_films
        Films that the map names.
    versus
        Film to compare others with, or None.
    """

    data: RunData
    folder: FigureFolder
    stopwords: frozenset[str]
    map_films: Sequence[str]
    versus: str | None

    def study(self, film: str, slug: str, folder: FigureFolder) -> CaseStudy:
        """Make the case study of a film; the slug goes before its figures' names."""
        number = self.map_films.index(film) if film in self.map_films else None
        return make_case_study(self.data, film, slug, folder, self.stopwords, number=number, versus=self.versus)

    def write_film_pages(self, folder: Path, films: Sequence[str]) -> set[Path]:
        """Write a page for each film, named by numbers alone, the index, and what they share; return the files."""
        shared, known = SharedFiles(self.map_points()), {"record": self.data.record, "summary": self.data.summary}
        linked = self.folder.linked(f"../{self.folder.path.name}")
        entries = []
        for number, film in enumerate(films, start=1):
            study = self.study(film, f"film-p{number:03d}", linked)
            name = f"film-{number:03d}.html"
            _write(folder / name, "film_page.html.j2", film, {"study": study, **known}, shared)
            entries.append((name, film))
        task = self.data.tasks[0]
        means = self.data.metrics["film_means"][task]
        index = film_index(entries, self.data.summary["films"], self.data.metrics, task)
        title = notes.film_index_title(len(films))
        note, caption = notes.film_index_note(content.film_finding(means)), notes.film_index_caption()
        said = {"title": title, "standfirst": note, "caption": caption}
        _write(folder / "index.html", "film_index.html.j2", title, {"index": index, **said, **known}, shared)
        return {folder / name for name in ("index.html", *dict(entries))} | shared.write(folder)

    def map_points(self) -> str:
        """Return the points of all maps, as JSON."""
        return figures.map_points(self.data.projection, self.map_films)

    def context(self, studies: Sequence[CaseStudy], film_pages: bool) -> dict[str, Any]:
        """Return all that the template of the run's page shows."""
        data, folder, record = self.data, self.folder, self.data.record
        test = {task: data.metrics["test"][task] for task in data.tasks}
        baselines, films = content.best_first(data.metrics["baselines"]), data.metrics["films"]
        n = test[data.tasks[0]]["n"]
        shares = content.best_shares(data.metrics, test)
        decided = next((task for task in data.tasks if "decisions" in test[task]), None)
        decisions = test[decided]["decisions"] if decided else None
        means = data.metrics["film_means"][data.tasks[0]]
        tested = data.projection.take(data.projection.is_test)
        encoder = record.get("tuned_encoder") or record["encoder"]
        table = film_table(films, means["films"], data.tasks) if len(films) > 1 else None
        maps = figures.map_charts(folder, "", tested)
        seconds = sum(stage["seconds"] for stage in record["stages"].values())
        return {
            "record": record,
            "settings": record["settings"],
            "summary": data.summary,
            "headline": content.headline(shares[data.tasks[0]]),
            "standfirst": content.standfirst(shares),
            "key_figures": key_figures(data.metrics, data.tasks[0]),
            "comparison": content.comparison(shares, content.best_shares(data.metrics, baselines)),
            "margin": content.margin(n),
            "films_page": f"{FILM_PAGES}/index.html" if film_pages else "",
            "comparison_chart": figures.comparison_chart(
                folder, "model-comparison", test, baselines, data.metrics["intervals"]["reviews"]
            ),
            "metrics": metrics_table(test, baselines, PUBLISHED, PUBLISHED_ON, notes.measured_on(n)),
            "decided": task_name(decided) if decided else "",
            "decisions": decision_table(decided, decisions) if decided and decisions else None,
            "decision_finding": content.decision_finding(decisions) if decisions else "",
            "charts": {
                task: figures.task_charts(folder, "", task, measures["confusion"]) for task, measures in test.items()
            },
            "training": [figures.training_chart(folder, task, data.histories[task]) for task in data.tasks],
            "maps": maps,
            "map_points": self.map_points() if maps or any(study.maps for study in studies) else "",
            "map_note": notes.map_note(len(tested.ratings), n),
            "baseline_note": content.baseline_note(data.metrics["baselines_trained_on"]),
            "neighbour_finding": content.neighbour_finding(tested.trained, tested.frozen, tested.ratings),
            "film_table": table,
            "film_note": notes.film_note(len(table.groups[0].rows), len(films)) if table else "",
            "film_finding": content.film_finding(means),
            **_words(data, folder),
            "studies": studies,
            "data_note": notes.data_note(data.summary),
            "reject_reasons": notes.reject_reasons(data.summary),
            "split_note": notes.split_note(data.summary),
            "splits": split_table(data.summary["splits"]),
            "split_chart": figures.split_chart(folder, data.summary["splits"]),
            **_doubt(data, folder),
            "method_note": notes.method_note(encoder, record["settings"]),
            "facts": notes.facts(record, data.summary, encoder, duration(seconds)),
        }


def _words(data: RunData, folder: FigureFolder) -> dict[str, Any]:
    """Return what the section on words shows."""
    shown = data.explanations["overall"]
    measures = shade_measures(shown)
    return {
        "highlights": highlights(shown),
        "shade_measures": measures,
        "attends": "attention" in measures,
        "highlight_note": notes.highlight_note("attention" in measures),
        "faithfulness": faithfulness_section(data.metrics.get("faithfulness"), folder),
        "moving_words": moving_words_section(data.metrics.get("moving_words"), folder),
    }


def _doubt(data: RunData, folder: FigureFolder) -> dict[str, Any]:
    """Return what the section on doubt shows."""
    metrics, first = data.metrics, data.tasks[0]
    believed = next((task for task in data.tasks if task in metrics["prediction_sets"]), None)
    return {
        "lead_finding": doubt.lead_finding(metrics, first),
        "intervals": doubt.interval_table(metrics, data.tasks),
        "reliability": reliability_chart(metrics["test"], folder),
        "set_finding": doubt.set_finding(metrics["prediction_sets"][believed]) if believed else "",
        "ceiling_finding": doubt.ceiling_finding(metrics["ceiling"]),
        "slices": doubt.slice_table(metrics["slices"], data.tasks),
        "behaviour": doubt.behaviour_table(metrics["behaviour"]),
        "behaviour_finding": doubt.behaviour_finding(metrics["behaviour"]),
        "suspects": data.suspects(SUSPECTS),
        "suspect_finding": notes.suspect_finding(metrics["suspect_labels"]),
    }


def _write(
    page: Path, template: str, title: str, context: Mapping[str, Any], shared: SharedFiles | None = None
) -> None:
    html = render(template, title, context, shared)
    with atomic_path(page) as path:
        path.write_text(html, encoding="utf-8")
