"""The hot tail of a partition: stored batches that are not sealed yet, or not deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import apsw

from workbench.log.embedded import batches
from workbench.log.embedded.batches import Batch, Records
from workbench.log.embedded.block import Block
from workbench.log.embedded.catalog import fetch
from workbench.log.embedded.layout import OFFSET_BITS, OFFSET_MASK

_STORE = "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# From the batch in which the first offset lies: it may begin before that.
_WITHIN = (
    "id >= ifnull((SELECT max(id) FROM batch WHERE id >= :base AND id <= :first), :first) "
    "AND id < :end AND last_id >= :first"
)
_ENDED = "SELECT id, records FROM batch WHERE id >= ?1 AND id < ?2 AND last_id < ?2"
_DELETE = (
    "DELETE FROM batch WHERE id IN (SELECT id FROM ("
    "SELECT id, sum(records) OVER (ORDER BY id) - records AS older "
    f"FROM ({_ENDED} ORDER BY id LIMIT ?3)) WHERE older < ?3)"
)
# Of each partition the first and the last batch that overlap a time range.
_OUTERMOST = """
SELECT pid, start, next_off, batch.* FROM (
    SELECT pid, max(hot_start, log_start) AS start, next_off, min(id) AS first, max(id) AS last
    FROM part JOIN batch ON id >= pid << :bits AND id < (pid + 1) << :bits
        AND last_id >= (pid << :bits) + max(hot_start, log_start)
    WHERE tid = :tid AND hot_max_ts >= :low AND hot_min_ts < :high
        AND max_ts >= :low AND min_ts < :high
    GROUP BY pid
) JOIN batch ON id IN (first, last) ORDER BY id
"""


class _Stored(NamedTuple):
    """A row of the table `batch`."""

    id: int
    last_id: int
    records: int
    size: int
    min_ts: int | None
    max_ts: int | None
    untimed: int
    stamp: int | None
    crc: int
    content: bytes

    @property
    def base(self) -> int:
        return self.id & OFFSET_MASK

    @property
    def end(self) -> int:
        return (self.last_id & OFFSET_MASK) + 1

    def is_sound(self) -> bool:
        return self.crc == batches.checksum(crc32(self.content), *self[:8])

    def cut(self, start: int, end: int) -> tuple[int, Records, int]:
        """Its records with offsets in `[start, end)`: what they count from, and their bytes."""
        records = batches.unpack(self.content, self.stamp)
        base = self.base
        if start <= base and end >= self.end:
            return base, records, self.size
        first, last = (records.index(offset - base) for offset in (start, end))
        part = records.part(first, last)
        return base + first if part.offsets is None else base, part, part.size()

    def inside(self, start: int, end: int, low: int, high: int) -> list[int]:
        """Its offsets in `[start, end)` whose times are in `[low, high)`; of damage the ends."""
        if not self.is_sound():
            return [max(start, self.base), min(end, self.end) - 1]
        base, records, _ = self.cut(start, end)
        return [
            base + records.offset(at)
            for at, time in enumerate(records.times)
            if time is not None and low <= time < high
        ]


def store(
    connection: apsw.Connection, pid: int, start: int, packed: list[Batch], stamp: int | None
) -> None:
    """Write batches whose offsets count from `start`, and give the stamp to those that need it."""
    base = (pid << OFFSET_BITS) + start
    for batch in packed:
        low, high, untimed, given = batch.min_ts, batch.max_ts, batch.untimed, None
        if stamp is not None and batch.stamped:
            low = stamp if low is None else min(low, stamp)
            high = stamp if high is None else max(high, stamp)
            untimed, given = untimed - batch.stamped, stamp
        facts = (
            base + batch.first,
            base + batch.last,
            batch.records,
            batch.size,
            low,
            high,
            untimed,
            given,
        )
        crc = batches.checksum(batch.crc, *facts)
        connection.execute(_STORE, (*facts, crc, batch.content))


def take(
    connection: apsw.Connection, pid: int, start: int, end: int, most: int, most_bytes: int
) -> Block:
    """Records with offsets in `[start, end)`; the block's end says how far they go.

    At most `most`, and no further batch after the one that reaches `most_bytes`.
    """
    block = Block(end)
    for stored in _within(connection, pid, start, end):
        if not stored.is_sound():
            block.damaged.append((max(stored.base, start), min(max(stored.end, start + 1), end)))
            continue
        base, records, size = stored.cut(start, end)
        room = most - len(block)
        if len(records) > room:
            records = records.part(0, room)
            size = records.size()
        block.add(base, records, size)
        if len(block) == most or block.size >= most_bytes:
            block.end = base + records.offset(len(records) - 1) + 1
            break
    return block


def first_since(connection: apsw.Connection, pid: int, start: int, end: int, time_ms: int) -> int:
    """The first offset in `[start, end)` whose record has a time from `time_ms` on, or none.

    `end` where there is no such record; what is damaged counts as one.
    """
    since = "(max_ts >= :time OR untimed > 0)"
    for stored in _within(connection, pid, start, end, since, time=time_ms):
        if not stored.is_sound():
            return max(start, stored.base)
        base, records, _ = stored.cut(start, end)
        for at, time in enumerate(records.times):
            if time is None or time >= time_ms:
                return base + records.offset(at)
    return end


def first_within(
    connection: apsw.Connection, pid: int, start: int, end: int, most_bytes: int
) -> int:
    """The last offset in `[start, end)` such that from there on at least `most_bytes` remain.

    `start` where less remains.
    """
    remaining = 0
    for stored in _within(connection, pid, start, end, order="DESC"):
        if remaining + stored.size >= most_bytes:
            base, records, _ = stored.cut(start, end)
            for at, size in reversed(list(enumerate(records.sizes()))):
                remaining += size
                if remaining >= most_bytes:
                    return base + records.offset(at)
            break
        remaining += stored.size
    return start


def spans(connection: apsw.Connection, tid: int, low: int, high: int) -> dict[int, tuple[int, int]]:
    """The first and the last hot offset with a time in `[low, high)`, by the partition's id.

    One query for all partitions; those with none are left out.  What is damaged counts as if it
    had such a time: who reads it is told.
    """
    bindings = {"tid": tid, "low": low, "high": high, "bits": OFFSET_BITS}
    outermost: dict[tuple[int, int, int], list[_Stored]] = {}
    for pid, start, end, *stored in fetch(connection, _OUTERMOST, bindings):
        outermost.setdefault((pid, start, end), []).append(_Stored(*stored))
    found = {}
    for (pid, start, end), candidates in outermost.items():
        first = candidates[0].inside(start, end, low, high)
        last = candidates[-1].inside(start, end, low, high)
        if not first or not last:  # overlapping is not yet containing
            every = [
                offset
                for stored in _within(connection, pid, start, end)
                for offset in stored.inside(start, end, low, high)
            ]
            first = last = every
        if first:
            found[pid] = (first[0], last[-1])
    return found


def totals(
    connection: apsw.Connection, pid: int, start: int, end: int
) -> tuple[int, int, int | None, int | None]:
    """Records, bytes, and the oldest and newest time of `[start, end)`."""
    records = size = 0
    times: list[int] = []
    for stored in _within(connection, pid, start, end):
        if stored.base < start and stored.is_sound():
            _, part, part_size = stored.cut(start, end)
            records, size = records + len(part), size + part_size
            times += [time for time in part.times if time is not None]
        else:
            records, size = records + stored.records, size + stored.size
            times += [time for time in (stored.min_ts, stored.max_ts) if time is not None]
    return records, size, min(times, default=None), max(times, default=None)


def delete(connection: apsw.Connection, pid: int, before: int, most: int) -> None:
    """Delete the oldest batches that end before an offset: up to `most` records, or one batch."""
    base = pid << OFFSET_BITS
    connection.execute(_DELETE, (base, base + before, most))


def is_left(connection: apsw.Connection, pid: int, before: int) -> bool:
    """Whether there is a batch that ends before an offset."""
    base = pid << OFFSET_BITS
    return bool(fetch(connection, f"{_ENDED} LIMIT 1", (base, base + before)))


def _within(
    connection: apsw.Connection,
    pid: int,
    start: int,
    end: int,
    which: str = "1",
    order: str = "ASC",
    **bindings: int,
) -> Iterator[_Stored]:
    """The batches that reach into `[start, end)`."""
    base = pid << OFFSET_BITS
    bindings |= {"base": base, "first": base + start, "end": base + end}
    cursor = connection.execute(
        f"SELECT * FROM batch WHERE {_WITHIN} AND {which} ORDER BY id {order}", bindings
    )
    try:
        yield from map(_Stored._make, cursor)
    finally:
        cursor.close(True)  # one that is left open would keep the WAL growing
