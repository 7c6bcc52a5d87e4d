"""What is written about a film: its words, by themselves, by star, and by what they are about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from xingping import plots
from xingping.aspects import AspectReport
from xingping.contrast import DistinctiveWord
from xingping.film_study import FilmStudy
from xingping.fonts import drawable
from xingping.language import _, join_list
from xingping.names import aspect_name
from xingping.report import interactive
from xingping.report.content import count, share
from xingping.report.figures import Chart, FigureFolder, short_title

__all__ = ["AspectSection", "FilmWords", "Step", "ladder", "make_aspects", "make_words"]

Number = TypeVar("Number", int, float)

PRAISE, BLAME = 5.0, 1.0
"""Stars whose colours the words of praise and of blame have."""

LADDER = 12
"""Words of each star that are shown."""


@dataclass(frozen=True)
class Step:
    """A word in a list, the number behind it, the length of its bar (0..1), and more about it."""

    word: str
    number: str
    part: float
    note: str


@dataclass(frozen=True)
class FilmWords:
    """What the template needs of a film's words.

    Attributes
    ----------
    tfidf
        None where no telling word is left.
    clouds
        Of all reviews, of praise and of blame, as far as there are words.
    frequent, distinctive
        By star.
    """

    tfidf: Chart | None
    clouds: Sequence[Chart]
    frequent: Mapping[int, Sequence[Step]]
    distinctive: Mapping[int, Sequence[Step]]


@dataclass(frozen=True)
class AspectSection:
    """What is said of story, acting and the rest.

    Attributes
    ----------
    chart
        Mean stars of those who mention each.
    reports
        Name of each aspect, a sentence, and the report.
    """

    chart: Chart
    reports: Sequence[tuple[str, str, AspectReport]]


def make_words(study: FilmStudy, slug: str, folder: FigureFolder) -> FilmWords:
    """Draw the words of a film; the slug goes before the names of its figures."""
    title = short_title(study.film)
    frequent = {star: _drawable(list(words)) for star, words in study.frequent.items()}
    if any(frequent.values()):
        name = _("{film}: frequent words by star").format(film=title)
        folder.add(f"{slug}-words-by-star", plots.frequent_words(frequent, name), _("Bars of frequent words."), "")
    distinctive = {
        star: _drawable([(word.word, word.z) for word in words]) for star, words in study.distinctive.items()
    }
    if any(distinctive.values()):
        name = _("{film}: words that set each star apart").format(film=title)
        figure = plots.distinctive_words(distinctive, name)
        folder.add(f"{slug}-distinctive-words", figure, _("Bars of distinctive words."), "")
    return FilmWords(
        tfidf=_tfidf(study, slug, folder),
        clouds=_clouds(study, slug, folder),
        frequent={star: _counted(words[:LADDER]) for star, words in frequent.items() if words},
        distinctive={star: ladder(words[:LADDER]) for star, words in study.distinctive.items() if words},
    )


def _tfidf(study: FilmStudy, slug: str, folder: FigureFolder) -> Chart | None:
    top = _drawable(list(study.tfidf))
    if not top:
        return None
    title = _("{film}: top {n} by TF-IDF").format(film=short_title(study.film), n=len(top))
    caption = _("Highest by TF-IDF: {words}.").format(words=join_list([word for word, _value in top[:3]]))
    what = _("Bars of the words with the highest TF-IDF.")
    live = interactive.ranked(top, "TF-IDF", digits=4)
    return folder.add(f"{slug}-tfidf", plots.tfidf_bars(top, title), what, caption, live)


def _clouds(study: FilmStudy, slug: str, folder: FigureFolder) -> list[Chart]:
    every = [word for word in study.cloud if drawable(word.word) == word.word]
    charts = []
    if every:
        figure = plots.word_cloud({word.word: word.count for word in every}, {word.word: word.mean for word in every})
        caption = _(
            "The most frequent word is {word}, used {times}. The colour of a word is the mean star of the reviews that "
            "use it, from red (1) over grey (3) to blue (5)."
        ).format(word=every[0].word, times=count(every[0].count, "time"))
        charts.append(folder.add(f"{slug}-wordcloud", figure, _("Cloud of frequent words."), caption))
    sides = {
        "praise": (study.praise, PRAISE, _("Words of praise: they set reviews of four and five stars apart.")),
        "blame": (study.blame, BLAME, _("Words of blame: they set reviews of one and two stars apart.")),
    }
    for name, (words, star, caption) in sides.items():
        shown = dict(_drawable([(word.word, max(1, round(10 * word.z))) for word in words]))
        if shown:
            figure = plots.word_cloud(shown, dict.fromkeys(shown, star))
            charts.append(folder.add(f"{slug}-wordcloud-{name}", figure, _("Cloud of distinctive words."), caption))
    return charts


def make_aspects(study: FilmStudy, slug: str, folder: FigureFolder) -> AspectSection | None:
    """Draw what is said of each aspect; None where no review speaks of any."""
    mentioned = [aspect for aspect in study.aspects if aspect.mean is not None]
    if not mentioned or study.mean is None:
        return None
    rows = {
        aspect_name(aspect.key): {
            "n": aspect.n, "value": aspect.mean.value, "low": aspect.mean.low, "high": aspect.mean.high
        }
        for aspect in mentioned if aspect.mean is not None
    }  # fmt: skip
    title = _("{film}: stars of those who mention it").format(film=short_title(study.film))
    live = interactive.dots(
        [(name, True, [row]) for name, row in rows.items()],
        [_("mean rating")],
        percent=False,
        notes=[[_aspect_note(aspect)] for aspect in mentioned],
        reference=(study.mean.value, _("all")),
    )
    lowest = min(mentioned, key=lambda aspect: aspect.mean.value if aspect.mean else 0.0)
    highest = max(mentioned, key=lambda aspect: aspect.mean.value if aspect.mean else 0.0)
    caption = _("Those who write of {high} rate the film highest, those who write of {low} lowest.").format(
        high=aspect_name(highest.key), low=aspect_name(lowest.key)
    )
    what = _("Dots of the mean stars of reviews that mention each aspect.")
    chart = folder.add(f"{slug}-aspects", plots.aspect_ratings(rows, study.mean.value, title), what, caption, live)
    return AspectSection(chart, [(aspect_name(each.key), _aspect_note(each), each) for each in mentioned])


def _aspect_note(aspect: AspectReport) -> str:
    return _("{reviews} mention it ({share}); {praise} of these give four or five stars, {blame} one or two.").format(
        reviews=count(aspect.n, "review"),
        share=share(aspect.share),
        praise=share(aspect.praise or 0.0, 0),
        blame=share(aspect.blame or 0.0, 0),
    )


def _counted(words: Sequence[tuple[str, int]]) -> list[Step]:
    return [Step(word, f"{n:,}", n / words[0][1], count(n, "time")) for word, n in words]


def ladder(words: Sequence[DistinctiveWord]) -> list[Step]:
    """Return distinctive words as a list with bars by their z-scores."""
    return [
        Step(
            word.word,
            f"{word.count:,}",
            word.z / words[0].z,
            _("z {z}; in {count} of these reviews, in {other} of the others").format(
                z=f"{word.z:.1f}", count=f"{word.count:,}", other=f"{word.other:,}"
            ),
        )
        for word in words
    ]


def _drawable(words: Sequence[tuple[str, Number]]) -> list[tuple[str, Number]]:
    """Leave out words that no font at hand can draw."""
    return [(word, value) for word, value in words if drawable(word) == word]
