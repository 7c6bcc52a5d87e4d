"""`xingping report`: the page and its figures."""

from typing import Annotated

import typer

from xingping.cli.options import Quiet, Run, Values, with_settings
from xingping.cli.stages import run_stage

__all__ = ["command"]

Pdf = Annotated[bool, typer.Option("--pdf", help="Also print the page to PDF, by a Chromium of the machine.")]


@with_settings("movies", "all_movies", "versus", "language")
def command(values: Values, run: Run, pdf: Pdf = False, quiet: Quiet = False) -> None:
    """Write the report of an evaluated run, with a case study of each named film."""
    run_stage("report", run, values, quiet=quiet)
    pages = [run / "report" / "index.html"]
    if pdf:
        from xingping.report.printing import print_pdf

        pages.append(print_pdf(pages[0]))
    if not quiet:
        for page in pages:
            print(f"Report: {page.resolve()}")
