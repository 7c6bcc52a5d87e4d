"""Metrics as a table in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show_measures", "show_results"]

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
