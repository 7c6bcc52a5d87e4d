"""The tables of the report: text in cells, ready for the template."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xingping.report import content
from xingping.report.content import Measures, share

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
    column: Column
    write: Callable[[float], str]
    higher_is_better: bool


MEASURES = (
    _Measure("accuracy", Column("Exact", "Share of reviews given their exact star"), share, True),
    _Measure("accuracy_within_one", Column("Within one", "Share at most one star off"), share, True),
    _Measure("mae", Column("MAE", "Mean absolute error in stars"), _stars, False),
    _Measure("rmse", Column("RMSE", "Root mean squared error in stars"), _stars, False),
    _Measure("macro_f1", Column("Macro F1", "Mean F1 of the stars"), _stars, True),
    _Measure("quadratic_weighted_kappa", Column("Kappa", "Cohen's kappa, quadratic weights"), _stars, True),
    _Measure("nll", Column("NLL", "Mean negative log-likelihood in nats"), _stars, False),
    _Measure("ece", Column("ECE", "Expected calibration error"), _stars, False),
)


def metrics_table(
    test: Mapping[str, Measures],
    baselines: Mapping[str, Measures],
    published: Mapping[str, Measures],
    published_on: str,
    caption: str,
) -> Table:
    """Return the heads, the baselines and what others published, in three groups.

    Only heads and baselines, which rated the same reviews, compete for the best mark.
    """
    ours = {content.task_name(task): measures for task, measures in test.items()}
    rivals = {content.baseline_name(key): measures for key, measures in baselines.items()}
    best = _best([*ours.values(), *rivals.values()], MEASURES)
    groups = [
        Group("This run", _rows(ours, MEASURES, best)),
        Group("Baselines, same reviews", _rows(rivals, MEASURES, best)),
        Group(published_on, _rows(published, MEASURES, {})),
    ]
    columns = [measure.column for measure in MEASURES]
    return Table(caption, "Model", columns, [group for group in groups if group.rows])


def decision_table(task: str, decisions: Mapping[str, Measures]) -> Table:
    """Return the measures of the same probabilities by each decision rule."""
    measures = MEASURES[:6]
    rows = _rows(decisions, measures, _best(list(decisions.values()), measures))
    caption = f"The {content.task_name(task)}'s probabilities, turned into one star in four ways"
    return Table(caption, "Rule", [measure.column for measure in measures], [Group("", rows)])


def split_table(splits: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the size of each split and the shares of its stars."""
    sizes = ("reviews", "distinct_texts", "words", "characters")
    columns = [Column(size.replace("_", " ").capitalize()) for size in sizes]
    columns += [Column(f"{star} ★", f"Share of {content.exact_stars(star)}") for star in range(1, 6)]
    rows = []
    for split, part in splits.items():
        stars = [part["stars"][str(star)] / max(part["reviews"], 1) for star in range(1, 6)]
        rows.append(Row(split, [f"{part[size]:,}" for size in sizes] + [share(value) for value in stars]))
    return Table("Size of the splits, and the shares of their stars", "Split", columns, [Group("", rows)])


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
        predicted = f"{mean['predicted']:.2f} ({mean['low']:.2f} to {mean['high']:.2f})"
        cells = [f"{measured['n']:,}", f"{mean['true']:.2f}", predicted]
        rows.append(Row(film, [*cells, *map(_both_shares, contenders)]))
    columns = [
        Column("Test reviews"),
        Column("Mean", "Mean rating of the test reviews, in stars"),
        Column("Predicted", "The same from the texts alone, with its 95% interval"),
        *(Column(name) for name in (*map(str.capitalize, tasks), "Best baseline")),
    ]
    caption = "Mean rating, true and predicted; per cent given their exact star / within one star"
    return Table(caption, "Film", columns, [Group("", rows)])


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
        rows.append(Row(name[:1].upper() + name[1:], cells, frozenset(unbeaten)))
    return rows
