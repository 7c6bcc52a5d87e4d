"""`xingping serve`: a model over HTTP, with a page to try it."""

from typing import Annotated

import typer

from xingping.cli.options import Run, with_group
from xingping.config import ServeSettings
from xingping.errors import SettingsError

__all__ = ["command"]

TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="classification, regression or ordinal; the first trained one without it."),
]


@with_group("settings", ServeSettings)
def command(settings: ServeSettings, run: Run, task: TaskOption = None) -> None:
    """Serve a model over HTTP until it is told to stop; the page to try it is at /."""
    try:
        from xingping.serve import run_server
    except ModuleNotFoundError as error:
        raise SettingsError("xingping serve needs FastAPI and uvicorn; run: pip install 'xingping[serve]'") from error
    from xingping.cli.predict import parse_task

    run_server(run, settings, task=parse_task(task))
