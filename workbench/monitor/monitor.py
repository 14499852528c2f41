"""Monitors: what happens now, and what would have been seen then."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

import polars as pl

from workbench.address import Decoding, TimeFilter
from workbench.errors import DefinitionError, WorkbenchError, did_you_mean
from workbench.monitor.alerts import flagged
from workbench.monitor.behind import slice_behind
from workbench.monitor.definition import (
    AlertLike,
    Duration,
    define,
    duration_ms,
    kept_ms,
)
from workbench.monitor.engine import Engine
from workbench.monitor.live import Follower
from workbench.monitor.reading import in_step
from workbench.monitor.rows import EVENTS, SPANS
from workbench.monitor.show import as_html, describe
from workbench.monitor.status import Meter, Status
from workbench.positions import TopicPartition
from workbench.records import TIMESTAMP
from workbench.source import display
from workbench.source.event_time import time_column
from workbench.source.slice import SliceSource
from workbench.source.stream import StreamSource
from workbench.source.times import When, from_ms

#: How many rows a live monitor keeps; older ones are let go, and counted.
LIVE_ROWS = 100_000


class Monitor(display.Shown):
    """Metrics per window of time, with alerts, over a slice or over a stream as it grows.

    Parameters
    ----------
    source
        A slice (bounded; `frame` runs over it) or a stream (`follow`, or `start` and `stop`).
    window, every
        Windows are spans `[window_start, window_end)` of this length, aligned to 1970 UTC, one
        each `every`; without `every` they tumble.  `"10s"`, a timedelta, or milliseconds.
    by
        Column or columns to group by within each window; a null is a group of its own.
    time
        The column whose time decides: by default the stream's event time if it names one, else
        the record's `timestamp`.  A Datetime, ISO 8601 text, or milliseconds since 1970.
    late
        How far a partition's times may step back before a record counts as late.
    on_late
        `"amend"` (the default): a late record still counts in its windows, whose rows change;
        over a slice always, so that `frame` holds every record; on a live stream for ten minutes
        after the window's end, beyond which it is left out.  `"count"`: it is left out.  A
        duration amends for that long, and holds records in memory for that long.
    idle
        A partition of a live stream without a record for this long holds no window open, while
        others advance.
    alerts
        Name to a true-or-false expression over the rows of `frame`, or to `(expression,
        severity)`, severity being info, warning (the default) or critical.  Beside the metrics
        it may use `events`, `per_second` and `late`, and compare rows (`shift`, `over`), which
        are in the order of time.
    **metrics
        Name to a Polars expression, evaluated as in `group_by`; `first` and `last` mean by
        (time, topic, partition, offset).  Without any: `events` and `per_second`.

    Raises
    ------
    DefinitionError
        For a column that is not there (with the nearest names), a metric that gives no single
        value, an alert that is not true or false, a window that is empty.

    Notes
    -----
    **When a window closes.**  A partition's watermark is the greatest time seen in it less
    `late`.  A window closes when every partition's watermark has reached its end; a partition
    that is idle, or has been read to the end of its slice, does not count.

    **What is late.**  A record is late for a window when, before it was read, the watermark of
    *its own partition* had reached the window's end.  Over a slice this follows from the records
    alone: batches, partition order and speed change nothing.  On a live stream a window can also
    close while a partition is idle; what that partition brings later is late for it too.  Late
    records are counted per row (`late`) and in `status`, whether they count in metrics or not.

    **Memory.**  Of each record only the columns in use are held, until its windows can no longer
    change: while they are open, and as long as `on_late` lets them be amended.  Over a slice
    larger than memory, give `on_late` a duration.

    Windows without a record have no row.  Records that do not decode, or without a time, enter
    no metric and are counted.  Safe to share between threads.

    Attributes
    ----------
    selection
        The Slice that was last chosen in its view: an alert clicked, a span of time brushed.
    """

    selection: Any = None
    _inner = frozenset({"definition", "feed", "newest", "revision"})

    def __init__(
        self,
        source: SliceSource | StreamSource,
        *,
        window: Duration,
        every: Duration | None = None,
        by: str | Sequence[str] | None = None,
        time: str | None = None,
        late: Duration = 0,
        on_late: Literal["amend", "count"] | Duration = "amend",
        idle: Duration = "10s",
        alerts: Mapping[str, AlertLike] | None = None,
        **metrics: pl.Expr,
    ) -> None:
        self.source = source
        live = isinstance(source, StreamSource)
        schema = source.schema
        self.definition = define(
            schema,
            window=window,
            every=every,
            by=by,
            time=time_column(_decoding(source), schema, time),
            late=late,
            keep_ms=kept_ms(on_late, live=live),
            alerts=alerts,
            metrics=metrics,
        )
        self._engine = Engine(
            self.definition,
            schema,
            source.end if isinstance(source, SliceSource) else (),
            idle_s=duration_ms(idle) / 1000 if live else float("inf"),
            history=LIVE_ROWS if live else None,
        )
        self._lock = threading.RLock()
        self._reading = threading.Lock()
        self._meter = Meter()
        self._finished = False
        self._follower = (
            Follower(source, self.feed, self._tick, self._expect, self._engine.newest)
            if isinstance(source, StreamSource)
            else None
        )

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that are watched."""
        source = self.source
        return source.topics if isinstance(source, StreamSource) else source.address.topics

    @property
    def revision(self) -> tuple[int, int | None]:
        """Something that differs when `frame` may: how many events came, and the watermark."""
        return self._engine.events, self._engine.watermark_ms

    @property
    def newest(self) -> datetime | None:
        """The greatest time seen."""
        return max(map(from_ms, list(self._engine.newest.values())), default=None)

    def feed(self, batch: pl.DataFrame) -> None:
        """Take in decoded records, each partition in ascending offsets.

        A record that was fed before is not counted again, so at-least-once delivery is enough.
        Raises WorkbenchError on a monitor that has finished.
        """
        with self._lock:
            if self._finished:
                raise WorkbenchError(
                    f"the monitor of {', '.join(self.topics)} has finished",
                    hint="make another one for other records",
                )
            now_s = clock.monotonic()
            before = self._engine.events
            self._engine.feed(batch, now_s)
            self._meter.add(now_s, self._engine.events - before)

    def finish(self) -> None:
        """Close every window: nothing more comes.  Idempotent."""
        with self._lock:
            if not self._finished:
                self._engine.finish()
                self._finished = True

    def run(self, batches: Iterable[pl.DataFrame]) -> Self:
        """Feed batches until they end, then finish: `monitor.run(stream.follow(timeout=5))`."""
        source = self.source
        self._expect(source.end() if isinstance(source, StreamSource) else source.end)
        for batch in batches:
            self.feed(batch)
        self.finish()
        return self

    def follow(
        self,
        start: When | None = None,
        *,
        until: When | None = None,
        timeout: float | None = None,
    ) -> Self:
        """Watch a stream as it grows, in this thread.

        Parameters
        ----------
        start
            Where to begin: a time, `"-1h"`, `"earliest"`, `"now"`, offsets or a Position.  By
            default where the monitor stopped before, at first at the end of the log.
        until
            Where to end; the monitor has then finished and its last windows are closed.
        timeout
            Ends when nothing came for so many seconds; it can be followed on later.

        Raises
        ------
        WorkbenchError
            Over a slice (see `frame`), or when it is running already.
        OffsetOutOfRange
            When retention has removed records before they were read; nothing is skipped.
        """
        if self._followed().follow(start, until=until, timeout_s=timeout):
            self.finish()
        return self

    def start(self, start: When | None = None) -> Self:
        """Watch a stream in a daemon thread, from where `follow` would begin.  Idempotent.

        An error ends the thread and is told in `status().error`; another `start()` goes on
        after the last record that was taken in.
        """
        self._followed().start(start)
        return self

    def stop(self) -> None:
        """End the thread of `start`, or a `follow` in another thread, and wait.  Idempotent."""
        if self._follower is not None:
            self._follower.stop()

    def frame(self, *, open: bool = False) -> pl.DataFrame:  # noqa: A002 - as in "open windows"
        """A row per closed window and group.  Over a slice, the first call reads it.

        Columns: `window_start` and `window_end` (Datetime ms UTC), the `by` columns, the metrics
        in the order given, and, when a record came late, `late` (UInt32: late records, whether
        they count in the metrics or not).  A row of which all records came too late has null
        metrics.  Sorted by window and group.  `open=True` adds the windows that are still open,
        as they stand, and `closed`.
        """
        rows = self._rows(with_open=open)
        rows = rows.select(*self.definition.schema, *(["closed"] if open else []))
        return rows if (rows["late"] > 0).any() else rows.drop("late")

    def rates(self, *, open: bool = False) -> pl.DataFrame:  # noqa: A002 - as in `frame`
        """Like `frame`, with `events` (UInt32) and `per_second` (Float64) as the metrics."""
        seconds = self.definition.windows.size_ms / 1000
        return self._rows(with_open=open).select(
            "window_start",
            "window_end",
            *self.definition.by,
            pl.col(EVENTS).alias("events"),
            (pl.col(EVENTS) / seconds).alias("per_second"),
            "late",
            *(["closed"] if open else []),
        )

    def alerts(self) -> pl.DataFrame:
        """A row per alert and row of `frame` for which it is true, in the order of time.

        Columns: `name`, `severity` (Enum), then those of `frame`, then `address`: JSON of the
        slice that holds the row's records, which `behind` and `wb.open_slice` read.  A slice is
        a range of offsets (and of times, where windows go by the record's timestamp), so records
        of other groups can lie in between.
        """
        raised = flagged(self._rows(), self.definition)
        times_ms = pl.col("window_start", "window_end").dt.epoch("ms")
        places = [
            None if spans is None else self._slice(spans, start_ms, end_ms).address.to_json()
            for spans, start_ms, end_ms in raised.select(SPANS, times_ms).iter_rows()
        ]
        return raised.drop(SPANS).with_columns(pl.Series("address", places, pl.String))

    def behind(
        self, window_start: datetime, window_end: datetime | None = None, **by: Any
    ) -> SliceSource:
        """The slice with the records of the windows that start in `[window_start, window_end)`.

        Without `window_end`, of the window that starts there; `by` narrows it to groups, such as
        `kind="card"`.  Raises DefinitionError when there is no such row.
        """
        for name in by:
            if name not in self.definition.by:
                raise DefinitionError(
                    f"the monitor is not grouped by {name!r}",
                    hint=did_you_mean(name, self.definition.by or ("no groups",)),
                )
        at, first = pl.col("window_start"), pl.lit(window_start).cast(TIMESTAMP)
        wanted = at == first
        if window_end is not None:
            wanted = (at >= first) & (at < pl.lit(window_end).cast(TIMESTAMP))
        rows = self._rows(with_open=True).filter(
            wanted, *(pl.col(name).eq_missing(pl.lit(value)) for name, value in by.items())
        )
        spans = rows[SPANS].drop_nulls().explode().to_list()
        if not spans:
            raise DefinitionError(
                f"no window of the monitor with records starts at {window_start}",
                hint="frame(open=True) lists them",
            )
        start_ms, end_ms = rows["window_start"].dt.epoch("ms"), rows["window_end"].dt.epoch("ms")
        return self._slice(spans, start_ms[0], end_ms[-1])

    def status(self) -> Status:
        """How far it has come.  Asks a live log for its end."""
        follower = self._follower
        lag = self._unread() if follower is None else follower.lag()
        with self._lock:
            engine, now_s = self._engine, clock.monotonic()
            newest = max(engine.newest.values(), default=None)
            age_s = None if newest is None or follower is None else clock.time() - newest / 1000
            return Status(
                events=engine.events,
                rate=None if follower is None else self._meter.rate(now_s),
                lag=lag,
                lag_seconds=0.0 if lag == 0 else age_s,
                watermark=None if engine.watermark_ms is None else from_ms(engine.watermark_ms),
                late=engine.late,
                left_out=engine.left_out,
                undecodable=engine.undecodable,
                untimed=engine.untimed,
                let_go=engine.let_go,
                running=follower is not None and follower.running,
                error=None if follower is None else follower.error,
            )

    def chart(self) -> Any:
        """The rows as an `altair.Chart`: a panel per metric, a colour per group, alerts marked."""
        return display.chart("monitor chart", self)

    def __repr__(self) -> str:
        return describe(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return display.bundle("monitor", self, as_html)

    def _rows(self, *, with_open: bool = False) -> pl.DataFrame:
        """The engine's rows; those of a slice after reading it."""
        if isinstance(self.source, SliceSource) and not self._finished:
            self._read(self.source)
        with self._lock:
            return self._engine.rows(with_open=with_open)

    def _read(self, source: SliceSource) -> None:
        with self._reading:
            if not self._finished:
                for batch in in_step(source, self._engine.newest, self._engine.finish):
                    self.feed(batch)
                self.finish()

    def _unread(self) -> int:
        """The offsets of a slice that are still to be read."""
        if self._finished or not isinstance(self.source, SliceSource):
            return 0
        fed, start = self._engine.next_offsets, self.source.start
        return sum(end - fed.get(tp, start[tp]) for tp, end in self.source.end.items())

    def _tick(self) -> None:
        with self._lock:
            self._engine.tick(clock.monotonic())

    def _expect(self, partitions: Iterable[TopicPartition]) -> None:
        """Hold windows open for the partitions that are followed."""
        with self._lock:
            self._engine.expect(partitions, clock.monotonic())

    def _followed(self) -> Follower:
        """What follows the stream."""
        if self._follower is None:
            raise WorkbenchError(
                f"a slice of {', '.join(self.topics)} does not grow",
                hint="frame() runs the monitor over it",
            )
        return self._follower

    def _slice(self, spans: Iterable[Mapping[str, Any]], start_ms: int, end_ms: int) -> SliceSource:
        by_timestamp = self.definition.time == "timestamp"
        times = TimeFilter(start_ms, end_ms) if by_timestamp else None
        return slice_behind(self.source, spans, times)


def _decoding(source: SliceSource | StreamSource) -> Decoding:
    return source.decoding if isinstance(source, StreamSource) else source.address.decoding
