"""How far a monitor has come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from workbench.words import counted

#: Over how many seconds the rate of a live run is measured.
RATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Status:
    """How far a monitor has come, and what it met.

    `lag` is the distance in offsets to the end of what can be read now; `lag_seconds` the age of
    the newest time seen, zero when nothing is left to read.  `rate` is events per second over
    the last ten seconds of a live run.  `late` counts records, of which `left_out` came too late
    to count in some window of theirs.  `undecodable` and `untimed` (without a readable time)
    records enter no metric.  `let_go` counts the oldest rows, dropped to bound a long run.
    """

    events: int
    rate: float | None
    lag: int
    lag_seconds: float | None
    watermark: datetime | None
    late: int
    left_out: int
    undecodable: int
    untimed: int
    let_go: int
    running: bool
    error: str | None

    def __str__(self) -> str:
        parts = [counted(self.events, "event")]
        parts += [f"{self.rate:,.1f}/s"] if self.rate is not None else []
        parts += [f"lag {counted(self.lag, 'offset')}"] if self.lag else []
        if self.lag and self.lag_seconds is not None:
            parts[-1] += f", {self.lag_seconds:,.1f} s"
        parts += [f"{self.late:,} late"] if self.late else []
        parts += [f"{self.left_out:,} left out"] if self.left_out else []
        parts += [f"{self.undecodable:,} did not decode"] if self.undecodable else []
        parts += [f"{self.untimed:,} without a time"] if self.untimed else []
        parts += [f"{self.let_go:,} old rows let go"] if self.let_go else []
        parts += [f"stopped: {self.error}"] if self.error else []
        return ", ".join(parts)


class Meter:
    """Events per second over the last seconds.  For one thread."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, now_s: float, count: int) -> None:
        """Count events."""
        self._counts.append((now_s, count))
        self._total += count
        self._drop(now_s)

    def rate(self, now_s: float) -> float:
        """Events per second, now."""
        self._drop(now_s)
        return self._total / RATE_SECONDS

    def _drop(self, now_s: float) -> None:
        while self._counts and self._counts[0][0] <= now_s - RATE_SECONDS:
            self._total -= self._counts.popleft()[1]
