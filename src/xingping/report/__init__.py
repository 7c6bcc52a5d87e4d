"""The report: one self-contained page, and its figures as files, from the artefacts of a run."""

from xingping.report.compared import write_comparison
from xingping.report.films import find_films
from xingping.report.interactive import script_digests
from xingping.report.page import write_report, write_study

__all__ = ["find_films", "script_digests", "write_comparison", "write_report", "write_study"]
