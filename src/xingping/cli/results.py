"""Metrics as a table in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show_comparison", "show_measures", "show_results"]

COLUMNS = {"accuracy": "accuracy", "accuracy_within_one": "within one", "mae": "MAE", "rmse": "RMSE"}


def show_results(metrics: Mapping[str, Any]) -> None:
    """Print the test measures of a run beside its baselines'."""
    show_measures({**metrics["test"], **{f"baseline {name}": m for name, m in metrics["baselines"].items()}})


def show_measures(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one row of measures for each model."""
    n = next(iter(rows.values()))["n"]
    table = Table(title=f"{n:,} reviews", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right")
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
