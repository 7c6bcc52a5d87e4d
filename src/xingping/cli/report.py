"""`xingping report`: the page and its figures."""

from pathlib import Path
from typing import Annotated

import typer

from xingping.cli.console import make_progress
from xingping.cli.options import Quiet, Run, Values, with_settings
from xingping.cli.stages import run_stage
from xingping.config import ColumnSettings, RunSettings
from xingping.errors import SettingsError

__all__ = ["command"]

Reviews = Annotated[
    Path | None,
    typer.Option(
        "--reviews", help="Table of reviews, rated or not, to make a case study of by the run's model instead."
    ),
]
Pdf = Annotated[bool, typer.Option("--pdf", help="Also print the page to PDF, by a Chromium of the machine.")]


@with_settings("movies", "all_movies", "versus", "language", "columns")
def command(values: Values, run: Run, reviews: Reviews = None, pdf: Pdf = False, quiet: Quiet = False) -> None:
    """Write the report of an evaluated run, with a case study of each named film."""
    columns = values.pop("columns", {})
    if reviews is not None:
        pages = [_report_file(run, reviews, values, columns, quiet=quiet)]
    else:
        if columns:
            raise SettingsError("names of columns are of a file of reviews; add --reviews FILE")
        run_stage("report", run, values, quiet=quiet)
        pages = [run / "report" / "index.html"]
    if pdf:
        from xingping.report.printing import print_pdf

        pages.append(print_pdf(pages[0]))
    if not quiet:
        for page in pages:
            print(f"Report: {page.resolve()}")


def _report_file(run: Path, reviews: Path, values: Values, columns: Values, *, quiet: bool) -> Path:
    from xingping.unrated import report_file

    movies = values.get("movies", ())
    if len(movies) > 1 or values.get("versus") or values.get("all_movies"):
        raise SettingsError("--reviews makes a case study of one film; name it with a single --movie")
    return report_file(
        run,
        reviews,
        ColumnSettings.parse(columns),
        movie=movies[0] if movies else None,
        language=RunSettings.parse({"language": values["language"]}).language if "language" in values else "en",
        progress=make_progress(quiet=quiet),
    )
