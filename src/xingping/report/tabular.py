"""The tables of the report: text in cells, ready for the template."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xingping.language import N_, _
from xingping.names import baseline_name, exact_stars, rule_name, sentence_case, split_name, task_label, task_name
from xingping.report.content import Measures, share, with_interval

__all__ = ["MISSING", "Column", "Group", "Row", "Table", "decision_table", "film_table", "metrics_table", "split_table"]

MOST_FILMS = 30
MISSING = "–"


@dataclass(frozen=True)
class Column:
    """A column's short heading and what it means; `text` where its cells are prose and not figures."""

    heading: str
    meaning: str = ""
    text: bool = False


@dataclass(frozen=True)
class Row:
    """A row's heading and its cells; `best` holds the columns in which it is unbeaten."""

    heading: str
    cells: list[str]
    best: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Group:
    """Rows under a common heading, which may be empty."""

    heading: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    """A table with groups of rows.

    Attributes
    ----------
    caption
        What the table shows.
    corner
        Heading of the column of row headings.
    columns
        The other columns.
    groups
        The rows.
    """

    caption: str
    corner: str
    columns: list[Column]
    groups: list[Group] = field(default_factory=list)


def _stars(value: float) -> str:
    return f"{value:.3f}"


@dataclass(frozen=True)
class _Measure:
    key: str
    heading: str
    meaning: str
    write: Callable[[float], str]
    higher_is_better: bool

    @property
    def column(self) -> Column:
        return Column(_(self.heading), _(self.meaning))


MEASURES = (
    _Measure("accuracy", N_("Exact"), N_("Share of reviews given their exact star"), share, True),
    _Measure("accuracy_within_one", N_("Within one"), N_("Share at most one star off"), share, True),
    _Measure("mae", N_("MAE"), N_("Mean absolute error in stars"), _stars, False),
    _Measure("rmse", N_("RMSE"), N_("Root mean squared error in stars"), _stars, False),
    _Measure("macro_f1", N_("Macro F1"), N_("Mean F1 of the stars"), _stars, True),
    _Measure("quadratic_weighted_kappa", N_("Kappa"), N_("Cohen's kappa, quadratic weights"), _stars, True),
    _Measure("nll", N_("NLL"), N_("Mean negative log-likelihood in nats"), _stars, False),
    _Measure("ece", N_("ECE"), N_("Expected calibration error"), _stars, False),
)
"""Headings and meanings are messages, not yet looked up."""

SIZES = {
    "reviews": N_("Reviews"),
    "distinct_texts": N_("Distinct texts"),
    "words": N_("Words"),
    "characters": N_("Characters"),
}


def metrics_table(
    test: Mapping[str, Measures],
    baselines: Mapping[str, Measures],
    published: Mapping[str, Measures],
    published_on: str,
    caption: str,
) -> Table:
    """Return the heads, the baselines and what others published, in three groups.

    Only heads and baselines, which rated the same reviews, compete for the best mark. `published_on` and the names of
    `published` are messages.
    """
    ours = {task_name(task): measures for task, measures in test.items()}
    rivals = {baseline_name(key): measures for key, measures in baselines.items()}
    others = {_(name): measures for name, measures in published.items()}
    best = _best([*ours.values(), *rivals.values()], MEASURES)
    groups = [
        Group(_("This run"), _rows(ours, MEASURES, best)),
        Group(_("Baselines, same reviews"), _rows(rivals, MEASURES, best)),
        Group(_(published_on), _rows(others, MEASURES, {})),
    ]
    columns = [measure.column for measure in MEASURES]
    return Table(caption, _("Model"), columns, [group for group in groups if group.rows])


def decision_table(task: str, decisions: Mapping[str, Measures]) -> Table:
    """Return the measures of the same probabilities by each decision rule."""
    measures = MEASURES[:6]
    named = {rule_name(rule): values for rule, values in decisions.items()}
    rows = _rows(named, measures, _best(list(decisions.values()), measures))
    caption = _("The {model}'s probabilities, turned into one star in four ways").format(model=task_name(task))
    return Table(caption, _("Rule"), [measure.column for measure in measures], [Group("", rows)])


def split_table(splits: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the size of each split and the shares of its stars."""
    columns = [Column(_(heading)) for heading in SIZES.values()]
    meaning = _("Share of {stars}")
    columns += [Column(f"{star} ★", meaning.format(stars=exact_stars(star))) for star in range(1, 6)]
    rows = []
    for split, part in splits.items():
        stars = [part["stars"][str(star)] / max(part["reviews"], 1) for star in range(1, 6)]
        sizes = [f"{part[size]:,}" for size in SIZES]
        rows.append(Row(split_name(split), [*sizes, *map(share, stars)]))
    return Table(_("Size of the splits, and the shares of their stars"), _("Split"), columns, [Group("", rows)])


def film_table(
    films: Mapping[str, Mapping[str, Any]], means: Mapping[str, Mapping[str, float]], tasks: Sequence[str]
) -> Table:
    """Return the mean rating of the films with most test reviews, and both shares of each head and the best baseline.

    Parameters
    ----------
    films
        `films` of `metrics.json`.
    means
        `film_means` of the first task.
    tasks
        Which.
    """
    most = sorted(films, key=lambda film: (-films[film]["n"], film))[:MOST_FILMS]
    rows = []
    for film in most:
        measured = films[film]
        contenders = [[measured["test"][task]] if task in measured["test"] else [] for task in tasks]
        contenders.append(list(measured["baselines"].values()))
        mean = means[film]
        predicted = with_interval(*(f"{mean[name]:.2f}" for name in ("predicted", "low", "high")))
        cells = [f"{measured['n']:,}", f"{mean['true']:.2f}", predicted]
        rows.append(Row(film, [*cells, *map(_both_shares, contenders)]))
    columns = [
        Column(_("Test reviews")),
        Column(_("Mean"), _("Mean rating of the test reviews, in stars")),
        Column(_("Predicted"), _("The same from the texts alone, with its 95% interval")),
        *(Column(sentence_case(task_label(task))) for task in tasks),
        Column(_("Best baseline")),
    ]
    caption = _("Mean rating, true and predicted; per cent given their exact star / within one star")
    return Table(caption, _("Film"), columns, [Group("", rows)])


def _both_shares(models: Sequence[Measures]) -> str:
    """Write the best of some models' two shares; the two may be of different models."""
    if not models:
        return MISSING
    best = (max(model[key] for model in models) for key in ("accuracy", "accuracy_within_one"))
    return " / ".join("100" if value == 1 else f"{100 * value:.1f}" for value in best)


def _best(rows: Sequence[Measures], measures: Sequence[_Measure]) -> dict[str, str]:
    """Return by measure the best value as it is written, so that what looks equal counts as equal."""
    best = {}
    for measure in measures:
        values = [row[measure.key] for row in rows if measure.key in row]
        if values:
            best[measure.key] = measure.write(max(values) if measure.higher_is_better else min(values))
    return best


def _rows(models: Mapping[str, Measures], measures: Sequence[_Measure], best: Mapping[str, str]) -> list[Row]:
    rows = []
    for name, values in models.items():
        cells = [measure.write(values[measure.key]) if measure.key in values else MISSING for measure in measures]
        unbeaten = (
            place
            for place, (measure, cell) in enumerate(zip(measures, cells, strict=True))
            if cell == best.get(measure.key)
        )
        rows.append(Row(sentence_case(name), cells, frozenset(unbeaten)))
    return rows
