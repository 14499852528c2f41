"""Reading a stream as it grows, in the caller's thread or in one of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

import polars as pl

from workbench.errors import WorkbenchError
from workbench.monitor.reading import in_step
from workbench.positions import Position, TopicPartition
from workbench.source.stream import StreamSource
from workbench.source.times import When

#: How long one wait for new records lasts, in seconds: a stop is noticed that soon.
WAIT_SECONDS = 0.25


class Follower:
    """Hands the records of a stream on as they come, and remembers how far it has come.

    Parameters
    ----------
    source
        The stream.
    feed
        Takes each batch of decoded records.
    tick
        Called when a wait has passed without a record.
    expect
        Told, before anything is read, the partitions of which something will come.
    newest
        The greatest time seen per partition, kept by who takes the batches.

    Of partitions that were there and that a start does not name, nothing is read.

    Safe to share between threads; one run at a time.
    """

    def __init__(
        self,
        source: StreamSource,
        feed: Callable[[pl.DataFrame], None],
        tick: Callable[[], None],
        expect: Callable[[Iterable[TopicPartition]], None],
        newest: Mapping[TopicPartition, int],
    ) -> None:
        self.source = source
        self.position: Position | None = None
        self.error: str | None = None
        self._feed = feed
        self._tick = tick
        self._expect = expect
        self._newest = newest
        self._left_out: frozenset[TopicPartition] = frozenset()
        self._stop = threading.Event()
        self._one = threading.Lock()
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way, in any thread."""
        return self._one.locked()

    def lag(self) -> int:
        """The distance in offsets from here to what can be read now."""
        if self.position is None:
            return 0
        return sum(offset - self.position.get(tp, 0) for tp, offset in self._ends().items())

    def follow(
        self, start: When | None, *, until: When | None = None, timeout_s: float | None = None
    ) -> bool:
        """Read until a position is reached, or nothing came for a time; whether it was reached.

        Without `start` it goes on where it stopped, at first at the end.  Raises WorkbenchError
        when a run is under way already.
        """
        if not self._one.acquire(blocking=False):
            raise WorkbenchError(
                f"the monitor of {', '.join(self.source.topics)} is running already",
                hint="stop() it first",
            )
        try:
            if start is not None or self.position is None:
                self.position = self.source.resolve("now" if start is None else start)
                self._left_out = frozenset(self.source.end()) - frozenset(self.position)
            self._expect(self._ends())
            limit = None if until is None else self._asked(self.source.resolve(until))
            return self._read(limit, timeout_s)
        finally:
            self._one.release()

    def start(self, start: When | None) -> None:
        """Follow in a daemon thread.  Does nothing when one is running already."""
        with self._changing:
            if self._thread is not None and self._thread.is_alive():
                return
            self._stop.clear()
            self.error = None
            self._thread = threading.Thread(
                target=self._run, args=(start,), name="workbench-monitor", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the run that is under way, in any thread, and wait for it.  Idempotent."""
        with self._changing:
            self._stop.set()
            if self._thread is not None:
                self._thread.join()
                self._thread = None
            with self._one:
                self._stop.clear()

    def _run(self, start: When | None) -> None:
        try:
            self.follow(start)
        except Exception as error:
            # The thread's last words: who looks at the monitor reads them in its status.
            self.error = str(error)

    def _read(self, limit: Position | None, timeout_s: float | None) -> bool:
        quiet_since = time.monotonic()
        while not self._stop.is_set():
            assert self.position is not None
            end = self._ends()
            if limit is not None:
                end = Position({tp: min(end[tp], limit[tp]) for tp in limit if tp in end})
            # A partition that was not there before is read from its beginning.
            here = Position({tp: self.position.get(tp, 0) for tp in end})
            if any(here[tp] < end[tp] for tp in end):
                ahead = Position({tp: max(here[tp], end[tp]) for tp in end})
                self._take(here, ahead)
                quiet_since = time.monotonic()
                continue
            if limit is not None and all(here.get(tp, 0) >= limit[tp] for tp in limit):
                return True
            patience_s = WAIT_SECONDS
            if timeout_s is not None:
                patience_s = min(patience_s, quiet_since + timeout_s - time.monotonic())
                if patience_s <= 0:
                    return False
            self.source.backend.wait(here, patience_s)
            self._tick()
        return False

    def _ends(self) -> Position:
        return self._asked(self.source.end())

    def _asked(self, position: Position) -> Position:
        """The part of a position that is about what is to be read."""
        return Position({tp: at for tp, at in position.items() if tp not in self._left_out})

    def _take(self, start: Position, end: Position) -> None:
        """Hand on `[start, end)`; after a stop or an error the position is after what was fed."""
        assert self.position is not None
        for batch in in_step(self.source.slice(start, end), self._newest):
            self._feed(batch)
            fed = batch.group_by(pl.col("topic").cast(pl.String), "partition").agg(
                pl.col("offset").max() + 1
            )
            self.position = self.position.merge({(t, p): after for t, p, after in fed.iter_rows()})
            if self._stop.is_set():
                return
        self.position = self.position.merge(end)
