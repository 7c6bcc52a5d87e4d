"""Metrics as tables in the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["show_comparison", "show_cross_validation", "show_learning_curve", "show_measures", "show_results"]

MOST_FILMS = 40

LONGEST_NAME = 28
"""Columns of a terminal that a film's name may take; eighty hold the figures beside it."""

SHARES = {"accuracy": "exact", "accuracy_within_one": "within one"}

COLUMNS = {"accuracy": "accuracy", "accuracy_within_one": "within one", "mae": "MAE", "rmse": "RMSE"}


def show_results(metrics: Mapping[str, Any]) -> None:
    """Print the test measures of a run beside its baselines'."""
    show_measures({**metrics["test"], **{f"baseline {name}": m for name, m in metrics["baselines"].items()}})


def show_measures(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one row of measures for each model."""
    n = next(iter(rows.values()))["n"]
    table = _table(f"{n:,} reviews", "", COLUMNS.values())
    for name, measures in rows.items():
        table.add_row(name.replace("_", " "), *(f"{measures[key]:.4f}" for key in COLUMNS))
    Console(highlight=False).print(table)


RULES = {
    "accuracy": "exact (mode)",
    "accuracy_within_one": "within one (window)",
    "mae": "MAE (median)",
    "rmse": "RMSE (mean)",
    "nll": "NLL",
    "ece": "ECE",
}
HIGHER_IS_BETTER = ("accuracy", "accuracy_within_one")


def show_comparison(compared: Mapping[str, Any]) -> None:
    """Print a row for each measure and run, with the difference to the first run."""
    title = f"{compared['task']}, {compared['n']:,} test reviews of {compared['films']:,} films"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("", "run", "value"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "value" else "left")
    for heading in ("less the first, over reviews", "over films", ""):
        table.add_column(heading)
    first = next(iter(compared["runs"]))
    has_probabilities = "nll" in compared["runs"][first]
    for measure in compared["runs"][first]:
        name = RULES[measure] if has_probabilities else RULES[measure].partition(" (")[0]
        for run, measures in compared["runs"].items():
            if measure not in measures:
                continue
            cells = [f"{measures[measure]['value']:.4f}"]
            if run != first:
                units = [compared["differences"][unit][run][measure] for unit in compared["differences"]]
                cells += [_difference(found) for found in units]
                cells += [""] * (3 - len(cells)) + [_verdict(measure, units[0])]
            table.add_row(name, run, *cells)
            name = ""
    Console(highlight=False).print(table)


def _difference(found: Mapping[str, float]) -> str:
    return f"{found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def _verdict(measure: str, found: Mapping[str, float]) -> str:
    if found["low"] <= 0 <= found["high"]:
        return "within chance"
    return "better" if (found["low"] > 0) == (measure in HIGHER_IS_BETTER) else "worse"


def show_cross_validation(record: Mapping[str, Any]) -> None:
    """Print the measures over all films that were held out, and the shares of right ratings of each."""
    task, pooled, films = record["task"], record["pooled"], record["films"]
    show_measures({task: pooled["test"][task], **{f"baseline {name}": m for name, m in pooled["baselines"].items()}})
    headings = [f"{who}, {share}" for who in ("model", "n-grams") for share in SHARES.values()]
    shown = list(films.items())[:MOST_FILMS]
    title = f"{len(shown)} of {len(films)} films, each rated by a model that has not seen it"
    table = _table(title, "", ["reviews", *headings])
    for film, measured in shown:
        both = (measured["test"][task], measured["baselines"]["char_ngram"])
        cells = [f"{measures[key]:.4f}" for measures in both for key in SHARES]
        table.add_row(Text(film), f"{measured['n']:,}", *cells)
    Console(highlight=False).print(table)
    gap = record["differences"]["films"][task]["char_ngram"]["accuracy"]
    interval = f"{gap['low']:+.4f} to {gap['high']:+.4f}"
    print(f"Exact, {task} less n-grams: {gap['value']:+.4f}; 95 % interval over films {interval}")


def show_learning_curve(record: Mapping[str, Any]) -> None:
    """Print the shares of right ratings by the number of labels, and where the model is ahead."""
    points = record["points"]
    caution = "; with one seed, chance may have decided" if record["seeds"] == 1 else ""
    for measure, share in SHARES.items():
        names = [name.replace("_", " ") for name in points[0]["measures"]]
        table = _table(f"{share}, {record['test']:,} test reviews, mean ± deviation", "labels", names)
        for point in points:
            table.add_row(f"{point['labels']:,}", *(_spread(of[measure]) for of in point["measures"].values()))
        Console(highlight=False).print(table)
        for model, leads in record["leads"].items():
            print(f"{share}, {model} against the better n-grams: {leads[measure]}{caution}")
        print()


def _spread(values: Mapping[str, Any]) -> str:
    return f"{values['mean']:.4f}" + ("" if values["sd"] is None else f" ± {values['sd']:.4f}")


def _table(title: str, first: str, headings: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True, max_width=LONGEST_NAME)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
