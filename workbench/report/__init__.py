"""Reports: a notebook run on a slice's address, left as a notebook and as one HTML file."""

from workbench.api import reporting
from workbench.report.runner import Report, run

__all__ = ["Report", "run"]

reporting.register(run)
