"""Where a slice finds what runs notebooks, which lives above it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.address import Address


def run(
    notebook: str | Path,
    out: str | Path,
    *,
    address: Address,
    parameters: Mapping[str, Any] | None,
) -> Any:
    """Run a notebook on an address; returns the `workbench.report.Report`."""
    # By name, and now: imports point down, and most sessions make no report.
    report = import_module("workbench.report")
    return report.run(notebook, out, address=address, parameters=parameters)
