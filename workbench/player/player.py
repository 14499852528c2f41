"""Player: a slice played again, at any pace, from any place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, Self, cast

import numpy as np
import polars as pl

from workbench.errors import DefinitionError, InvalidRange
from workbench.player.driven import Driven, PlayedMonitor, PlayedTable, PlayedTrail
from workbench.player.sequence import BLOCK, Sequence
from workbench.positions import Position
from workbench.source.display import Shown, bundle, text
from workbench.source.slice import SliceSource
from workbench.source.times import When, parse_instant
from workbench.table import Table
from workbench.trail import Trail

#: The slowest and the fastest pace; None is as fast as possible.
SLOWEST, FASTEST = 0.1, 1000.0

#: How often a playing player looks at the clock, in seconds.
TICK_S = 0.05


class Player(Shown):
    """Plays the records of a slice in display order, and holds one position in them.

    Parameters
    ----------
    source
        The slice.
    speed
        Times the recorded pace, 0.1 to 1,000; None is as fast as possible.
    clock
        Seconds, for the pace.
    tz
        The zone of naive times.

    Notes
    -----
    The sequence depends on the slice alone: at every speed, by steps or by jumps, the same
    records come in the same order, each partition in its own.  What the player drives
    (`monitor`, `table`, `trail`) is after each move as if the records before the position had
    been read, and no others.  Going back feeds a monitor from the start of the slice again.
    Safe to share between threads.
    """

    _inner = frozenset({"advance", "drive"})

    def __init__(
        self,
        source: SliceSource,
        *,
        speed: float | None = 1.0,
        clock: Callable[[], float] = time.monotonic,
        tz: tzinfo = UTC,
    ) -> None:
        self.source = source
        self._tz = tz
        self._speed = _checked(speed)
        self._clock = clock
        self._lock = threading.RLock()
        self._sequence = Sequence(source)
        self._driven: list[Driven] = []
        self._played = 0
        self._at_ms = int(self._sequence.times[0]) if len(self._sequence) else 0
        self._since_s: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None

    @property
    def total(self) -> int:
        """How many records the slice has."""
        return len(self._sequence)

    @property
    def played(self) -> int:
        """How many records come before the position."""
        return self._played

    @property
    def position(self) -> Position:
        """Per partition the next offset."""
        return self._sequence.position(self._played)

    @property
    def time(self) -> datetime | None:
        """The time of the last record played, in the sequence; None before the first."""
        return self._sequence.time(self._played - 1) if self._played else None

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """The times of the first and the last record; None for a slice without any."""
        if not self.total:
            return None
        return self._sequence.time(0), self._sequence.time(self.total)

    @property
    def playing(self) -> bool:
        """Whether the clock drives it."""
        return self._since_s is not None

    @property
    def finished(self) -> bool:
        """Whether every record has been played."""
        return self._played >= self.total

    @property
    def speed(self) -> float | None:
        """Times the recorded pace; None is as fast as possible."""
        return self._speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        with self._lock:
            self._hold_time()
            self._speed = _checked(speed)

    def density(self, bins: int = 200) -> list[int]:
        """How many records lie in each of `bins` equal spans of the slice's time."""
        return self._sequence.density(bins)

    def pace(self, bins: int = 200) -> list[float]:
        """Events a second within each of `bins` shares of the slice, equal in records."""
        return self._sequence.pace(bins)

    def play(self) -> Self:
        """Let the clock drive it, in a daemon thread; at the end, begin again.  Idempotent."""
        with self._lock:
            if self.finished and self.total:
                self.seek(0)
            self.error = None
            if self._since_s is None:
                self._since_s = self._clock()
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="workbench-player", daemon=True
                )
                self._thread.start()
        return self

    def pause(self) -> Self:
        """Stay where it is.  Idempotent."""
        with self._lock:
            self._hold_time()
            self._since_s = None
            self._stop.set()
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        return self

    def advance(self) -> pl.DataFrame:
        """Play what is due by the clock, at most a few thousand records; what was played.

        Playing does this twenty times a second.  Nothing is due while it is paused.
        """
        with self._lock:
            if self._since_s is None:
                return self._sequence.frame(self._played, self._played)
            if self._speed is None:
                due = self.total
            else:
                due = int(np.searchsorted(self._sequence.times, self._due_ms(), side="right"))
            start, end = self._played, min(max(due, self._played), self._played + BLOCK)
            self._go(end)
            return self._sequence.frame(start, end)

    def step(
        self, by: Literal["event", "batch"] = "event", *, key: str | bytes | None = None
    ) -> pl.DataFrame:
        """Play one event, or one batch (all records of one time), or up to the next of a key.

        Returns what was played; empty at the end, or where the key has no more events.
        """
        if by not in ("event", "batch"):
            raise DefinitionError(f"no step {by!r}", hint="there are event and batch")
        with self._lock:
            start = self._played
            end = min(start + 1, self.total)
            if key is not None:
                wanted = key.encode() if isinstance(key, str) else key
                found = self._sequence.next_of(wanted, start)
                end = start if found is None else found + 1
            elif by == "batch" and start < self.total:
                times = self._sequence.times
                end = int(np.searchsorted(times, times[start], side="right"))
            self._go(end)
            self._set_time()
            return self._sequence.frame(start, end)

    def seek(self, when: When | int) -> Self:
        """Go to a time, a position, an offset (`{partition: offset}`), or a number of records.

        To a time: before its first record.  To offsets: before the first record at or after one
        of them.  `"earliest"` and `"now"` are the ends of the slice.
        """
        with self._lock:
            self._go(self._number(when))
            self._set_time()
        return self

    def run(self) -> Self:
        """Play to the end, as fast as possible, in this thread."""
        with self._lock:
            self._go(self.total)
            self._set_time()
        return self

    def drive(self, driven: Driven) -> None:
        """Have something follow, from the records played so far."""
        with self._lock:
            driven.rewind()
            self._feed([driven], 0, self._played)
            driven.arrive(self.position, finished=self.finished and self.total > 0)
            self._driven.append(driven)

    def monitor(self, *, window: str, every: str | None = None, **definition: Any) -> PlayedMonitor:
        """A monitor of what has been played: see `Monitor`."""
        made = PlayedMonitor(self, self.source, window=window, every=every, **definition)
        self.drive(made)
        return made

    def table(self, table: Table) -> PlayedTable:
        """A table (`tx.table(…)`) as of the position."""
        made = PlayedTable(self, table)
        self.drive(made)
        return made

    def trail(self, entity: Any, *, by: str = "key", **options: Any) -> PlayedTrail:
        """A trail of the slice, up to the position: see `Trail`."""
        made = PlayedTrail(self, Trail(self.source, entity, by=by, **options))
        self.drive(made)
        return made

    def __repr__(self) -> str:
        pace = "as fast as possible" if self._speed is None else f"{self._speed:g}x"
        state = "playing" if self.playing else "paused"
        at = self.time
        where = "before the first record" if at is None else f"at {text(at)} UTC"
        return (
            f"Player {', '.join(self.source.address.topics)}  {pace}, {state} {where}, "
            f"{self._played:,} of {self.total:,} records"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle("player", self)

    def _run(self, stop: threading.Event) -> None:
        try:
            while not self._left(stop):
                self.advance()
                if self._speed is not None:
                    stop.wait(TICK_S)
        except Exception as error:
            self._left(stop, error=error)

    def _left(self, stop: threading.Event, *, error: Exception | None = None) -> bool:
        """Whether the thread ends; who plays after that has another, and before that this one."""
        with self._lock:
            if stop.is_set():
                return True
            if error is None and not self.finished:
                return False
            if error is None:
                self._set_time()
            self.error, self._since_s, self._thread = error, None, None
            return True

    def _go(self, number: int) -> None:
        """Play up to a number of records, or go back to it."""
        number = min(max(number, 0), self.total)
        if number == self._played:
            return
        start = self._played
        if number < start:
            start = 0
            for driven in self._driven:
                driven.rewind()
        self._feed(self._driven, start, number)
        self._played = number
        position, finished = self.position, self.finished
        for driven in self._driven:
            driven.arrive(position, finished=finished)

    def _feed(self, driven: list[Driven], start: int, end: int) -> None:
        if not driven:
            return
        for first in range(start, end, BLOCK):
            batch = self._sequence.frame(first, min(first + BLOCK, end))
            for one in driven:
                one.feed(batch)

    def _number(self, when: When | int) -> int:
        if isinstance(when, int) and not isinstance(when, bool):
            return when
        if isinstance(when, Position):
            return self._sequence.number(when)
        if isinstance(when, Mapping):
            topics = self.source.address.topics
            if len(topics) != 1:
                raise InvalidRange(
                    "offsets per partition need a slice of one topic",
                    hint="use a wb.Position over (topic, partition)",
                )
            offsets = cast(Mapping[int, int], when)
            return self._sequence.number({(topics[0], p): o for p, o in offsets.items()})
        if when in ("earliest", "now", "latest"):
            return 0 if when == "earliest" else self.total
        base_ms = int(self._sequence.times[-1]) if self.total else 0
        moment_ms = parse_instant(when, tz=self._tz, base_ms=base_ms)
        return int(np.searchsorted(self._sequence.times, moment_ms))

    def _due_ms(self) -> int:
        """The recorded time that the clock has come to."""
        if self._since_s is None or self._speed is None:
            return self._at_ms
        return self._at_ms + int((self._clock() - self._since_s) * 1000 * self._speed)

    def _hold_time(self) -> None:
        """Count from here and now on."""
        if self._since_s is not None:
            self._at_ms = self._due_ms() if self._speed is not None else self._here_ms()
            self._since_s = self._clock()

    def _set_time(self) -> None:
        """After a jump: the clock goes on from where it led to."""
        self._at_ms = self._here_ms()
        if self._since_s is not None:
            self._since_s = self._clock()

    def _here_ms(self) -> int:
        if not self.total:
            return 0
        return int(self._sequence.times[min(self._played, self.total - 1)])


def _checked(speed: float | None) -> float | None:
    if speed is not None and not SLOWEST <= speed <= FASTEST:
        raise DefinitionError(
            f"the speed {speed!r} is not between {SLOWEST:g} and {FASTEST:g}",
            hint="None is as fast as possible",
        )
    return speed
