"""Recordings: another log's records at their own offsets, with its gaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import apsw
import polars as pl

from workbench.errors import InvalidRange, TopicChanged
from workbench.log.embedded import batches, hot, topics
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.topics import Topic
from workbench.log.protocol import TopicSpec
from workbench.positions import Position
from workbench.records import RAW, Gap, TopicInfo

_WRITE = """
UPDATE part SET next_off = ?1, hot_rows = hot_rows + ?2, hot_bytes = hot_bytes + ?3,
    hot_min_ts = min(ifnull(hot_min_ts, ?4), ifnull(?4, hot_min_ts)),
    hot_max_ts = max(ifnull(hot_max_ts, ?5), ifnull(?5, hot_max_ts))
WHERE pid = ?6 RETURNING hot_rows, hot_bytes
"""


def create_topic(
    catalog: Catalog, spec: TopicSpec, segment_rows: int, segment_bytes: int
) -> TopicInfo:
    """Make the topic of a recording, or go on with it.

    Raises `TopicChanged` when the source's topic of that name is another one by now.
    """
    known = {info.name: info for info in topics.infos(catalog)}
    if spec.name not in known:
        return topics.create(catalog, spec, segment_rows, segment_bytes)
    info = known[spec.name]
    if (info.id, info.source_log) != (spec.topic_id, spec.source_log):
        raise TopicChanged(
            f"topic {spec.name} was recorded with the id {info.id}, and the source's is now "
            f"{spec.topic_id}: it was deleted and made again",
            hint="record it into another folder",
        )
    if not set(spec.masked) <= set(info.masked):
        with catalog.write() as connection:
            topics.mark_masked(connection, spec)
    if spec.partitions > info.partitions:
        with catalog.write() as connection:
            connection.execute(
                "UPDATE topic SET partitions = ? WHERE name = ?", (spec.partitions, spec.name)
            )
            connection.executemany(
                "INSERT INTO part (tid, partition) SELECT tid, ? FROM topic WHERE name = ?",
                [(number, spec.name) for number in range(info.partitions, spec.partitions)],
            )
    return topics.info(catalog, spec.name)


def record_batch(
    catalog: Catalog,
    topic: Topic,
    partition: int,
    records: pl.DataFrame,
    start: int | None,
    end: int,
    gaps: Sequence[Gap],
) -> float:
    """Write records at their own offsets; see `EmbeddedLog.record_batch`.

    Returns how many segments the partition's hot tail would fill.
    """
    if records.schema != RAW:
        raise InvalidRange(
            f"topic {topic.name}: a batch has the columns {dict(records.schema)}",
            hint=f"they have to be {dict(RAW)}",
        )
    _, offset, timestamp, kind, key, value, header, epoch, received = records.get_columns()
    offsets = offset.to_list()
    packed = batches.pack(
        batches.Records(
            timestamp.cast(pl.Int64).to_list(),
            kind.to_physical().to_list(),
            key.to_list(),
            value.to_list(),
            batches.read_headers(header),
            offsets,
            _if_any(epoch),
            _if_any(received.cast(pl.Int64)),
        )
    )
    with catalog.write() as connection:
        pid, reached = _reached(connection, topic, partition)
        if reached is None:
            reached = _first(offsets, gaps, end) if start is None else start
            connection.execute(
                "UPDATE part SET log_start = ?1, hot_start = ?1, started = 1 WHERE pid = ?2",
                (reached, pid),
            )
        _check(topic, partition, reached, offsets, gaps, end)
        hot.store(connection, pid, 0, packed, None)
        connection.executemany(
            "INSERT INTO gap VALUES (?, ?, ?, ?)",
            [(pid, gap.start, gap.end, gap.reason) for gap in gaps],
        )
        lows = [batch.min_ts for batch in packed if batch.min_ts is not None]
        highs = [batch.max_ts for batch in packed if batch.max_ts is not None]
        written = sum(batch.size for batch in packed)
        oldest, newest = min(lows, default=None), max(highs, default=None)
        [(count, size)] = fetch(
            connection, _WRITE, (end, len(offsets), written, oldest, newest, pid)
        )
    catalog.doorbell.ring()
    return topic.segments(count, size)


def position(catalog: Catalog) -> Position:
    """Where each partition that has been recorded goes on."""
    return Position(
        {
            (name, partition): end
            for name, partition, end in catalog.rows(
                "SELECT name, partition, next_off FROM part JOIN topic USING (tid) WHERE started"
            )
        }
    )


def _if_any(column: pl.Series) -> list[int | None] | None:
    return None if column.null_count() == len(column) else column.to_list()


def _reached(connection: apsw.Connection, topic: Topic, partition: int) -> tuple[int, int | None]:
    found = fetch(
        connection,
        "SELECT pid, CASE WHEN started THEN next_off END FROM part WHERE tid = ? AND partition = ?",
        (topic.tid, partition),
    )
    if not found:
        raise InvalidRange(f"topic {topic.name} has no partition {partition}")
    pid, end = found[0]
    return pid, end


def _first(offsets: list[int], gaps: Sequence[Gap], end: int) -> int:
    return min([*offsets[:1], *(gap.start for gap in gaps), end])


def _check(
    topic: Topic,
    partition: int,
    reached: int,
    offsets: list[int],
    gaps: Sequence[Gap],
    end: int,
) -> None:
    """Refuse what overlaps, goes backwards, or lies outside `[position, end)`."""
    taken = sorted([(o, o + 1) for o in offsets] + [(gap.start, gap.end) for gap in gaps])
    bounds = [reached, *(bound for run in taken for bound in run), end]
    ascending = all(one < two for one, two in pairwise(offsets))
    if not ascending or any(one > two for one, two in pairwise(bounds)):
        raise InvalidRange(
            f"topic {topic.name}, partition {partition}: a batch with offsets "
            f"{offsets[:1]} to {offsets[-1:]} and {len(gaps)} gaps does not fit into "
            f"[{reached}, {end})",
            hint=f"the recording goes on at offset {reached}",
        )
