"""A run that kills itself before its nth step on the disk.

`python -m tests.report.killed KIND FOLDER N STEP...`
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import workbench as wb
from tests.report import quick
from workbench.log.embedded import files
from workbench.report import Backfill, Recipe, Series, since_last, windows

DAY = datetime(2026, 11, 3, tzinfo=UTC)

#: What makes something visible, and everything that changes a folder or waits for the disk.
COMMITS = ("rename",)
STEPS = ("make_folder", "sync_file", "sync_folder", "rename", "unlink")


def without_kernel() -> dict[str, ModuleType]:
    """What takes the place of the modules that execute and draw, and take long to import."""
    executing, drawing = ModuleType("execute"), ModuleType("page")
    executing.execute = quick.execute  # type: ignore[attr-defined]
    executing.close_loop = lambda: None  # type: ignore[attr-defined]
    drawing.page = lambda *_, **__: "<!DOCTYPE html>"  # type: ignore[attr-defined]
    return {"workbench.report.execute": executing, "workbench.report.page": drawing}


def since(folder: Path) -> None:
    """Report what came, and tidy up, as the command does."""
    series = Series(folder / "out", "hourly")
    with series.lock, wb.connect(folder / "log", write=False) as log:
        since_last(series, Recipe.read(folder / "heat.ipynb", None), log.stream("heat"))
        series.prune(3, None)
        series.write_index()


def backfill(folder: Path) -> None:
    """Report each of three days, two at a time."""
    series = Series(folder / "out", "daily")
    with series.lock, wb.connect(folder / "log", write=False) as log:
        stream = log.stream("heat")
        bounds = windows(DAY, DAY + timedelta(days=3), "1d", stream)
        list(Backfill(series, Recipe.read(folder / "heat.ipynb", None), stream, bounds).run(2))
        series.write_index()


def die_before(step: int, of: Sequence[str]) -> None:
    """Have the nth of these steps never happen."""
    left = step

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*arguments)

        return take

    for name in of:
        setattr(files, name, counted(getattr(files, name)))


if __name__ == "__main__":
    sys.modules.update(without_kernel())
    kind, where, step, *kinds_of_step = sys.argv[1:]
    die_before(int(step), kinds_of_step)
    {"since": since, "backfill": backfill}[kind](Path(where))
