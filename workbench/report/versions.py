"""What a report was made with."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """The versions that decide what a report says."""
    return {
        "workbench": version("stream-workbench"),
        "polars": version("polars"),
        "duckdb": version("duckdb"),
        "python": platform.python_version(),
    }
