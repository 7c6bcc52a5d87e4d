"""`xingping tune`: a better head on the stored features, within a budget of time."""

import re
from typing import Annotated

import typer

from xingping.cli.options import Quiet, Run

__all__ = ["command"]

Budget = Annotated[str, typer.Option("--budget", help="Time for the search: 90s, 20m, 2h.")]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Most heads to try.", show_default=False)]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="Whose validation loss counts; the first of the run without it.")
]

SECONDS = {"s": 1, "m": 60, "h": 3600}


def command(
    run: Run, budget: Budget = "20m", trials: Trials = None, task: TaskOption = None, quiet: Quiet = False
) -> None:
    """Search for a better head, then train, evaluate and report with the winner.

    The search sees the training and validation splits only; features must be encoded. The winner's settings become
    those of the run. Another search on the same run goes on from what was tried.
    """
    from xingping.artifacts import RunDirectory
    from xingping.cli.console import make_progress
    from xingping.cli.predict import parse_task
    from xingping.cli.results import show_results
    from xingping.pipeline import Pipeline

    seconds = _seconds(budget)
    pipeline = Pipeline(RunDirectory.open(run), make_progress(quiet=quiet))
    pipeline.require_before("train")
    tuned = pipeline.tune(seconds, task=parse_task(task), trials=trials)
    tuned.stages_until("report")
    if not quiet:
        show_results(tuned.results())
        print(f"Report: {(run / 'report' / 'index.html').resolve()}")


def _seconds(budget: str) -> float:
    from xingping.errors import SettingsError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", budget.strip())
    if match is None or float(match[1]) == 0:
        raise SettingsError(f"--budget is a time such as 90s, 20m or 2h; got {budget}")
    return float(match[1]) * SECONDS[match[2] or "s"]
