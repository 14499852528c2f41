"""Appending: offsets, stamps, idempotent retry."""

from __future__ import annotations

import time
from collections import Counter
from itertools import chain
from typing import NamedTuple, cast

import apsw
import polars as pl

from workbench.errors import AppendRejected, OutOfSequence
from workbench.log.embedded import rows
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.layout import OFFSET_BITS
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
    """One partition's part of a batch that is sorted by partition."""

    partition: int
    rows: slice
    length: int
    bytes: int
    stamped: bool
    low: int  # the least and the greatest time that need no stamp
    high: int


class _Batch(NamedTuple):
    """What can be known of a batch without the write lock.  A time of None is to be stamped."""

    content: rows.Content
    times: list[int | None]
    types: list[int]
    shares: list[_Share]


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
    batch = _prepare(topic, records)  # before the lock: others can append meanwhile
    if not batch.shares:
        return {}, 0.0
    # Where this process is the only one that writes to these partitions, the offsets are known.
    guess = [catalog.ends.get(topic.pids[share.partition]) for share in batch.shares]
    known = None not in guess and not any(share.stamped for share in batch.shares)
    insertions = _bind(topic, batch, cast(list[int], guess)) if known else []
    with catalog.write() as connection:
        if producer is not None:
            done = _already_written(connection, topic, producer, batch.shares)
            if done is not None:
                return done, 0.0
        now = time.time_ns() // 1_000_000
        places = [_take(connection, topic, share, now) for share in batch.shares]
        starts = [p.end - share.length for p, share in zip(places, batch.shares, strict=True)]
        if not known or starts != guess:
            _stamp(batch, places)
            insertions = _bind(topic, batch, starts)
        _insert(connection, insertions)
        offsets: Offsets = {}
        hot = 0.0
        for share, place in zip(batch.shares, places, strict=True):
            offsets[share.partition] = (place.end - share.length, place.end)
            catalog.ends[place.pid] = place.end
            hot = max(hot, topic.segments(place.hot_rows, place.hot_bytes))
            if producer is not None:
                _remember(connection, producer, place.pid, offsets[share.partition])
    catalog.doorbell.ring()
    return offsets, hot


def _prepare(topic: Topic, records: pl.DataFrame) -> _Batch:
    try:  # the engine compares schemas in a tenth of the time that Python takes
        columns = _NOTHING.vstack(records).get_columns()
    except (pl.exceptions.SchemaError, pl.exceptions.ShapeError) as error:
        raise AppendRejected(
            f"topic {topic.name}: a batch has the columns {dict(records.schema)}",
            hint=f"they have to be {dict(APPEND)}",
        ) from error
    numbers = columns[0].to_list()
    partitions = set(numbers)
    for number in partitions:
        _check_partition(topic, number)
    _, timestamp, key, value, header = columns
    keys, values, headers = key.to_list(), value.to_list(), rows.encode_headers(header)
    # A cast, since to_physical() goes through the query engine: 60 µs.
    times: list[int | None] = timestamp.cast(pl.Int64).to_list()
    if len(partitions) > 1:  # as lists, since sorting a frame goes through the engine too
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        numbers, times = [numbers[at] for at in order], [times[at] for at in order]
        keys, values = [keys[at] for at in order], [values[at] for at in order]
        headers = [headers[at] for at in order]
    content = rows.Content(keys, values, headers)
    types = [rows.CREATE] * len(times)
    stamped = topic.timestamp_type == "append" or timestamp.null_count() > 0
    if topic.timestamp_type == "append":
        times = [None] * len(times)
    if stamped:
        types = [rows.APPEND if t is None else rows.CREATE for t in times]
    if len(partitions) == 1:
        [number] = partitions
        shares = [_share(number, slice(None), content.bytes, times, stamped=stamped)]
        return _Batch(content, times, types, shares)
    shares = []
    first = 0
    for number, count in Counter(numbers).items():
        mine = slice(first, first := first + count)
        shares.append(_share(number, mine, content.bytes_of(mine), times[mine], stamped=stamped))
    return _Batch(content, times, types, shares)


def _share(
    partition: int, mine: slice, size: int, times: list[int | None], *, stamped: bool
) -> _Share:
    known = [t for t in times if t is not None] if stamped else cast(list[int], times)
    low, high = min(known, default=_FOREVER), max(known, default=_NEVER)
    return _Share(partition, mine, len(times), size, len(known) < len(times), low, high)


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
    place = _Place(pid, end + share.length, stamp, hot_rows + share.length, hot_bytes + share.bytes)
    connection.execute(
        _MOVE,
        (
            *place,
            low if oldest is None else min(low, oldest),
            high if newest is None else max(high, newest),
        ),
    )
    return place


def _stamp(batch: _Batch, places: list[_Place]) -> None:
    """Give the records without a time the one of their partition."""
    times = batch.times
    for share, place in zip(batch.shares, places, strict=True):
        if share.stamped:
            times[share.rows] = [place.stamp if t is None else t for t in times[share.rows]]


def _bind(topic: Topic, batch: _Batch, starts: list[int]) -> list[rows.Insertion]:
    """What writes the records at these offsets, one start per share."""
    runs = []
    for share, start in zip(batch.shares, starts, strict=True):
        first = topic.pids[share.partition] << OFFSET_BITS | start
        runs.append(range(first, first + share.length))
    ids = runs[0] if len(runs) == 1 else list(chain.from_iterable(runs))
    return rows.bind(batch.content, ids, batch.times, batch.types)


def _insert(connection: apsw.Connection, insertions: list[rows.Insertion]) -> None:
    for statement, values in insertions:
        connection.execute(statement, values)


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
