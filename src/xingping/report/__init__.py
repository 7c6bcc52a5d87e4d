"""The report: one self-contained page, and its figures as files, from the artefacts of a run."""

from xingping.report.films import check_movies
from xingping.report.page import write_report

__all__ = ["check_movies", "write_report"]
