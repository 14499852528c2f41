"""Progress of long work, shown only where somebody looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.log.protocol import Progress

#: How long work may take before a bar appears, in seconds.
DELAY_SECONDS = 2


def progress(total: int, unit: str) -> Any:
    """A tqdm bar over `total` units: a widget in a live notebook, text on a terminal.

    Elsewhere (a scheduled report, a pipe) it shows nothing, so that no half-drawn bar is kept.
    """
    shown: dict[str, Any] = {
        "total": total,
        "unit": f" {unit}",
        "leave": False,
        "delay": DELAY_SECONDS,
    }
    if any(name in os.environ for name in ("JPY_SESSION_NAME", "VSCODE_PID", "VOILA_KERNEL_ID")):
        from tqdm.auto import tqdm as in_notebook

        return in_notebook(**shown)
    from tqdm import tqdm

    return tqdm(disable=None, **shown)


@contextmanager
def telling(unit: str) -> Iterator[Progress]:
    """A bar as something to be told of what is done, and of how much, while that becomes known."""
    with progress(0, unit) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell
