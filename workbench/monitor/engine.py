"""The windows of a stream, computed batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterable

import polars as pl

from workbench.monitor.definition import Definition
from workbench.monitor.rows import (
    AT,
    EVENTS,
    PASSED,
    SPAN,
    SPANS,
    START,
    TIME,
    counts_in,
    evaluate,
    explode,
    result_types,
    window_columns,
)
from workbench.positions import TopicPartition
from workbench.source.event_time import PartitionClocks, epoch_ms

#: Of a record in a batch: the offset from which on its partition is new.
_NEXT = "__next"

#: Frames that have grown in more pieces than this are made one again.
_PIECES = 64


class Engine:
    """Windows over batches whose partitions each come in ascending offsets.

    A partition's watermark is the greatest time seen in it less the lateness; the watermark of
    all is the least over the partitions that are neither idle nor finished, and a window closes
    when that has reached its end.  A record is late for a window when, before it was read, its
    own partition's watermark had reached the window's end.  So which records are late, and every
    row, follow from the partitions alone and not from how their records are interleaved.  Only
    for a partition that came back from idleness do the windows that closed without it count too.

    In memory are the records of the windows that are open or can still be amended (only the
    columns in use) and one row per closed window and group.  For one thread.
    """

    def __init__(
        self,
        definition: Definition,
        schema: pl.Schema,
        partitions: Iterable[TopicPartition],
        *,
        idle_s: float = math.inf,
        history: int | None = None,
    ) -> None:
        self.definition = definition
        self.events = 0
        self.late = 0
        self.left_out = 0
        self.undecodable = 0
        self.untimed = 0
        self.let_go = 0
        self.watermark_ms: int | None = None
        self.next_offsets: dict[TopicPartition, int] = {}
        self._idle_s = idle_s
        self._history = history
        self._heard = dict.fromkeys(partitions, 0.0)
        self._amended: set[int] = set()
        groups = {name: schema[name] for name in definition.by}
        self._held = pl.DataFrame(
            schema={
                TIME: pl.Int64(),
                PASSED: pl.Int64(),
                **{own: schema[name] for own, name in AT.items()},
                **{name: schema[name] for name in definition.columns},
            }
        )
        self._closed = pl.DataFrame(
            schema={**result_types(definition), EVENTS: pl.UInt32(), SPANS: pl.List(SPAN)}
        )
        self._late = pl.DataFrame(schema={START: pl.Int64(), **groups, "late": pl.UInt32()})
        self._clocks = PartitionClocks()
        self._time = epoch_ms(definition.time, schema[definition.time]).alias(TIME)
        self._select: list[pl.Expr | str] = [
            TIME,
            PASSED,
            *(pl.col(name).alias(own) for own, name in AT.items()),
            *definition.columns,
        ]

    @property
    def newest(self) -> dict[TopicPartition, int]:
        """The greatest time seen per partition; kept up to date."""
        return self._clocks.newest

    @property
    def held(self) -> int:
        """How many records are in memory."""
        return self._held.height

    def feed(self, batch: pl.DataFrame, now_s: float = 0.0) -> None:
        """Take in decoded records; one that came before is not counted again.

        `now_s` is a clock in seconds, by which idleness is measured.
        """
        fresh = self._fresh(batch)
        if "decode_error" in fresh.columns:
            decoded = fresh.filter(pl.col("decode_error").is_null())
            self.undecodable += fresh.height - decoded.height
            fresh = decoded
        timed = fresh.with_columns(self._time).drop_nulls(TIME)
        self.untimed += fresh.height - timed.height
        self.events += timed.height
        for topic, partition in timed.select("topic", "partition").unique().iter_rows():
            self._heard[topic, partition] = now_s
        latest = self._clocks.before(timed, TIME) - self.definition.late_ms
        passed = pl.max_horizontal(latest, pl.lit(self.watermark_ms, pl.Int64))
        rows = timed.with_columns(passed.alias(PASSED)).select(self._select)
        self._hold(rows)
        self._close(self._frontier(now_s))

    def tick(self, now_s: float) -> None:
        """Let time pass without a record: partitions fall idle, and windows may close."""
        self._close(self._frontier(now_s))

    def expect(self, partitions: Iterable[TopicPartition], now_s: float) -> None:
        """Hold windows open for partitions of which nothing has been read yet."""
        for tp in partitions:
            self._heard.setdefault(tp, now_s)

    def finish(self, partition: TopicPartition | None = None) -> None:
        """Nothing more comes, of one partition or at all; then every window is closed."""
        if partition is not None:
            self._heard.pop(partition, None)
        else:
            self._heard.clear()
        if self._heard:
            self._close(self._frontier(0.0))
        elif self.newest:
            windows = self.definition.windows
            last = max(self.newest.values()) // windows.step_ms * windows.step_ms
            self._close(last + windows.size_ms)
            self._amend()
            self._held = self._held.clear()

    def rows(self, *, with_open: bool = False) -> pl.DataFrame:
        """Closed windows, and on request the open ones as they stand (`closed` is then a column).

        Sorted by window and group.  Beside the definition's schema: the number of events, events
        per second, and the offsets behind each row.
        """
        plan = self.definition
        self._amend()
        rows, late = self._closed, self._late
        if with_open:
            first_ms = self.watermark_ms
            if first_ms is not None:
                first_ms += 1 - plan.windows.size_ms
            rows = pl.concat([rows, self._evaluate(first_ms, None)])
        else:
            late = late.filter(self._has_closed(pl.col(START)))
        keys = ["window_start", "window_end", *plan.by]
        rows = rows.join(
            late.select(*window_columns(plan), *plan.by, "late"),
            on=keys,
            how="full",
            coalesce=True,
            nulls_equal=True,
        ).select(
            *result_types(plan), pl.col("late").fill_null(0), pl.col(EVENTS).fill_null(0), SPANS
        )
        if with_open:
            start = pl.col("window_start").dt.epoch("ms")
            rows = rows.with_columns(closed=self._has_closed(start))
        return rows.sort(keys)

    def _fresh(self, batch: pl.DataFrame) -> pl.DataFrame:
        """The records that were not fed before."""
        where = ["topic", "partition"]
        parts = batch.group_by(where).agg(newest=pl.col("offset").max())
        names = parts.select(pl.col("topic").cast(pl.String), "partition", "newest").rows()
        known = [self.next_offsets.get((topic, partition), 0) for topic, partition, _ in names]
        for topic, partition, newest in names:
            tp = (topic, partition)
            self.next_offsets[tp] = max(self.next_offsets.get(tp, 0), newest + 1)
        starts = parts.select(*where, pl.Series(_NEXT, known, pl.Int64))
        joined = batch.join(starts, on=where, how="left", maintain_order="left")
        return joined.filter(pl.col("offset") >= pl.col(_NEXT))

    def _hold(self, rows: pl.DataFrame) -> None:
        """Keep the records for their windows, and note those that they come too late for."""
        plan = self.definition
        size_ms, keep_ms = plan.windows.size_ms, plan.keep_ms
        held = pl.concat([self._held, rows])
        self._held = held.rechunk() if held.n_chunks() > _PIECES else held
        first_end = plan.windows.first_start(pl.col(TIME)) + size_ms
        late = rows.filter(first_end <= pl.col(PASSED))
        if late.is_empty():
            return
        self.late += late.height
        if keep_ms is not None:
            self.left_out += late.filter(first_end + keep_ms <= pl.col(PASSED)).height
        pairs = explode(late, plan).filter(pl.col(START) + size_ms <= pl.col(PASSED))
        groups = [START, *plan.by]
        counts = pairs.group_by(groups).agg(pl.len().alias("late"))
        self._late = pl.concat([self._late, counts]).group_by(groups).agg(pl.col("late").sum())
        amended = pairs.filter(counts_in(pl.col(START), plan), self._has_closed(pl.col(START)))
        self._amended.update(amended[START].unique())

    def _frontier(self, now_s: float) -> int | None:
        """The watermark of all partitions that are not idle, where each has one."""
        heard = [tp for tp, at_s in self._heard.items() if now_s - at_s <= self._idle_s]
        if not heard or any(tp not in self.newest for tp in heard):
            return None
        return min(self.newest[tp] for tp in heard) - self.definition.late_ms

    def _close(self, frontier_ms: int | None) -> None:
        """Compute the windows that end at or before the frontier."""
        before_ms = self.watermark_ms
        if frontier_ms is None or (before_ms is not None and frontier_ms <= before_ms):
            return
        size_ms = self.definition.windows.size_ms
        self.watermark_ms = frontier_ms
        first_ms = None if before_ms is None else before_ms - size_ms + 1
        self._add(self._evaluate(first_ms, frontier_ms - size_ms))
        self._forget()

    def _amend(self) -> None:
        """Compute the closed windows again that late records have changed."""
        if self._amended:
            starts = pl.Series(sorted(self._amended), dtype=pl.Int64)
            self._amended.clear()
            rows = self._evaluate(starts[0], starts[-1], only=starts)
            again = rows.select("window_start").unique()
            self._closed = self._closed.join(again, on="window_start", how="anti")
            self._add(rows)

    def _evaluate(
        self, first_ms: int | None, last_ms: int | None, only: pl.Series | None = None
    ) -> pl.DataFrame:
        return evaluate(self._held, self.definition, first_ms, last_ms, only)

    def _has_closed(self, start: pl.Expr) -> pl.Expr:
        """Whether the window that starts there has been computed."""
        until = pl.lit(self.watermark_ms, pl.Int64)
        return (start + self.definition.windows.size_ms <= until).fill_null(False)

    def _add(self, rows: pl.DataFrame) -> None:
        if rows.height:
            closed = pl.concat([self._closed, rows])
            self._closed = closed.rechunk() if closed.n_chunks() > _PIECES else closed

    def _forget(self) -> None:
        """Drop the records that no window needs, and the oldest rows beyond the history."""
        plan = self.definition
        if plan.keep_ms is not None and self.watermark_ms is not None:
            final_ms = self.watermark_ms - plan.windows.size_ms - plan.keep_ms
            if self._amended and min(self._amended) <= final_ms:
                self._amend()
            self._held = self._held.filter(plan.windows.last_start(pl.col(TIME)) > final_ms)
        if self._history is not None and self._closed.height > 1.25 * self._history:
            self.let_go += self._closed.height - self._history
            self._closed = self._closed.sort("window_start").tail(self._history)
            oldest_ms = self._closed["window_start"].dt.epoch("ms")[0]
            self._late = self._late.filter(pl.col(START) >= oldest_ms)
