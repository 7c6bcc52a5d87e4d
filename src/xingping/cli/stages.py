"""What the commands of single stages share."""

from pathlib import Path

from xingping.cli.console import make_progress
from xingping.cli.options import Values, merge
from xingping.config import EngineSettings
from xingping.errors import UsageError

__all__ = ["run_stage"]


def run_stage(name: str, path: Path, values: Values, *, quiet: bool, engine: EngineSettings | None = None) -> None:
    """Do one stage of an existing run, with some of its settings changed.

    Raises
    ------
    RunDirectoryError
        The folder is no run directory, or a stage before this one has not been done with these settings.
    """
    from xingping.artifacts import RunDirectory
    from xingping.pipeline import Pipeline

    run = RunDirectory.open(path)
    before = run.record.get("settings")
    pipeline = Pipeline(run, make_progress(quiet=quiet), engine)
    if values:
        settings = merge(pipeline.settings, values)
        run.update(settings=settings.model_dump(mode="json"))
    try:
        pipeline = Pipeline(run, pipeline.progress, engine)
        pipeline.require_before(name)
        pipeline.stage(name)
    except UsageError:
        run.update(settings=before)  # what was refused is not for the next command
        raise
