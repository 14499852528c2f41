"""The page that lists the reports of a series."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

from jinja2 import Environment
from markupsafe import Markup

from workbench.report.describe import describe_before, describe_expired, describe_slice
from workbench.report.runner import Report


def index(name: str, reports: list[Report]) -> str:
    """One HTML file: a row per report, as they come, with a search that runs in the page."""
    folder = files("workbench.report") / "templates" / "index"
    script = (folder / "search.js").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (folder / "index.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        name=name,
        style=Markup((folder / "index.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # What lets this script run, and no other.
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        reports=[
            {
                "link": f"{quote(report.html.parent.name)}/{quote(report.html.name)}",
                "summary": report.summary,
                "slice": describe_slice(report.address) if report.address else "",
                "expired": describe_expired(report.summary.expired),
                "before": describe_before(report.summary.expired_before),
            }
            for report in reports
        ],
    )
