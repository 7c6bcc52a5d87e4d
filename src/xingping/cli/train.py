"""`xingping train`: heads on stored features, or encoder and head together."""

from xingping.cli.options import Quiet, Run, Values, with_engine, with_settings
from xingping.cli.stages import run_stage
from xingping.config import EngineSettings

__all__ = ["command"]


@with_settings("tasks", "head", "training", "finetuning", "ngrams", "answers")
@with_engine
def command(values: Values, engine: EngineSettings, run: Run, quiet: Quiet = False) -> None:
    """Train a head for each task on the stored features, or with --finetune the encoder too."""
    run_stage("train", run, values, quiet=quiet, engine=engine)
