"""How a reader learns of a commit: a file that every writer touches after it.

Linux wakes the reader through inotify; elsewhere, and where the file cannot be watched, the
reader looks every 50 ms.  The bell is a hint, never the truth: a writer may die between commit
and touch, so a watcher also looks now and then.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.05
_LOOK_ANYWAY_SECONDS = 0.5


class Doorbell:
    """One log's bell.  Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._watcher: Any = None
        self._watching = threading.Lock()

    def ring(self) -> None:
        """Wake whoever waits.  Called with the write lock held or not; never fails a commit."""
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
            os.pwrite(self._descriptor, b"\n", 0)
        except OSError:  # a full disk: watchers look anyway
            return

    def close(self) -> None:
        """Close the file; also right in a forked child."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Block until `ready()` holds, looking after each ring; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with ExitStack() as stack:
            pause = self._watch(stack) or (lambda left: time.sleep(min(left, _POLL_SECONDS)))
            while not ready():  # watched first, looked at second: no ring falls in between
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                pause(left)
        return True

    def _watch(self, stack: ExitStack) -> Callable[[float], object] | None:
        """A pause that the bell ends, or None where the file cannot be watched.

        One watcher is kept: the kernel takes some 20 ms to close one.  A second thread that waits
        at the same time has its own.
        """
        if sys.platform != "linux":
            return None
        from inotify_simple import INotify, flags

        kept = self._watching.acquire(blocking=False)
        if kept:
            stack.callback(self._watching.release)
        watcher = self._watcher if kept else None
        if watcher is None:
            try:  # the system bounds the number of watchers
                watcher = INotify()
            except OSError:
                return None
            close = weakref.finalize(self, watcher.close)
            try:  # no bell in a read-only folder
                watcher.add_watch(self._path, flags.MODIFY)
            except OSError:
                close()
                return None
            if kept:
                self._watcher = watcher
            else:
                stack.callback(close)
        return lambda left: watcher.read(timeout=int(min(left, _LOOK_ANYWAY_SECONDS) * 1000) + 1)
