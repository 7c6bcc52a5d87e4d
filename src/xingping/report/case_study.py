"""The case study of one film: its figures, its words, its reviews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from xingping import plots
from xingping.fonts import drawable
from xingping.report import content, figures
from xingping.report.figures import Chart, FigureFolder
from xingping.report.highlights import Highlight, highlights
from xingping.report.published import PUBLISHED_FILM, PUBLISHED_ON
from xingping.report.run_data import FilmReviews, RunData
from xingping.report.tabular import Table, metrics_table
from xingping.vocabulary import frequent_words_by_rating, mean_rating_by_word, tfidf_top, word_counts

__all__ = ["CaseStudy", "make_case_study"]

WORDS_IN_CLOUD = 150

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class CaseStudy:
    """What the template needs of one film.

    Attributes
    ----------
    slug
        `film-01`, `film-02` …: safe for files and ids, whatever the film is called.
    overview, caution
        Sentences; `caution` is empty where there are test reviews enough.
    metrics, comparison, charts
        Of the film's test reviews; empty where there are none.
    maps, maps_note
        The film on the maps of all reviews.
    tfidf, cloud
        Of all its reviews; None where they hold no telling word.
    words
        By star, words, their counts, and the counts relative to the largest.
    highlights
        By true star.
    """

    film: str
    slug: str
    overview: str
    caution: str
    metrics: Table | None
    comparison: str
    charts: Mapping[str, Mapping[str, Chart]]
    maps: Sequence[Chart]
    maps_note: str
    tfidf: Chart | None
    cloud: Chart | None
    words: Mapping[int, Sequence[tuple[str, int, float]]]
    highlights: Mapping[int, Sequence[Highlight]]


def make_case_study(
    data: RunData, film: str, number: int, folder: FigureFolder, stopwords: frozenset[str]
) -> CaseStudy:
    """Make the case study of a film of the run.

    Parameters
    ----------
    data
        The run.
    film
        One of its films.
    number
        Counts the case studies from 1.
    folder
        Where the figures go.
    stopwords
        Words that do not count.
    """
    slug = f"film-{number:02d}"
    measured = data.metrics["films"].get(film, {"n": 0, "test": {}, "baselines": {}})
    known = data.summary["films"][film]
    test, baselines = _in_order(measured["test"], data.tasks), content.best_first(measured["baselines"])
    n = measured["n"]
    metrics = None
    if n:
        metrics = metrics_table(
            test,
            baselines,
            PUBLISHED_FILM.get(film, {}),
            PUBLISHED_ON,
            f"Measures on the film's {content.count(n, 'test review')}",
        )
    maps, maps_note = _maps(data, film, slug, folder)
    reviews = data.film_reviews(film)
    tfidf, cloud = _word_charts(reviews, film, slug, folder, stopwords)
    return CaseStudy(
        film=film,
        slug=slug,
        overview=_overview(known),
        caution=_caution(n),
        metrics=metrics,
        comparison=content.comparison(test, baselines) if n else "",
        charts={
            task: figures.task_charts(folder, f"{slug}-", task, measures["confusion"], film)
            for task, measures in test.items()
        },
        maps=maps,
        maps_note=maps_note,
        tfidf=tfidf,
        cloud=cloud,
        words=_words_by_star(reviews, film, slug, folder, stopwords),
        highlights=highlights(data.explanations["films"].get(film, [])),
    )


def _in_order(test: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, Any]:
    return {task: test[task] for task in tasks if task in test}


def _overview(known: Mapping[str, Any]) -> str:
    stars, total = known["stars"], max(known["reviews"], 1)
    low, high = (sum(stars[str(star)] for star in group) / total for group in ((1, 2), (4, 5)))
    return (
        f"{content.count(known['reviews'], 'review')}, {known['mean_rating']:.2f} stars on average: "
        f"{content.share(high, 0)} give four or five stars, {content.share(low, 0)} one or two."
    )


def _caution(n: int) -> str:
    if n == 0:
        return "None of this film's reviews fell into the test split, so there is nothing to measure the models by."
    if n < content.FEW_REVIEWS:
        return f"Only {content.count(n, 'test review')}: figures on so few are rough. {content.margin(n)}"
    return content.margin(n)


def _maps(data: RunData, film: str, slug: str, folder: FigureFolder) -> tuple[list[Chart], str]:
    among = data.projection.film == film
    if not among.any():
        return [], ""
    charts = figures.map_charts(folder, f"{slug}-", data.projection, among=among, film=film)
    shown, tested = int(among.sum()), int((among & data.projection.is_test).sum())
    note = f"{content.count(shown, 'review')} of the film, in colour, among those of all films."
    if tested < shown:
        rest = "the others are from the splits that the head was fitted with, so its map flatters them"
        note = f"{note} Of these, {tested:,} are from the test split; {rest}."
    return charts, note


def _word_charts(
    reviews: FilmReviews, film: str, slug: str, folder: FigureFolder, stopwords: frozenset[str]
) -> tuple[Chart | None, Chart | None]:
    top = _drawable(tfidf_top(reviews.words, stopwords))
    counts = dict(_drawable(list(word_counts(reviews.words, stopwords).items())[:WORDS_IN_CLOUD]))
    if not top or not counts:
        return None, None
    first = ", ".join(word for word, _ in top[:3])
    tfidf = folder.add(
        f"{slug}-tfidf",
        plots.tfidf_bars(top, f"{figures.short_title(film)}: top {len(top)} by TF-IDF"),
        f"Bars of the {len(top)} words with the highest TF-IDF",
        f"Highest by TF-IDF: {first}.",
    )
    means = mean_rating_by_word(reviews.words, reviews.stars.tolist(), counts)
    most, times = next(iter(counts.items()))
    cloud = folder.add(
        f"{slug}-wordcloud",
        plots.word_cloud(counts, means),
        "Cloud of frequent words",
        f"The most frequent word is {most}, used {content.count(times, 'time')}. The colour of a word is the mean "
        "star of the reviews that use it, from red (1) over grey (3) to blue (5).",
    )
    return tfidf, cloud


def _words_by_star(
    reviews: FilmReviews, film: str, slug: str, folder: FigureFolder, stopwords: frozenset[str]
) -> dict[int, list[tuple[str, int, float]]]:
    by_star = frequent_words_by_rating(reviews.words, reviews.stars.tolist(), stopwords)
    if not any(by_star.values()):
        return {}
    shown = {star: _drawable(words) for star, words in by_star.items()}
    title = f"{figures.short_title(film)}: frequent words by star"
    folder.add(f"{slug}-words-by-star", plots.frequent_words(shown, title), "Bars of frequent words", "")
    return {
        star: [(word, number, number / words[0][1]) for word, number in words]
        for star, words in by_star.items()
        if words
    }


def _drawable(words: Sequence[tuple[str, Number]]) -> list[tuple[str, Number]]:
    """Leave out words that no font at hand can draw."""
    return [(word, value) for word, value in words if drawable(word) == word]
