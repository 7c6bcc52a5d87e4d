"""`xingping learning-curve`: with how many labels a frozen encoder pays."""

from typing import Annotated

import typer

from xingping.cli.options import Quiet, Run

__all__ = ["command"]

Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        help="Comma-separated numbers of labels, such as 50,500,all; by default 50, 100, 200, 500 and so on, and all.",
        show_default=False,
    ),
]
Seeds = Annotated[int, typer.Option("--seeds", min=1, max=100, help="How often each is drawn and trained.")]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="What is predicted; the first task of the run without it.")
]


def command(run: Run, sizes: Sizes = None, seeds: Seeds = 3, task: TaskOption = None, quiet: Quiet = False) -> None:
    """Train on few labels and on more, beside n-grams, and measure on the test split.

    A fifth of the labels is for validation. Features must be encoded. Writes learning_curve.json, .png and .svg; a
    training that is done is kept, and the same command goes on from there.
    """
    from xingping.artifacts import RunDirectory
    from xingping.cli.console import make_progress
    from xingping.cli.predict import parse_task
    from xingping.cli.results import show_learning_curve
    from xingping.pipeline import Pipeline

    wanted = _parse_sizes(sizes)
    pipeline = Pipeline(RunDirectory.open(run), make_progress(quiet=quiet))
    pipeline.require_before("train")
    record = pipeline.learning_curve(wanted, seeds=seeds, task=parse_task(task))
    if not quiet:
        show_learning_curve(record)
        print(f"Figure: {(run / 'learning_curve.png').resolve()}")


def _parse_sizes(sizes: str | None) -> tuple[int | None, ...]:
    from xingping.errors import SettingsError

    parts = [part.strip() for part in (sizes or "").split(",") if part.strip()]
    if not all(part == "all" or (part.isascii() and part.isdecimal()) for part in parts):
        raise SettingsError(f"--sizes are whole numbers and all, such as 50,500,all; got {sizes}")
    return tuple(None if part == "all" else int(part) for part in parts)
