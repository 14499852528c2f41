"""Progress of long work, shown only where somebody looks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from workbench.log.protocol import Progress

#: How long work may take before a bar appears, in seconds.
DELAY_SECONDS = 2

#: What tells a kernel that somebody looks at its notebook.
_NOTEBOOKS = ("JPY_SESSION_NAME", "VSCODE_PID", "VOILA_KERNEL_ID")


class progress:  # noqa: N801  (it reads as a function: `with progress(…) as bar`)
    """A bar over `total` units: a widget in a live notebook, text on a terminal.

    It is made only when the work has taken a while: a page keeps something of each bar that it was
    ever told of.  What runs beside the cells (a live view, a monitor) shows none, nor does what
    has no reader (a scheduled report, a pipe).  Not safe to share between threads.
    """

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.n = total, 0
        self._unit = unit
        self._began_s = time.monotonic()
        self._bar: Any = None
        self._beside = threading.current_thread() is not threading.main_thread()

    def update(self, count: int) -> None:
        """So many units more are done."""
        self.n += count
        took_s = time.monotonic() - self._began_s
        if self._bar is None and not self._beside and took_s >= DELAY_SECONDS:
            self._bar = _tqdm(self.total, self._unit)
            if not self._bar.disable:  # one that nobody sees has no clock
                self._bar.start_t -= took_s
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update(self.n - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def telling(unit: str) -> Iterator[Progress]:
    """A bar as something to be told of what is done, and of how much, while that becomes known."""
    with progress(0, unit) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell


def _tqdm(total: int, unit: str) -> Any:
    shown: dict[str, Any] = {"total": total, "unit": f" {unit}", "leave": False}
    if any(name in os.environ for name in _NOTEBOOKS):
        from tqdm.auto import tqdm as in_notebook

        return in_notebook(**shown)
    from tqdm import tqdm

    return tqdm(disable=None, **shown)
