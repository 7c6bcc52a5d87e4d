"""`xingping encode`: frozen features into the store."""

from xingping.cli.options import Quiet, Run, Values, with_engine, with_settings
from xingping.cli.stages import run_stage
from xingping.config import EngineSettings

__all__ = ["command"]


@with_settings("encoder", "features")
@with_engine
def command(values: Values, engine: EngineSettings, run: Run, quiet: Quiet = False) -> None:
    """Encode the prepared reviews with a frozen encoder."""
    run_stage("encode", run, values, quiet=quiet, engine=engine)
