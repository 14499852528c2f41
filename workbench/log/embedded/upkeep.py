"""Sealing and retention in the background of a process that appends."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from workbench.errors import LogBusy, WorkbenchError

RETENTION_EVERY_SECONDS = 60.0

#: Full segments in a partition's hot tail from which on its producers wait for the sealing.
MOST_HOT_SEGMENTS = 4

_WAIT_SECONDS = 30.0

_log = logging.getLogger("workbench")


class Upkeep:
    """One background thread at most, started when there is work and ended with it.  Thread-safe.

    What fails here is logged and tried again with later work: nothing acknowledged depends on it.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._sealed = 0
        self._thread: threading.Thread | None = None
        self._wanted = False
        self._closed = False
        self._last_retention = time.monotonic()

    def retention_is_due(self) -> bool:
        """Whether it is time to look at retention again; True once per interval."""
        now = time.monotonic()
        if now - self._last_retention < RETENTION_EVERY_SECONDS:
            return False
        self._last_retention = now
        return True

    def is_closed(self) -> bool:
        """Whether what runs should come to an end."""
        return self._closed

    def follow(self, hot_segments: float, *, also: bool = False) -> None:
        """Have a hot tail sealed that would fill segments, and wait where it fills too many.

        Without that, a producer at full speed leaves the sealing ever further behind.  The wait is
        for one segment, and no longer than the work itself goes on.
        """
        if hot_segments >= 1 or also:
            self.request()
        if hot_segments >= MOST_HOT_SEGMENTS:
            with self._lock:
                before = self._sealed
                self._changed.wait_for(
                    lambda: self._sealed != before or self._thread is None, _WAIT_SECONDS
                )

    def has_sealed(self) -> None:
        """Let those go on that wait for a segment."""
        with self._lock:
            self._sealed += 1
            self._changed.notify_all()

    def request(self) -> None:
        """Have the work done soon."""
        if self._pid != os.getpid():  # the parent's thread did not come along
            Upkeep.__init__(self, self._work)
        with self._lock:
            self._wanted = True
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="workbench-upkeep", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for what is running, and start nothing more."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closed or not self._wanted:
                    self._thread = None
                    self._changed.notify_all()
                    return
                self._wanted = False
            try:
                self._work()
            except LogBusy:
                pass  # another process does it
            except WorkbenchError as error:
                _log.warning("background sealing: %s", error)
