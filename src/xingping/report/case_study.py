"""The case study of one film: how it is rated and how well that is told from texts, its words, its reviews."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from xingping import plots
from xingping.film_study import FilmReviews, FilmStudy, ShownReview, study_film
from xingping.language import _, join_sentences
from xingping.report import content, figures, interactive, notes
from xingping.report.figures import Chart, FigureFolder, Maps, short_title
from xingping.report.film_words import AspectSection, FilmWords, make_aspects, make_words
from xingping.report.highlights import Highlight, highlights
from xingping.report.opening import film_verdict
from xingping.report.published import PUBLISHED_FILM, PUBLISHED_ON
from xingping.report.run_data import RunData
from xingping.report.tabular import Table, metrics_table
from xingping.report.versus import Versus, make_versus

__all__ = ["CaseStudy", "make_case_study", "make_unrated_study"]


@dataclass(frozen=True)
class CaseStudy:
    """What the template needs of one film.

    Attributes
    ----------
    slug
        `film-01`, `film-02` …: safe for files and ids, whatever the film is called.
    verdict, overview, caution
        Sentences; `caution` is empty where there are test reviews enough.
    study
        The film as data.
    metrics, comparison, charts
        Of the film's test reviews; empty where there are none.
    maps, maps_note
        The film on the maps of all reviews.
    timeline
        None where reviews have no dates.
    words, aspects
        Of all its reviews.
    highlights
        By true star.
    versus
        The comparison with another film, where one was asked for.
    """

    film: str
    slug: str
    verdict: str
    overview: str
    caution: str
    study: FilmStudy
    metrics: Table | None
    comparison: str
    charts: Mapping[str, Mapping[str, Chart]]
    maps: Maps | None
    maps_note: str
    timeline: Chart | None
    words: FilmWords
    aspects: AspectSection | None
    highlights: Mapping[int, Sequence[Highlight]]
    versus: Versus | None

    @property
    def lists(self) -> Sequence[tuple[str, str, Sequence[ShownReview]]]:
        """The heading, an explanation, and the reviews of each list that has any."""
        typical = [review for star in range(5, 0, -1) for review in self.study.typical.get(star, ())]
        lists = [
            (
                _("Typical reviews"),
                _("Nearest to what the reviews of their star have in common, and not alike."),
                typical,
            ),
            (
                _("Where model and author disagree most"),
                _("Of the reviews that the model was not trained on."),
                self.study.disagreements,
            ),
            (_("Most liked"), _("By the likes of other readers."), self.study.most_liked),
        ]
        return [(heading, note, reviews) for heading, note, reviews in lists if reviews]


def make_case_study(
    data: RunData,
    film: str,
    slug: str,
    folder: FigureFolder,
    stopwords: Set[str],
    *,
    number: int | None = None,
    versus: str | None = None,
) -> CaseStudy:
    """Make the case study of a film of the run.

    Parameters
    ----------
    data
        The run.
    film
        One of its films.
    slug
        Goes before the names of its figures.
    folder
        Where the figures go.
    stopwords
        Words that do not count.
    number
        Of the film in `figures.map_points`; None where the map does not name it.
    versus
        A film of the run to compare it with.
    """
    measured = data.metrics["films"].get(film, {"n": 0, "test": {}, "baselines": {}})
    test = {task: measured["test"][task] for task in data.tasks if task in measured["test"]}
    baselines, n = content.best_first(measured["baselines"]), measured["n"]
    reviews = data.film_reviews(film)
    study = study_film(reviews, stopwords)
    maps, maps_note = _maps(data, film, slug, folder, number)
    published = PUBLISHED_FILM.get(film, {})
    means = data.metrics["film_means"][data.tasks[0]]["films"]
    return CaseStudy(
        film=film,
        slug=slug,
        verdict=film_verdict(film, means.get(film), study.n),
        overview=_overview(study),
        caution=_caution(n),
        study=study,
        metrics=metrics_table(test, baselines, published, PUBLISHED_ON, notes.measured_on(n)) if n else None,
        comparison=content.comparison(test, baselines) if n else "",
        charts={
            task: figures.task_charts(folder, f"{slug}-", task, measures["confusion"], film)
            for task, measures in test.items()
        },
        maps=maps,
        maps_note=maps_note,
        timeline=_timeline(study, slug, folder),
        words=make_words(study, slug, folder),
        aspects=make_aspects(study, slug, folder),
        highlights=highlights(data.explanations["films"].get(film, [])),
        versus=_versus(data, study, reviews, versus, slug, folder, stopwords),
    )


def make_unrated_study(
    reviews: FilmReviews, slug: str, folder: FigureFolder, stopwords: Set[str], verdict: str
) -> CaseStudy:
    """Make the case study of reviews that a model rated, of which no run knows: without measures and maps.

    Parameters
    ----------
    reviews
        With expected ratings; stars are used where there are any.
    slug, folder, stopwords
        As for `make_case_study`.
    verdict
        What the model makes of the film, in a sentence.
    """
    study = study_film(reviews, stopwords)
    return CaseStudy(
        film=reviews.film,
        slug=slug,
        verdict=verdict,
        overview=_overview(study),
        caution=_("No author's stars are used here: all that follows is told by the model's ratings.")
        if study.source == "model"
        else "",
        study=study,
        metrics=None,
        comparison="",
        charts={},
        maps=None,
        maps_note="",
        timeline=_timeline(study, slug, folder),
        words=make_words(study, slug, folder),
        aspects=make_aspects(study, slug, folder),
        highlights={},
        versus=None,
    )


def _versus(
    data: RunData,
    study: FilmStudy,
    reviews: FilmReviews,
    versus: str | None,
    slug: str,
    folder: FigureFolder,
    stopwords: Set[str],
) -> Versus | None:
    if versus is None or versus == study.film:
        return None
    others = data.film_reviews(versus)
    return make_versus(study, study_film(others, stopwords), (reviews, others), slug, folder, stopwords)


def _overview(study: FilmStudy) -> str:
    total = max(study.n, 1)
    low, high = (sum(study.stars[star - 1] for star in group) / total for group in ((1, 2), (4, 5)))
    if study.source == "model":
        message = _("{reviews}, which the model rates {mean} stars on average: {high} four or five, {low} one or two.")
    else:
        message = _("{reviews}, {mean} stars on average: {high} give four or five stars, {low} one or two.")
    return message.format(
        reviews=content.count(study.n, "review"),
        mean="–" if study.mean is None else f"{study.mean.value:.2f}",
        high=content.share(high, 0),
        low=content.share(low, 0),
    )


def _caution(n: int) -> str:
    if n == 0:
        return _("None of this film's reviews fell into the test split, so there is nothing to measure the models by.")
    if n < content.FEW_REVIEWS:
        few = _("Only {reviews}: figures on so few are rough.").format(reviews=content.count(n, "test review"))
        return join_sentences(few, content.margin(n))
    return content.margin(n)


def _maps(data: RunData, film: str, slug: str, folder: FigureFolder, number: int | None) -> tuple[Maps | None, str]:
    among = data.projection.film == film
    if number is None or not among.any():
        return None, ""
    maps = figures.map_charts(folder, f"{slug}-", data.projection, among=among, film=film, number=number)
    shown, tested = int(among.sum()), int((among & data.projection.is_test).sum())
    note = _("{reviews} of the film, in colour, among those of all films.").format(
        reviews=content.count(shown, "review")
    )
    if tested < shown:
        rest = _(
            "Of these, {tested} are from the test split; the others are from the splits that the head was fitted with, "
            "so its map flatters them."
        ).format(tested=f"{tested:,}")
        note = join_sentences(note, rest)
    return maps, note


def _timeline(study: FilmStudy, slug: str, folder: FigureFolder) -> Chart | None:
    periods = study.timeline.periods
    if len(periods) < 2:
        return None
    nan = float("nan")
    means = [
        (nan, nan, nan) if each.mean is None else (each.mean.value, each.mean.low, each.mean.high) for each in periods
    ]
    figure = plots.ratings_over_time(
        [each.name for each in periods],
        [each.n for each in periods],
        [mean for mean, _low, _high in means],
        _("{film}: ratings over time").format(film=short_title(study.film)),
        low=[low for _mean, low, _high in means],
        high=[high for _mean, _low, high in means],
    )
    bins: list[dict[str, Any]] = [
        {"label": each.name, "n": each.n, "mean": None, "low": None, "high": None}
        if each.mean is None
        else {"label": each.name, "n": each.n, "mean": each.mean.value, "low": each.mean.low, "high": each.mean.high}
        for each in periods
    ]
    most = max(periods, key=lambda each: each.n)
    caption = _("Most reviews are of {period}: {n}.").format(period=most.name, n=f"{most.n:,}")
    if study.timeline.undated:
        undated = _("{n} have no usable date.").format(n=content.count(study.timeline.undated, "review"))
        caption = join_sentences(caption, undated)
    what = _("Lines of the mean star, and bars of the number of reviews, over time.")
    return folder.add(f"{slug}-timeline", figure, what, caption, interactive.timeline(bins))
