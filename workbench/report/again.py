"""Running a past report again from its recorded address, and comparing it cell by cell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

import msgspec

from workbench.api.connect import open_slice
from workbench.errors import ReportError
from workbench.report.runner import Recipe, Report, stamp
from workbench.report.series import Series
from workbench.report.summary import Rerun

#: The exit code of a report that is not what it was.
DIFFERENT = 7

#: Forms of an output that are made up anew by every kernel.
_IDENTITIES = ("application/vnd.jupyter.widget-view+json",)
#: Where a warning says that it comes from: a file of this kernel alone.
_CELL_FILE = re.compile(r"\S*ipykernel_\d+[/\\]\d+\.py")
#: How much of two outputs is shown, before and after the place where they part.
_BEFORE, _AFTER = 20, 60


def past(series: Series, moment: datetime) -> Report:
    """The report that was the newest one at that moment.  Raises ReportError for none."""
    reports = series.reports()
    for report in reports:
        if report.summary.at <= stamp(moment):
            return report
    oldest = f"the oldest one is of {reports[-1].summary.at}" if reports else "there is none"
    raise ReportError(f"{series.name!r} has no report of {stamp(moment)} or before: {oldest}")


def again(series: Series, old: Report) -> Report:
    """Run a past report again as it was: its cells, its parameters, its slice.

    What comes out lies in the report's folder, under `rerun`; its summary's `rerun` names the
    cells that differ.  The series' lock has to be held; its position stays.

    Raises LogNotFound, TopicChanged or OffsetOutOfRange when the slice cannot be read any more.
    """
    import nbformat

    series.sweep()
    recorded = nbformat.read(old.ipynb, as_version=4)
    source = _without_results(recorded)
    recipe = Recipe(old.ipynb, source, old.summary.parameters)
    if old.address is None:
        made = recipe.make(None)
    else:
        found = open_slice(old.address)
        with found.log:
            made = recipe.make(
                found.completeness(),
                expired=old.summary.expired,
                expired_before=old.summary.expired_before,
            )
    rerun = Rerun(old.summary.at, list(differences(recorded, made.executed)))
    code = made.summary.exit or (DIFFERENT if rerun.differences else 0)
    summary = msgspec.structs.replace(made.summary, rerun=rerun, exit=code)
    return series.publish_rerun(replace(made, summary=summary), of=old)


def differences(before: Any, after: Any) -> Iterator[str]:
    """A sentence per code cell whose outputs are not what they were."""
    pairs = zip_longest(_cells(before), _cells(after))
    for number, (old, new) in enumerate(pairs, 1):
        if old is None or new is None or old.cell_type != "code":
            continue
        then, now = _outputs(old), _outputs(new)
        if then != now:
            outputs = zip_longest(then, now, fillvalue=("output", ""))
            (_, was), (_, came) = next((a, b) for a, b in outputs if a != b)
            parts = (n for n, (a, b) in enumerate(zip_longest(was, came)) if a != b)
            at = max(next(parts, 0) - _BEFORE, 0)
            was, came = was[at : at + _BEFORE + _AFTER], came[at : at + _BEFORE + _AFTER]
            yield f"cell {number} is not deterministic: {was!r} then, {came!r} now"


def _cells(notebook: Any) -> list[Any]:
    """The cells of the source notebook: without the one that carries the parameters."""
    return [
        cell
        for cell in notebook.cells
        if "injected-parameters" not in cell.metadata.get("tags", ())
    ]


def _without_results(notebook: Any) -> Any:
    import nbformat

    source = nbformat.from_dict({**notebook, "cells": _cells(notebook)})
    for name in ("papermill", "workbench"):
        source.metadata.pop(name, None)
    for cell in source.cells:
        cell.metadata.pop("papermill", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return source


def _outputs(cell: Any) -> list[tuple[str, str]]:
    """What a cell printed and showed, as (kind, text); how a stream was cut does not matter."""
    found: list[tuple[str, str]] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            text = _CELL_FILE.sub("<cell>", output.text)
            if found and found[-1][0] == output.name:
                text = found.pop()[1] + text
            found.append((output.name, text))
        elif output.output_type == "error":
            found.append(("error", f"{output.ename}: {output.evalue}"))
        else:
            forms = {form: data for form, data in output.data.items() if form not in _IDENTITIES}
            found += [(form, str(data)) for form, data in sorted(forms.items())]
    return found
