"""Reports: a notebook run on a slice's address, left as a notebook and as one HTML file.

`run` makes one; a `Series` keeps those of a schedule.
"""

from workbench.report.again import again, past
from workbench.report.backfill import Backfill, windows
from workbench.report.expired import what_is_left
from workbench.report.runner import Recipe, Report, run
from workbench.report.series import Series
from workbench.report.since import since_last
from workbench.report.summary import Summary

__all__ = [
    "Backfill",
    "Recipe",
    "Report",
    "Series",
    "Summary",
    "again",
    "past",
    "run",
    "since_last",
    "what_is_left",
    "windows",
]
