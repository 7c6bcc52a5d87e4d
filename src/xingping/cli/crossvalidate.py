"""`xingping crossvalidate`: every film rated by a model that has seen only the others."""

from typing import Annotated

import typer

from xingping.cli.options import Quiet, Run

__all__ = ["Folds", "command"]

Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        min=2,
        help="Folds of films; by default each film is one, or ten folds of more than 30 films.",
        show_default=False,
    ),
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="What is predicted; the first task of the run without it.")
]


def command(run: Run, folds: Folds = None, task: TaskOption = None, quiet: Quiet = False) -> None:
    """Train a model for each film, or fold of films, on the others, and measure it beside n-grams.

    Features must be encoded; only heads and n-grams are trained. All films take part, whatever the split of the run.
    Writes cross_validation.json; a fold that is done is kept, and the same command goes on from there.
    """
    from xingping.artifacts import RunDirectory
    from xingping.cli.console import make_progress
    from xingping.cli.predict import parse_task
    from xingping.cli.results import show_cross_validation
    from xingping.pipeline import Pipeline

    pipeline = Pipeline(RunDirectory.open(run), make_progress(quiet=quiet))
    pipeline.require_before("train")
    record = pipeline.crossvalidate(folds=folds, task=parse_task(task))
    if not quiet:
        show_cross_validation(record)
