"""`xingping evaluate`: measures on the test split, or on a file that the run has not seen."""

from pathlib import Path
from typing import Annotated

import typer

from xingping.cli.console import make_progress
from xingping.cli.options import Quiet, Run, Values, with_settings
from xingping.cli.stages import run_stage
from xingping.config import ColumnSettings

__all__ = ["command"]

Data = Annotated[Path | None, typer.Option("--data", help="Table of rated reviews to measure on instead.")]
Json = Annotated[Path | None, typer.Option("--json", help="File for the measures.")]


@with_settings("columns")
def command(values: Values, run: Run, data: Data = None, json: Json = None, quiet: Quiet = False) -> None:
    """Measure the models of a run on its test split, or on an unseen file."""
    from xingping.artifacts import RunDirectory, read_json, write_json
    from xingping.cli.results import show_measures, show_results

    if data is None:
        run_stage("evaluate", run, {}, quiet=quiet)
        metrics = read_json(run / "metrics.json")
        if json is not None:
            write_json(json, metrics["test"])
        if not quiet:
            show_results(metrics)
        return
    from xingping.unseen import evaluate_file

    RunDirectory.open(run, needs="train")
    columns = ColumnSettings.parse(values.get("columns", {}))
    measures = evaluate_file(run, data, columns, progress=make_progress(quiet=quiet))
    if json is not None:
        write_json(json, measures)
    if not quiet:
        show_measures(measures)
