"""`xingping report`: the page and its figures."""

from xingping.cli.options import Quiet, Run, Values, with_settings
from xingping.cli.stages import run_stage

__all__ = ["command"]


@with_settings("movies", "language")
def command(values: Values, run: Run, quiet: Quiet = False) -> None:
    """Write the report of an evaluated run, with a case study of each named film."""
    run_stage("report", run, values, quiet=quiet)
    if not quiet:
        print(f"Report: {(run / 'report' / 'index.html').resolve()}")
