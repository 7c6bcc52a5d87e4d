"""Runs side by side, as a page of its own."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xingping import plots
from xingping.artifacts import RunDirectory, atomic_path
from xingping.language import N_, _, join_clauses, join_list
from xingping.names import sentence_case, task_label
from xingping.report import interactive
from xingping.report.content import count
from xingping.report.doubt import MEASURES, verdict_of, write_change, write_change_ends, write_ends, write_figure
from xingping.report.figures import Chart, FigureFolder, short_title
from xingping.report.interactive import Interval
from xingping.report.rendering import render
from xingping.report.tabular import MISSING, Column, Group, Row, Table

__all__ = ["write_comparison"]

Compared = Mapping[str, Any]

KINDS = {
    "shares": (("accuracy", "accuracy_within_one"), N_("Shares of right stars, in percentage points: more is better.")),
    "errors": (("mae", "rmse"), N_("Errors, in stars: less is better.")),
    "chances": (("nll", "ece"), N_("Errors of the probabilities: less is better.")),
}
"""Measures that share a chart, and its caption (a message, not yet looked up)."""

ELSEWHERE = ("movies", "all_movies", "versus", "language")
"""Settings of the report, which decide no measure."""


@dataclass(frozen=True)
class _Runs:
    """What is compared, and what each run is called: by its folder, or by its path where folders have one name."""

    compared: Compared
    names: Mapping[str, str]

    @classmethod
    def of(cls, compared: Compared) -> "_Runs":
        paths = list(compared["runs"])
        short = [Path(path).name or path for path in paths]
        return cls(compared, dict(zip(paths, short if len(set(short)) == len(short) else paths, strict=True)))

    @property
    def first(self) -> str:
        return next(iter(self.names))

    @property
    def others(self) -> list[str]:
        return list(self.names)[1:]

    def differences(self, run: str) -> Mapping[str, Interval]:
        """Return the differences of a run to the first, over reviews."""
        found: Mapping[str, Interval] = self.compared["differences"]["reviews"][run]
        return found

    def verdicts(self, run: str) -> dict[int, list[str]]:
        """Return the measures by which a run is better (1), level (0) and worse (-1) than the first."""
        verdicts: dict[int, list[str]] = {1: [], 0: [], -1: []}
        for measure, difference in self.differences(run).items():
            verdicts[verdict_of(measure, difference)].append(measure)
        return verdicts


def write_comparison(page: Path, compared: Compared) -> None:
    """Write a comparison of runs as one page that needs no other file.

    Parameters
    ----------
    page
        Where to.
    compared
        Of `comparing.compare_runs`; its runs must still be there, for their settings.

    Raises
    ------
    RunDirectoryError
        A run is not there.
    OutputError
        The page cannot be written.
    UsageError
        No font with Chinese characters is installed.
    """
    runs = _Runs.of(compared)
    with tempfile.TemporaryDirectory() as folder:
        context = _context(runs, FigureFolder(Path(folder)))
    html = render("comparison.html.j2", _headline(runs), context)
    with atomic_path(page) as path:
        path.write_text(html, encoding="utf-8")


def _context(runs: _Runs, folder: FigureFolder) -> dict[str, Any]:
    records = {run: RunDirectory.open(Path(run)).record for run in runs.names}
    return {
        "headline": _headline(runs),
        "standfirst": _standfirst(runs),
        "findings": [_finding(runs, run) for run in runs.others],
        "values": _values_chart(runs, folder),
        "differences": _difference_charts(runs, folder),
        "measures": _measure_table(runs),
        "settings": _settings_table(runs, records),
        "paths": [(name, path) for path, name in runs.names.items() if name != path],
        "versions": records[runs.first].get("versions", {}),
    }


def _headline(runs: _Runs) -> str:
    if len(runs.others) > 1:
        return _("{n} runs on the same reviews").format(n=len(runs.names))
    [run] = runs.others
    verdicts = runs.verdicts(run)
    if verdicts[1] and verdicts[-1]:
        message = _("{run} is better than {first} in some ways and worse in others")
    elif verdicts[1]:
        message = _("{run} is better than {first}")
    elif verdicts[-1]:
        message = _("{run} is worse than {first}")
    else:
        message = _("{run} and {first} differ by no more than chance")
    return message.format(run=runs.names[run], first=runs.names[runs.first])


def _standfirst(runs: _Runs) -> str:
    n, films = runs.compared["n"], runs.compared["films"]
    return _(
        "{task} models on the {n} test reviews, of {films}, that all runs rated. Differences are to {first}, review by "
        "review, so what is hard for both does not count."
    ).format(
        task=sentence_case(task_label(runs.compared["task"])),
        n=f"{n:,}",
        films=count(films, "film"),
        first=runs.names[runs.first],
    )


def _finding(runs: _Runs, run: str) -> str:
    """Say by which measures a run is better than the first, level and worse."""
    called = {
        1: _("better than {first} beyond chance: {measures}"),
        0: _("level with {first}: {measures}"),
        -1: _("worse than {first} beyond chance: {measures}"),
    }
    parts = [
        called[verdict].format(
            first=runs.names[runs.first], measures=join_list(_(MEASURES[measure].inline) for measure in measures)
        )
        for verdict, measures in runs.verdicts(run).items()
        if measures
    ]
    return _("{run}: {verdicts}.").format(run=runs.names[run], verdicts=join_clauses(parts))


def _values_chart(runs: _Runs, folder: FigureFolder) -> Chart:
    """Draw the shares of right stars of each run with their intervals."""
    shown = KINDS["shares"][0]
    rows = [
        (name, run != runs.first, [runs.compared["runs"][run][measure] for measure in shown])
        for run, name in runs.names.items()
    ]
    figure = plots.model_comparison(
        [name for name, _own, _values in rows],
        [exact["value"] for _name, _own, (exact, _near) in rows],
        [near["value"] for _name, _own, (_exact, near) in rows],
        [own for _name, own, _values in rows],
    )
    live = interactive.dots(rows, [_("exactly right"), _("within one star")])
    what = _("Two dots for each run: exactly right, and within one star.")
    return folder.add("values", figure, what, _("In grey the first run."), live)


def _difference_charts(runs: _Runs, folder: FigureFolder) -> list[Chart]:
    """Draw the differences to the first run, a chart for each kind of measure."""
    charts = []
    for kind, (measures, message) in KINDS.items():
        caption = _(message)
        known = [measure for measure in measures if all(measure in runs.differences(run) for run in runs.others)]
        if not known:
            continue
        rows = [(runs.names[run], True, [runs.differences(run)[measure] for measure in known]) for run in runs.others]
        names = [sentence_case(_(MEASURES[measure].inline)) for measure in known]
        figure = plots.differences(
            {name: {row[0]: row[2][at] for row in rows} for at, name in enumerate(names)},
            caption,
            share=kind == "shares",
        )
        live = interactive.dots(
            rows, names, percent=kind == "shares", digits=1 if kind == "shares" else 3, signed=True,
            reference=(0.0, short_title(runs.names[runs.first])),
        )  # fmt: skip
        what = _("Dots of the differences to the first run, with intervals.")
        charts.append(folder.add(f"differences-{kind}", figure, what, caption, live))
    return charts


def _measure_table(runs: _Runs) -> Table:
    """Return each measure of each run with its interval, and the difference to the first."""
    first = runs.compared["runs"][runs.first]
    has_probabilities = "nll" in first
    by_film = runs.compared["differences"].get("films", {})
    groups = []
    for measure in first:
        naming = MEASURES[measure]
        rows = []
        for run, name in runs.names.items():
            of = runs.compared["runs"][run].get(measure)
            if of is None:
                continue
            cells, best = [write_figure(measure, of["value"]), write_ends(measure, of)], frozenset[int]()
            if run == runs.first:
                cells += [MISSING, MISSING]
            else:
                difference = runs.differences(run)[measure]
                over_films = by_film.get(run, {}).get(measure)
                cells += [
                    write_change(measure, difference),
                    MISSING if over_films is None else write_change_ends(measure, over_films),
                ]
                best = frozenset({2} if verdict_of(measure, difference) > 0 else ())
            rows.append(Row(name, cells, best))
        groups.append(Group(_(naming.by_rule if has_probabilities else naming.plain), rows))
    columns = [
        Column(_("Value")),
        Column(_("95% over reviews"), _("Bootstrap over the test reviews: what chance in this test split does")),
        Column(
            _("Difference"),
            _("On the same reviews, with its 95% interval; marked where the model is better beyond chance"),
        ),
        Column(
            _("Difference, 95% over films"),
            _("Bootstrap over whole films: what other films would do that the model knows as well as these"),
        ),
    ]
    caption = _("Each measure by the rule that is best for it, for all runs alike")
    return Table(caption, _("Run"), columns, groups)


def _settings_table(runs: _Runs, records: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Return the settings in which the runs differ; None where there are none."""
    settings = {run: _flat(record["settings"]) for run, record in records.items()}
    names = list(dict.fromkeys(name for flat in settings.values() for name in flat))
    rows = []
    for name in names:
        values = [flat.get(name, MISSING) for flat in settings.values()]
        if len(set(values)) > 1:
            rows.append(Row(name, values))
    if not rows:
        return None
    columns = [Column(name, text=True) for name in runs.names.values()]
    return Table(_("Settings that are not the same, as run.json has them"), _("Setting"), columns, [Group("", rows)])


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return settings by their full names, written out."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if not before and name in ELSEWHERE:
            continue
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = _written(value)
    return flat


def _written(value: object) -> str:
    if value is None or value == []:
        return MISSING
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)
