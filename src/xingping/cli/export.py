"""`xingping export`: a trained model for other machines."""

from pathlib import Path
from typing import Annotated

import typer

from xingping.cli.console import make_progress
from xingping.cli.options import Quiet, Run, with_group
from xingping.cli.predict import parse_task
from xingping.config import ExportSettings

__all__ = ["command"]

TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="classification, regression or ordinal; the first trained one without it."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder to write; by default export/TASK-FORMAT in the run directory.")
]


@with_group("settings", ExportSettings)
def command(
    settings: ExportSettings, run: Run, out: OutOption = None, task: TaskOption = None, quiet: Quiet = False
) -> None:
    """Write a model to a folder that predict and serve take in the place of a run, without torch as a graph."""
    from xingping.exporting import export_model
    from xingping.predictor import RatingPredictor

    predictor = RatingPredictor.load(run, task=parse_task(task))
    folder = out or run / "export" / f"{predictor.task}-{settings.format}"
    agreement = export_model(predictor, folder, settings, progress=make_progress(quiet=quiet))
    if quiet:
        return
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"Exported: {folder.resolve()} ({size / 1e6:.1f} MB)")
    if agreement is not None:
        print(
            f"It gives {agreement.same_rating:.2%} of {agreement.texts} sample reviews the rating of the run; expected "
            f"ratings differ by {agreement.largest_difference:.4f} stars at the most."
        )
