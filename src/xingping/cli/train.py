"""`xingping train`: heads on stored features."""

from xingping.cli.options import Quiet, Run, Values, with_settings
from xingping.cli.stages import run_stage

__all__ = ["command"]


@with_settings("tasks", "head", "training")
def command(values: Values, run: Run, quiet: Quiet = False) -> None:
    """Train a head for each task on the stored features."""
    run_stage("train", run, values, quiet=quiet)
