"""Progress of long work, shown only where somebody looks."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from uuid import uuid4

from workbench.log.protocol import Progress

#: How long work may take before a bar appears, in seconds.
DELAY_SECONDS = 2

#: What tells a kernel that somebody looks at its notebook.
_NOTEBOOKS = ("JPY_SESSION_NAME", "VSCODE_PID", "VOILA_KERNEL_ID")

#: How wide a bar is in a notebook.
_COLUMNS = 80


class progress:  # noqa: N801  (it reads as a function: `with progress(…) as bar`)
    """A bar over `total` units, in a live notebook or on a terminal, which is gone when it is full.

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
    from tqdm import tqdm

    shown: dict[str, Any] = {"total": total, "unit": f" {unit}", "leave": False}
    if "ipykernel" in sys.modules and any(name in os.environ for name in _NOTEBOOKS):
        return tqdm(file=_Output(), ncols=_COLUMNS, ascii=False, **shown)
    return tqdm(disable=None, **shown)


class _Output:
    """Where a cell shows a line of text that changes, and in the end nothing.

    A widget would be lost where the notebook is opened again, which would say so in its place.
    """

    def __init__(self) -> None:
        self._id = uuid4().hex
        self._said: str | None = None

    def write(self, said: str) -> None:
        """Show this in place of what was said before."""
        from IPython.display import display

        line = said.strip()
        if line == self._said:
            return
        shown = {"text/plain": line} if line else {"text/plain": "", "text/html": ""}
        update = self._said is not None
        self._said = line
        display(  # type: ignore[no-untyped-call]
            shown, raw=True, display_id=self._id, update=update
        )

    def flush(self) -> None:
        """Nothing is kept back."""
