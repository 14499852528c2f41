"""Cells executed in this process, for tests of what surrounds them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from threading import Lock
from typing import Any

import nbformat.v4 as v4

#: There is one standard output, whatever thread prints.
_PRINTING = Lock()


def execute(
    notebook: Any, parameters: Mapping[str, Any], *, progress: bool, ending: Any
) -> tuple[Any, str | None]:
    """What `workbench.report.execute.execute` does, for cells that only print."""
    executed = deepcopy(notebook)
    executed.metadata["papermill"] = {}
    space: dict[str, Any] = {}
    for number, cell in enumerate(executed.cells, 1):
        if cell.cell_type != "code":
            continue
        printed = io.StringIO()
        failure = None
        try:
            with _PRINTING, redirect_stdout(printed):
                exec(cell.source, space)
        except Exception as error:
            failure = f"cell {number}: {type(error).__name__}: {error}"
        cell.outputs = [v4.new_output("stream", name="stdout", text=printed.getvalue())]
        if failure is not None:
            return executed, failure
        if "parameters" in cell.metadata.get("tags", ()):
            space |= parameters
    return executed, None
