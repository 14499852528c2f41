"""Whether somebody is watching: a page that can show a live view, and the cell that asks."""

from __future__ import annotations

import os
import time
from typing import Any

#: What JupyterLab, Voila and VS Code tell a kernel; what executes notebooks takes these away.
_WATCHED = ("JPY_SESSION_NAME", "VOILA_KERNEL_ID", "VSCODE_PID")


def watched() -> bool:
    """Whether this is a kernel with a page before it.  Papermill and nbconvert have none."""
    return _kernel() is not None and any(name in os.environ for name in _WATCHED)


def cell() -> tuple[str, str] | None:
    """The cell that is running now and its run, where the page tells them."""
    kernel = _kernel()
    request = {} if kernel is None else kernel.get_parent("shell")
    cell_id = request.get("metadata", {}).get("cellId")
    return None if cell_id is None else (str(cell_id), str(request["header"]["msg_id"]))


class Cells:
    """Knows when a cell runs: where messages wait for it to end, silence means nothing."""

    def __init__(self) -> None:
        self._running = False
        self._ended_s = time.monotonic()
        kernel = _kernel()
        if kernel is not None:
            self._running = True  # the cell that asks
            kernel.shell.events.register("pre_run_cell", self._began)
            kernel.shell.events.register("post_run_cell", self._finished)

    def idle_s(self) -> float:
        """For how many seconds no cell has been running."""
        return 0.0 if self._running else time.monotonic() - self._ended_s

    def _began(self, *_: Any) -> None:
        self._running = True

    def _finished(self, *_: Any) -> None:
        self._running, self._ended_s = False, time.monotonic()


def _kernel() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return getattr(get_ipython(), "kernel", None)
