"""`xingping predict`: stars for texts or for a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from xingping.cli.console import make_progress
from xingping.cli.options import Quiet, Run, Values, with_engine, with_settings
from xingping.config import ColumnSettings, EngineSettings, Task
from xingping.errors import SettingsError

if TYPE_CHECKING:
    from xingping.explanation import Method
    from xingping.predictor import RatingPredictor

__all__ = ["command", "parse_task"]

Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT...", help="Reviews.", show_default=False)]
Input = Annotated[
    Path | None,
    typer.Option("--input", help="Table of reviews: CSV, TSV, Parquet or JSON Lines, plain, .gz or .zip."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="Table to write: .csv, .tsv, .jsonl or .parquet, the first three also .gz."),
]
Films = Annotated[
    Path | None,
    typer.Option("--films", help="Table to write beside it: each film's mean rating and its 95 % interval."),
]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="classification, regression or ordinal; the first trained one without it."),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Also write the words of each text and what each has of the rating.")
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="Of --explain: gradients (default: each word's part in stars), occlusion (stars that leaving it out "
        "takes; slow) or attention (share that the head looked at it).",
    ),
]
KeepFeatures = Annotated[
    bool,
    typer.Option("--keep-features", help="Keep the features of new texts in the store for later, some 30 kB a text."),
]


@with_settings("columns")
@with_engine
def command(
    values: Values,
    engine: EngineSettings,
    run: Run,
    texts: Texts = None,
    source: Input = None,
    target: Output = None,
    films: Films = None,
    task: TaskOption = None,
    explain: Explain = False,
    method: MethodOption = None,
    keep_features: KeepFeatures = False,
    quiet: Quiet = False,
) -> None:
    """Rate texts, or every row of a table; its rows and columns are kept, in order."""
    if bool(texts) == (source is not None) or (source is None) != (target is None):
        raise typer.BadParameter("give either texts, or both --input and --output")
    words = _method(method, explain=explain)
    if source is None or target is None:
        if films is not None or explain or keep_features:
            raise typer.BadParameter(
                "--films, --explain and --keep-features are of a table; give --input and --output (the words of single "
                "texts: xingping explain)"
            )
        if engine.engine == "ray":
            raise typer.BadParameter("--engine ray rates tables; give --input and --output")
        from xingping.predictor import RatingPredictor

        _print_ratings(RatingPredictor.load(run, task=parse_task(task)), texts or [])
        return
    columns, progress = ColumnSettings.parse(values.get("columns", {})), make_progress(quiet=quiet)
    if engine.engine == "ray":
        if explain or keep_features:
            raise typer.BadParameter("--explain and --keep-features work on one machine; leave --engine ray out")
        from xingping.scale import predict_on_ray

        summary = predict_on_ray(
            run, source, target, columns, films=films, task=parse_task(task), engine=engine, progress=progress
        )
    else:
        from xingping.batch import predict_file
        from xingping.predictor import RatingPredictor

        predictor = RatingPredictor.load(run, task=parse_task(task))
        summary = predict_file(
            predictor, source, target, columns, films=films, explain=words, keep_features=keep_features,
            progress=progress,
        )  # fmt: skip
    if not quiet:
        left = f", {summary.unrated:,} without text left unrated" if summary.unrated else ""
        print(f"{summary.rows:,} rows written to {target}{left}")


def _method(name: str | None, *, explain: bool) -> "Method | None":
    """Return the method that words are to be found by; None where none are wanted."""
    from xingping.explanation import METHODS

    if name is not None and not explain:
        raise typer.BadParameter("--method is of the words; add --explain")
    if name not in (None, *METHODS):
        raise typer.BadParameter(f"--method {name}: choose from {', '.join(METHODS)}")
    return (name or "gradients") if explain else None


def parse_task(name: str | None) -> Task | None:
    """Return a task by its name.

    Raises
    ------
    SettingsError
        There is no such task.
    """
    if name is not None and name not in get_args(Task):
        raise SettingsError(f"--task is {' or '.join(get_args(Task))}; got {name}")
    return cast("Task | None", name)


def _print_ratings(predictor: "RatingPredictor", texts: list[str]) -> None:
    ratings = predictor.predict(texts)
    for index, text in enumerate(texts):
        rating = int(ratings.rating[index])
        line = f"{'★' * rating}{'☆' * (5 - rating)}  {rating}  {ratings.expected[index]:.2f}"
        if ratings.probabilities is not None:
            line += "  [" + " ".join(f"{p:.2f}" for p in ratings.probabilities[index]) + "]"
        print(f"{line}  {' '.join(text.split())}")
