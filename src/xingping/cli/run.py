"""`xingping run`: the whole flow."""

from pathlib import Path
from typing import Annotated

import typer

from xingping.cli.console import make_progress
from xingping.cli.crossvalidate import Folds
from xingping.cli.options import Out, Quiet, Values, merge, with_engine, with_settings
from xingping.config import EngineSettings, RunSettings
from xingping.errors import SettingsError

__all__ = ["command"]

Data = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA", help="Table of reviews; by default that of the run, or the bundled sample.", show_default=False
    ),
]


@with_settings(
    *("columns", "cleaning", "segmentation", "split", "encoder", "features"),
    *("tasks", "head", "training", "finetuning", "ngrams", "answers"),
    *("movies", "all_movies", "versus", "language", "seed"),
)
@with_engine
def command(
    values: Values,
    engine: EngineSettings,
    data: Data = None,
    out: Out = Path("runs/run"),
    folds: Folds = None,
    quiet: Quiet = False,
) -> None:
    """Prepare, encode, train, evaluate and report.

    Stages whose inputs have not changed are skipped; a run that was stopped goes on. With --split leave-one-film-out
    the report is of a split by film, and then every film is rated by a model that has seen only the others.
    """
    from xingping.cli.results import show_cross_validation, show_results
    from xingping.pipeline import Pipeline

    settings = merge(RunSettings(), values)
    all_films = settings.split.by == "leave-one-film-out"
    if folds is not None and not all_films:
        raise SettingsError("--folds is of the films left out; add --split leave-one-film-out")
    pipeline = Pipeline.create(out, data, settings, make_progress(quiet=quiet), engine)
    pipeline.stages_until("report")
    if not quiet:
        show_results(pipeline.results())
        print(f"Report: {(out / 'report' / 'index.html').resolve()}")
    if all_films:
        record = pipeline.crossvalidate(folds=folds)
        if not quiet:
            show_cross_validation(record)
