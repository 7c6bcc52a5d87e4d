"""`xingping prepare`: read, check, clean, segment and split."""

from pathlib import Path

from xingping.cli.console import make_progress
from xingping.cli.options import Out, Quiet, Values, merge, with_settings
from xingping.cli.run import Data
from xingping.config import RunSettings

__all__ = ["command"]


@with_settings("columns", "cleaning", "segmentation", "split", "seed")
def command(values: Values, data: Data = None, out: Out = Path("runs/run"), quiet: Quiet = False) -> None:
    """Read, check, clean, segment and split a table of reviews."""
    from xingping.pipeline import Pipeline

    settings = merge(RunSettings(), values)
    Pipeline.create(out, data, settings, make_progress(quiet=quiet)).stage("prepare")
