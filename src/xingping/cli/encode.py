"""`xingping encode`: frozen features into the store."""

from xingping.cli.options import Quiet, Run, Values, with_settings
from xingping.cli.stages import run_stage

__all__ = ["command"]


@with_settings("encoder")
def command(values: Values, run: Run, quiet: Quiet = False) -> None:
    """Encode the prepared reviews with a frozen encoder."""
    run_stage("encode", run, values, quiet=quiet)
