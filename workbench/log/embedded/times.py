"""From times to offsets, exactly: segments know their oldest and newest timestamps."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from workbench.log.embedded import segments
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.layout import OFFSET_BITS, OFFSET_MASK
from workbench.log.embedded.segments import Segment
from workbench.log.embedded.topics import Topic
from workbench.records import TIMESTAMP

_HOT = """
SELECT p.pid, min(r.id), max(r.id) FROM part p JOIN record r
    ON r.id >= (p.pid << ?4) + max(p.hot_start, p.log_start) AND r.id < (p.pid + 1) << ?4
WHERE p.tid = ?1 AND p.hot_max_ts >= ?2 AND p.hot_min_ts < ?3 AND r.ts >= ?2 AND r.ts < ?3
GROUP BY p.pid
"""
_EVER = 1 << 62

_Found = dict[int, tuple[int, int]]


def offset_for_time(catalog: Catalog, topic: Topic, timestamp_ms: int) -> dict[int, int | None]:
    """Per partition the first offset at or after the time; see `LogBackend`."""
    partitions, sealed, hot = _overlap(catalog, topic, timestamp_ms, _EVER)
    answer: dict[int, int | None] = {}
    for pid, (partition, _, _) in partitions.items():
        first = _first(catalog, topic, partition, sealed.get(pid, ()), timestamp_ms, _EVER)
        answer[partition] = hot[pid][0] if first is None and pid in hot else first
    return answer


def cover(
    catalog: Catalog, topic: Topic, start_ms: int | None, end_ms: int | None
) -> dict[int, tuple[int, int]]:
    """The smallest offset ranges with every record of the time range; see `LogBackend`.

    Where there is none, the range is empty and at the partition's end.
    """
    low = -_EVER if start_ms is None else start_ms
    high = _EVER if end_ms is None else end_ms
    partitions, sealed, hot = _overlap(catalog, topic, low, high)
    answer = {}
    for pid, (partition, log_start, end) in partitions.items():
        if start_ms is None and end_ms is None:
            answer[partition] = (log_start, end)
            continue
        mine = sealed.get(pid, [])
        first = _first(catalog, topic, partition, mine, low, high)
        last = _last(catalog, topic, partition, mine, low, high)
        hot_first, hot_last = hot.get(pid, (None, None))
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
        hot = fetch(connection, _HOT, (topic.tid, low, high, OFFSET_BITS))
    sealed: dict[int, list[Segment]] = {}
    for segment in found:
        sealed.setdefault(segment.pid, []).append(segment)
    return (
        {pid: (partition, start, end) for pid, partition, start, end in parts},
        sealed,
        {pid: (first & OFFSET_MASK, last & OFFSET_MASK) for pid, first, last in hot},
    )


def _first(
    catalog: Catalog,
    topic: Topic,
    partition: int,
    sealed: Iterable[Segment],
    low: int,
    high: int,
) -> int | None:
    for segment in sealed:
        offset = _offset(catalog, topic, partition, segment, low, high, pl.col("offset").min())
        if offset is not None:
            return offset
    return None


def _last(
    catalog: Catalog,
    topic: Topic,
    partition: int,
    sealed: list[Segment],
    low: int,
    high: int,
) -> int | None:
    for segment in reversed(sealed):
        offset = _offset(catalog, topic, partition, segment, low, high, pl.col("offset").max())
        if offset is not None:
            return offset
    return None


def _offset(
    catalog: Catalog,
    topic: Topic,
    partition: int,
    segment: Segment,
    low: int,
    high: int,
    pick: pl.Expr,
) -> int | None:
    """The picked offset of those in the time range; overlapping is not yet containing."""
    times = pl.col("timestamp")
    inside = (times >= pl.lit(low).cast(TIMESTAMP)) & (times < pl.lit(high).cast(TIMESTAMP))
    frame = segments.raw(catalog.root, topic.name, partition, segment)
    offset: int | None = frame.filter(inside).select(pick).collect().item()
    return offset
