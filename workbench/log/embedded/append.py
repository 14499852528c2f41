"""Appending: offsets, stamps, idempotent retry."""

from __future__ import annotations

import time
from collections import Counter
from typing import NamedTuple

import apsw
import polars as pl

from workbench.errors import AppendRejected, OutOfSequence
from workbench.log.embedded import batches, hot
from workbench.log.embedded.batches import Batch, Records
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.topics import Topic
from workbench.log.protocol import Producer
from workbench.records import APPEND

_NEVER, _FOREVER = -(1 << 63), (1 << 63) - 1

_STATE = (
    "SELECT next_off, last_append_ts, hot_rows, hot_bytes, hot_min_ts, hot_max_ts FROM part "
    "WHERE pid = ?"
)
# Without RETURNING: the two take half the time of one that has both.
_MOVE = (
    "UPDATE part SET next_off = ?2, last_append_ts = ?3, hot_rows = ?4, hot_bytes = ?5, "
    "hot_min_ts = ?6, hot_max_ts = ?7 WHERE pid = ?1"
)
# To all topics, since a join with the topic's partitions takes longer than to pass over a few rows.
_PRODUCER = "SELECT epoch, last_seq, pid, last_base, last_end FROM producer WHERE producer_id = ?"

_NOTHING = pl.DataFrame(schema=APPEND)

Offsets = dict[int, tuple[int, int]]


class _Share(NamedTuple):
    """One partition's part of a batch."""

    partition: int
    packed: list[Batch]
    records: int
    bytes: int
    stamped: bool
    low: int  # the least and the greatest time that need no stamp
    high: int


class _Place(NamedTuple):
    """What a partition gave for a share: offsets up to `end`, and a stamp."""

    pid: int
    end: int
    stamp: int
    hot_rows: int
    hot_bytes: int


def append(
    catalog: Catalog, topic: Topic, records: pl.DataFrame, producer: Producer | None
) -> tuple[Offsets, float]:
    """Append a batch of the schema `APPEND`; see `LogBackend.append`.

    Returns the offsets, and how many segments the longest hot tail that it reached would fill.
    """
    shares = _prepare(topic, records)  # before the lock: others can append meanwhile
    if not shares:
        return {}, 0.0
    offsets: Offsets = {}
    full = 0.0
    with catalog.write() as connection:
        if producer is not None:
            done = _already_written(connection, topic, producer, shares)
            if done is not None:
                return done, 0.0
        now = time.time_ns() // 1_000_000
        for share in shares:
            place = _take(connection, topic, share, now)
            start = place.end - share.records
            hot.store(connection, place.pid, start, share.packed, place.stamp)
            offsets[share.partition] = (start, place.end)
            full = max(full, topic.segments(place.hot_rows, place.hot_bytes))
            if producer is not None:
                _remember(connection, producer, place.pid, offsets[share.partition])
    catalog.doorbell.ring()
    return offsets, full


def _prepare(topic: Topic, records: pl.DataFrame) -> list[_Share]:
    """All that can be known of a batch without the write lock."""
    try:  # the engine compares schemas in a tenth of the time that Python takes
        columns = _NOTHING.vstack(records).get_columns()
    except (pl.exceptions.SchemaError, pl.exceptions.ShapeError) as error:
        raise AppendRejected(
            f"topic {topic.name}: a batch has the columns {dict(records.schema)}",
            hint=f"they have to be {dict(APPEND)}",
        ) from error
    numbers = columns[0].to_list()
    counts = Counter(numbers)
    for number in counts:
        _check_partition(topic, number)
    _, timestamp, key, value, header = columns
    # A cast, since to_physical() goes through the query engine: 60 µs.
    times: list[int | None] = timestamp.cast(pl.Int64).to_list()
    if topic.timestamp_type == "append":
        times = [None] * len(times)
    if None in times:
        types = [batches.APPEND if t is None else batches.CREATE for t in times]
    else:
        types = [batches.CREATE] * len(times)
    whole = Records(times, types, key.to_list(), value.to_list(), batches.read_headers(header))
    if len(counts) == 1:
        return [_share(number, whole) for number in counts]
    # In lists, since sorting a frame goes through the engine too.
    whole = whole.pick(sorted(range(len(numbers)), key=numbers.__getitem__))
    shares = []
    first = 0
    for number, count in sorted(counts.items()):
        shares.append(_share(number, whole.part(first, first := first + count)))
    return shares


def _share(partition: int, records: Records) -> _Share:
    packed = batches.pack(records)
    return _Share(
        partition,
        packed,
        len(records),
        sum(batch.size for batch in packed),
        any(batch.stamped for batch in packed),
        min((b.min_ts for b in packed if b.min_ts is not None), default=_FOREVER),
        max((b.max_ts for b in packed if b.max_ts is not None), default=_NEVER),
    )


def _take(connection: apsw.Connection, topic: Topic, share: _Share, now: int) -> _Place:
    """Move a partition's end, and say what that gave.

    A stamp is never before an earlier one, and never moved by a user's times.
    """
    pid = topic.pids[share.partition]
    [state] = fetch(connection, _STATE, (pid,))
    end, stamp, hot_rows, hot_bytes, oldest, newest = state
    low, high = share.low, share.high
    if share.stamped:
        stamp = max(stamp, now)
        low, high = min(low, stamp), max(high, stamp)
    place = _Place(
        pid, end + share.records, stamp, hot_rows + share.records, hot_bytes + share.bytes
    )
    connection.execute(
        _MOVE,
        (
            *place,
            low if oldest is None else min(low, oldest),
            high if newest is None else max(high, newest),
        ),
    )
    return place


def _check_partition(topic: Topic, number: int | None) -> None:
    if number is None or not 0 <= number < topic.partitions:
        raise AppendRejected(
            f"topic {topic.name} has no partition {number}",
            hint=f"it has 0 to {topic.partitions - 1}",
        )


def _already_written(
    connection: apsw.Connection, topic: Topic, producer: Producer, shares: list[_Share]
) -> Offsets | None:
    """The original offsets when this is a retry of the newest batch, None when it is the next."""
    known = [row for row in fetch(connection, _PRODUCER, (producer.id,)) if row[2] in topic.numbers]
    if not known:
        return None
    epoch, sequence = max(known)[:2]
    if producer.epoch > epoch or (producer.epoch, producer.sequence) == (epoch, sequence + 1):
        return None
    newest = {
        topic.numbers[pid]: (base, end)
        for e, s, pid, base, end in known
        if (e, s) == (epoch, sequence)
    }
    same = {p: end - base for p, (base, end) in newest.items()} == {
        share.partition: share.records for share in shares
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
