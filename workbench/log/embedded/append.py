"""Appending: offsets, stamps, idempotent retry."""

from __future__ import annotations

import time
from collections import Counter
from itertools import chain
from typing import NamedTuple

import apsw
import polars as pl

from workbench.errors import AppendRejected, OutOfSequence
from workbench.log.embedded import rows
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.layout import OFFSET_BITS
from workbench.log.embedded.topics import Topic
from workbench.log.protocol import Producer
from workbench.records import APPEND

_ADVANCE = """
UPDATE part SET next_off = ?, last_append_ts = ?, hot_rows = hot_rows + ?,
    hot_bytes = hot_bytes + ?, hot_min_ts = min(ifnull(hot_min_ts, ?5), ?5),
    hot_max_ts = max(ifnull(hot_max_ts, ?6), ?6)
WHERE pid = ?7
"""

_NAMES = APPEND.names()
_TYPES = APPEND.dtypes()

Offsets = dict[int, tuple[int, int]]


class _Share(NamedTuple):
    """One partition's part of a batch that is sorted by partition."""

    partition: int
    rows: slice
    length: int
    bytes: int
    stamped: bool


class _Batch(NamedTuple):
    """What can be known of a batch without the write lock.  A time of None is to be stamped."""

    content: rows.Content
    times: list[int | None]
    types: list[int]
    shares: list[_Share]


class _Part(NamedTuple):
    """A partition as the catalog has it, under the write lock."""

    pid: int
    next_off: int
    last_append_ts: int
    hot_rows: int
    hot_bytes: int


def append(
    catalog: Catalog, topic: Topic, records: pl.DataFrame, producer: Producer | None
) -> tuple[Offsets, bool]:
    """Append a batch of the schema `APPEND`; see `LogBackend.append`.

    Returns the offsets, and whether a partition's hot tail has become long enough to be sealed.
    """
    if records.is_empty() and records.schema == APPEND:
        return {}, False
    batch = _prepare(topic, records)  # before the lock: others can append meanwhile
    with catalog.write() as connection:
        if producer is not None:
            done = _already_written(connection, topic, producer, batch.shares)
            if done is not None:
                return done, False
        parts = [_part(connection, topic, share.partition) for share in batch.shares]
        _insert(connection, batch, parts)
        offsets: Offsets = {}
        full = False
        for share, part in zip(batch.shares, parts, strict=True):
            offsets[share.partition] = (part.next_off, part.next_off + share.length)
            full |= part.hot_rows + share.length >= topic.segment_rows
            full |= part.hot_bytes + share.bytes >= topic.segment_bytes
            if producer is not None:
                _remember(connection, producer, part.pid, offsets[share.partition])
    catalog.doorbell.ring()
    return offsets, full


def _prepare(topic: Topic, records: pl.DataFrame) -> _Batch:
    columns = records.get_columns()
    if records.columns != _NAMES or [column.dtype for column in columns] != _TYPES:
        raise AppendRejected(
            f"topic {topic.name}: a batch has the columns {dict(records.schema)}",
            hint=f"they have to be {dict(APPEND)}",
        )
    numbers = columns[0].to_list()
    partitions = set(numbers)
    for number in partitions:
        _check_partition(topic, number)
    if len(partitions) > 1:
        columns = records.sort("partition", maintain_order=True).get_columns()
        numbers = columns[0].to_list()
    _, timestamp, key, value, header = columns
    content = rows.Content(key.to_list(), value.to_list(), rows.encode_headers(header))
    # A cast, since to_physical() goes through the query engine: 60 µs.
    times: list[int | None] = timestamp.cast(pl.Int64).to_list()
    if topic.timestamp_type == "append":
        times = [None] * len(numbers)
    types = [rows.CREATE] * len(numbers)
    if None in times:
        types = [rows.APPEND if t is None else rows.CREATE for t in times]
    counts = Counter(numbers) if len(partitions) > 1 else {numbers[0]: len(numbers)}
    shares = []
    first = 0
    for number, count in counts.items():
        mine = slice(first, first := first + count)
        shares.append(_Share(number, mine, count, content.bytes(mine), None in times[mine]))
    return _Batch(content, times, types, shares)


def _insert(connection: apsw.Connection, batch: _Batch, parts: list[_Part]) -> None:
    """Stamp what is to be stamped, write the rows, and move the partitions' ends."""
    now = time.time_ns() // 1_000_000
    times = batch.times
    stamps = [max(now, part.last_append_ts) for part in parts]
    for share, stamp in zip(batch.shares, stamps, strict=True):
        if share.stamped:
            times[share.rows] = [stamp if t is None else t for t in times[share.rows]]
    runs = list(map(_ids, parts, batch.shares))
    ids = runs[0] if len(runs) == 1 else list(chain.from_iterable(runs))
    crcs = list(batch.content.record_crcs(ids, times, batch.types))
    connection.executemany(
        rows.INSERT_APPENDED,
        zip(ids, times, batch.types, *batch.content.columns, crcs, strict=True),
    )
    for share, part, stamp in zip(batch.shares, parts, stamps, strict=True):
        mark = stamp if share.stamped else part.last_append_ts
        known: list[int] = times[share.rows]  # type: ignore[assignment]  # all stamped by now
        _advance(connection, part, share, known, mark)


def _advance(
    connection: apsw.Connection, part: _Part, share: _Share, times: list[int], mark: int
) -> None:
    connection.execute(
        _ADVANCE,
        (
            part.next_off + share.length,
            mark,
            share.length,
            share.bytes,
            min(times),
            max(times),
            part.pid,
        ),
    )


def _check_partition(topic: Topic, number: int | None) -> None:
    if number is None or not 0 <= number < topic.partitions:
        raise AppendRejected(
            f"topic {topic.name} has no partition {number}",
            hint=f"it has 0 to {topic.partitions - 1}",
        )


def _part(connection: apsw.Connection, topic: Topic, partition: int) -> _Part:
    [row] = fetch(
        connection,
        "SELECT pid, next_off, last_append_ts, hot_rows, hot_bytes FROM part "
        "WHERE tid = ? AND partition = ?",
        (topic.tid, partition),
    )
    return _Part(*row)


def _ids(part: _Part, share: _Share) -> range:
    first = part.pid << OFFSET_BITS | part.next_off
    return range(first, first + share.length)


def _already_written(
    connection: apsw.Connection, topic: Topic, producer: Producer, shares: list[_Share]
) -> Offsets | None:
    """The original offsets when this is a retry of the newest batch, None when it is the next."""
    known = fetch(
        connection,
        "SELECT epoch, last_seq, partition, last_base, last_end FROM producer JOIN part "
        "USING (pid) WHERE producer_id = ? AND tid = ? ORDER BY epoch, last_seq",
        (producer.id, topic.tid),
    )
    if not known:
        return None
    epoch, sequence = known[-1][:2]
    newest = {p: (base, end) for e, s, p, base, end in known if (e, s) == (epoch, sequence)}
    if producer.epoch > epoch or (producer.epoch, producer.sequence) == (epoch, sequence + 1):
        return None
    same = {p: end - base for p, (base, end) in newest.items()} == {
        share.partition: share.length for share in shares
    }
    if (producer.epoch, producer.sequence) == (epoch, sequence) and same:
        return newest
    raise OutOfSequence(
        f"producer {producer.id!r} sent epoch {producer.epoch}, sequence {producer.sequence} "
        f"to topic {topic.name}, whose newest batch of it is epoch {epoch}, sequence {sequence}",
        hint="retry the newest batch unchanged, or send the next one",
    )


def _remember(
    connection: apsw.Connection, producer: Producer, pid: int, offsets: tuple[int, int]
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO producer VALUES (?, ?, ?, ?, ?, ?)",
        (producer.id, pid, producer.epoch, producer.sequence, *offsets),
    )
