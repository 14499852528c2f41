"""From times to offsets, exactly: segments know their oldest and newest timestamps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from workbench.log.embedded import hot, segments
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.segments import Segment
from workbench.log.embedded.topics import Topic
from workbench.records import TIMESTAMP

_EVER = 1 << 62

_Found = dict[int, tuple[int, int]]


def offset_for_time(catalog: Catalog, topic: Topic, timestamp_ms: int) -> dict[int, int | None]:
    """Per partition the first offset at or after the time; see `LogBackend`."""
    partitions, sealed, tails = _overlap(catalog, topic, timestamp_ms, _EVER)
    spans = _Spans(catalog, topic, timestamp_ms, _EVER)
    spans.look({pid: mine[:1] for pid, mine in sealed.items()}, partitions)
    answer: dict[int, int | None] = {}
    for pid, (partition, _, _) in partitions.items():
        first = spans.first(partition, sealed.get(pid, []))
        answer[partition] = tails[pid][0] if first is None and pid in tails else first
    return answer


def cover(
    catalog: Catalog, topic: Topic, start_ms: int | None, end_ms: int | None
) -> dict[int, tuple[int, int]]:
    """The smallest offset ranges with every record of the time range; see `LogBackend`.

    Where there is none, the range is empty and at the partition's end.
    """
    low = -_EVER if start_ms is None else start_ms
    high = _EVER if end_ms is None else end_ms
    partitions, sealed, tails = _overlap(catalog, topic, low, high)
    if start_ms is None and end_ms is None:
        return {partition: (start, end) for partition, start, end in partitions.values()}
    spans = _Spans(catalog, topic, low, high)
    spans.look({pid: [mine[0], mine[-1]] for pid, mine in sealed.items()}, partitions)
    answer = {}
    for pid, (partition, _, end) in partitions.items():
        mine = sealed.get(pid, [])
        first, last = spans.first(partition, mine), spans.last(partition, mine)
        hot_first, hot_last = tails.get(pid, (None, None))
        first = hot_first if first is None else first
        last = last if hot_last is None else hot_last
        answer[partition] = (end, end) if first is None or last is None else (first, last + 1)
    return answer


def _overlap(
    catalog: Catalog, topic: Topic, low: int, high: int
) -> tuple[dict[int, tuple[int, int, int]], dict[int, list[Segment]], _Found]:
    """What may hold records of `[low, high)`, in one transaction and three queries.

    Partitions (number, start, end), the segments that overlap in time, and the first and last
    offset in the hot tail; each by the partition's id.
    """
    with catalog.read() as connection:
        parts = fetch(
            connection,
            "SELECT pid, partition, log_start, next_off FROM part WHERE tid = ?",
            (topic.tid,),
        )
        found = segments.live(
            connection,
            "pid IN (SELECT pid FROM part WHERE tid = ?) AND max_ts >= ? AND min_ts < ?",
            (topic.tid, low, high),
        )
        tails = hot.spans(connection, topic.tid, low, high)
    sealed: dict[int, list[Segment]] = {}
    for segment in found:
        sealed.setdefault(segment.pid, []).append(segment)
    return (
        {pid: (partition, start, end) for pid, partition, start, end in parts},
        sealed,
        tails,
    )


class _Spans:
    """The first and last offset of a time range within segments that overlap it.

    Overlapping is not yet containing.  Each segment is read at most once, and those that are
    named to `look` at the same time.
    """

    def __init__(self, catalog: Catalog, topic: Topic, low: int, high: int) -> None:
        self._catalog = catalog
        self._topic = topic
        times = pl.col("timestamp")
        self._inside = (times >= pl.lit(low).cast(TIMESTAMP)) & (
            times < pl.lit(high).cast(TIMESTAMP)
        )
        self._found: dict[int, tuple[int | None, int | None]] = {}

    def look(
        self,
        wanted: Mapping[int, Iterable[Segment]],
        partitions: Mapping[int, tuple[int, int, int]],
    ) -> None:
        """Read these segments of each partition, by its id, in parallel."""
        plans = {
            segment.sid: self._plan(partitions[pid][0], segment)
            for pid, mine in wanted.items()
            for segment in mine
        }
        frames = pl.collect_all(list(plans.values()))
        self._found.update(zip(plans, (frame.row(0) for frame in frames), strict=True))

    def first(self, partition: int, among: Iterable[Segment]) -> int | None:
        spans = (self._span(partition, segment) for segment in among)
        return next((first for first, _ in spans if first is not None), None)

    def last(self, partition: int, among: Sequence[Segment]) -> int | None:
        spans = (self._span(partition, segment) for segment in reversed(among))
        return next((last for _, last in spans if last is not None), None)

    def _span(self, partition: int, segment: Segment) -> tuple[int | None, int | None]:
        if segment.sid not in self._found:
            first, last = self._plan(partition, segment).collect().row(0)
            self._found[segment.sid] = (first, last)
        return self._found[segment.sid]

    def _plan(self, partition: int, segment: Segment) -> pl.LazyFrame:
        frame = segments.raw(self._catalog.root, self._topic.name, partition, segment)
        offset = pl.col("offset")
        return frame.filter(self._inside).select(offset.min(), offset.max().alias("last"))
