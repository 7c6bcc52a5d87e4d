"""`xingping compare`: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories; differences are to the first.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="Whose models to compare; the first that all runs have without it.")
]
Json = Annotated[Path | None, typer.Option("--json", help="File for the measures, differences and intervals.")]


def command(runs: Runs, task: TaskOption = None, json: Json = None) -> None:
    """Compare runs on the test reviews they share, with paired 95 % intervals."""
    from xingping.artifacts import write_json
    from xingping.cli.predict import parse_task
    from xingping.cli.results import show_comparison
    from xingping.comparing import compare_runs

    compared = compare_runs(runs, task=parse_task(task))
    if json is not None:
        write_json(json, compared)
    show_comparison(compared)
