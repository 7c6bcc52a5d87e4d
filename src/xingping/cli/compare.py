"""`xingping compare`: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from xingping.cli.options import Values, with_settings
from xingping.config import RunSettings
from xingping.errors import SettingsError

__all__ = ["command"]

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories; differences are to the first.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="Whose models to compare; the first that all runs have without it.")
]
Json = Annotated[Path | None, typer.Option("--json", help="File for the measures, differences and intervals.")]
Html = Annotated[
    Path | None, typer.Option("--html", help="File for a page with charts and tables, that needs no other file.")
]


@with_settings("language")
def command(values: Values, runs: Runs, task: TaskOption = None, json: Json = None, html: Html = None) -> None:
    """Compare runs on the test reviews they share, with paired 95 % intervals."""
    from xingping.artifacts import write_json
    from xingping.cli.predict import parse_task
    from xingping.cli.results import show_comparison
    from xingping.comparing import compare_runs

    if values and html is None:
        raise SettingsError("--lang is of the page; add --html FILE")
    language = RunSettings.parse(values).language
    compared = compare_runs(runs, task=parse_task(task))
    if json is not None:
        write_json(json, compared)
    if html is not None:
        from xingping.language import speaking
        from xingping.report import write_comparison

        with speaking(language):
            write_comparison(html, compared)
    show_comparison(compared)
    if html is not None:
        print(f"Page: {html.resolve()}")
