"""How fast a connection reads: the rate it keeps to, and what the cluster holds back."""

from __future__ import annotations

import time
import warnings
from threading import Lock

from workbench.errors import Throttled


class Pace:
    """Bytes over time: who has taken more than the rate allows waits.  Thread-safe."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._paid_until = 0.0
        self._lock = Lock()

    def spend(self, size: int) -> None:
        """Count bytes that came, and wait until the ones before them are paid for."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            wait = self._paid_until - now
            self._paid_until = max(now, self._paid_until) + size / self._rate
        if wait > 0:
            time.sleep(wait)


class Throttling:
    """How long the cluster has held this client back.  Thread-safe."""

    _SAID_AT_MS = (1_000, 10_000, 60_000, 600_000)

    def __init__(self, hint: str) -> None:
        self._hint = hint
        self._lock = Lock()
        self.total_ms = 0

    def note(self, throttle_ms: int) -> None:
        """Count; warn (Throttled) at the first second, and seldom after that, with the total."""
        if throttle_ms <= 0:
            return
        with self._lock:
            before = self.total_ms
            self.total_ms += throttle_ms
            total = self.total_ms
        if any(before < mark <= total for mark in self._SAID_AT_MS):
            warnings.warn(
                f"{self._hint} has held this client back for {total / 1000:.1f} s so far, since it "
                "reads more than its quota (max_rate= reads slower from the start)",
                Throttled,
                stacklevel=2,
            )
