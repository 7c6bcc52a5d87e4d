"""The page on paper: printed to PDF by a Chromium that is found on the machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from xingping.artifacts import atomic_path
from xingping.errors import OutputError, UsageError

__all__ = ["find_chromium", "print_pdf"]

VARIABLE = "XINGPING_CHROMIUM"

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")

SECONDS = 180
"""After which printing is given up."""


def find_chromium() -> str | None:
    """Return the path of a Chromium, or of a browser made of it; the variable XINGPING_CHROMIUM goes first."""
    named = os.environ.get(VARIABLE)
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def print_pdf(page: Path) -> Path:
    """Print a page to a PDF beside it, of the same name.

    Parameters
    ----------
    page
        An HTML file that needs no other.

    Returns
    -------
    Path
        The PDF.

    Raises
    ------
    UsageError
        No Chromium is found.
    OutputError
        It did not print.
    """
    browser = find_chromium()
    if browser is None:
        raise UsageError(
            f"no Chromium to print {page.name} with; install chromium or Chrome, or name one in {VARIABLE}"
        )
    pdf = page.with_suffix(".pdf")
    with atomic_path(pdf) as path, tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            "--headless=new",
            "--disable-gpu",
            "--no-pdf-header-footer",
            f"--user-data-dir={profile}",
            f"--print-to-pdf={path}",
        ]
        if getattr(os, "geteuid", lambda: 1)() == 0:
            command.append("--no-sandbox")  # Chromium's sandbox refuses to work for root
        try:
            done = subprocess.run(
                [*command, page.resolve().as_uri()], capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OutputError(f"{browser} did not print {page}: {error}") from error
        if done.returncode or not path.is_file():
            said = done.stderr.strip().splitlines()[-1:] or ["it wrote nothing"]
            raise OutputError(f"{browser} did not print {page}: {said[0]}")
    return pdf
