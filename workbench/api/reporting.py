"""Where a slice finds what runs notebooks, which lives above it and registers itself here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from workbench.address import Address


class Runner(Protocol):
    """Runs a notebook on an address."""

    def __call__(
        self,
        notebook: str | Path,
        out: str | Path,
        *,
        address: Address,
        parameters: Mapping[str, Any] | None,
    ) -> Any:
        """Run it and return the report."""


_runners: list[Runner] = []


def register(runner: Runner) -> None:
    """Make `runner` the one that `Slice.report` uses."""
    _runners[:] = [runner]


def run(
    notebook: str | Path,
    out: str | Path,
    *,
    address: Address,
    parameters: Mapping[str, Any] | None,
) -> Any:
    """Run a notebook with the registered runner."""
    return _runners[0](notebook, out, address=address, parameters=parameters)
