"""Reading a partition: sealed segments, then the hot tail, piece by piece.

Each piece comes from one read transaction that sees segment list, start of the hot tail and its
rows together; the next piece begins where the last one ended, whatever was sealed in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import apsw
import polars as pl

from workbench.errors import InvalidRange, OffsetOutOfRange
from workbench.log.embedded import hot, segments
from workbench.log.embedded.block import Block, raw_frame
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.segments import Companion, Segment
from workbench.log.embedded.topics import Topic
from workbench.records import Chunk, Gap

#: A chunk of the hot tail: this many records, or bytes, whichever comes first.
TAIL_ROWS = 100_000
TAIL_BYTES = 64 << 20

_MOST_SEGMENTS = 64  # of one piece: a reader that stops early has not hashed the whole topic


_Cut = tuple[int, int]  # offsets [start, end)


class _Ends(NamedTuple):
    pid: int
    log_start: int
    hot_start: int
    next_off: int


def read(catalog: Catalog, topic: Topic, partition: int, start: int, end: int) -> Iterator[Chunk]:
    """Hand out `[start, end)`; see `LogBackend.read`.  The range is checked at once."""
    if start > end:
        raise InvalidRange(f"{topic.name} {partition}: the range [{start}, {end}) is reversed")
    if start == end:
        return iter(())
    with catalog.read() as connection:
        _check(_ends(connection, topic, partition), topic, partition, start, end)
    return _chunks(catalog, topic, partition, start, end)


def gaps(catalog: Catalog, topic: Topic, partition: int, start: int, end: int) -> list[Gap]:
    """Gaps with a known reason inside `[start, end)`, cut to it; `expired` below the log start."""
    with catalog.read() as connection:
        ends = _ends(connection, topic, partition)
        found = _gaps(connection, ends.pid, topic, partition, max(start, ends.log_start), end)
    if start < min(end, ends.log_start):
        found.insert(0, Gap(topic.name, partition, start, min(end, ends.log_start), "expired"))
    return found


def _chunks(
    catalog: Catalog, topic: Topic, partition: int, start: int, end: int
) -> Iterator[Chunk]:
    while start < end:
        sealed, tail, cuts = _piece(catalog, topic, partition, start, end)
        if sealed:
            yield from _sealed_chunks(catalog, topic, partition, sealed, cuts)
        else:
            [(cut, known)] = cuts
            frame = raw_frame(catalog.root, topic.name, partition, tail)
            yield _chunk(topic, partition, cut, frame.lazy(), frame.height, known)
        start = cuts[-1][0][1]


def _sealed_chunks(
    catalog: Catalog,
    topic: Topic,
    partition: int,
    sealed: list[Segment],
    cuts: list[tuple[_Cut, list[Gap]]],
) -> Iterator[Chunk]:
    def check(segment: Segment) -> tuple[pl.LazyFrame, Companion | None]:
        raw = segments.raw(catalog.root, topic.name, partition, segment)
        return raw, segments.typed(catalog.root, segment)

    verified = segments.each_verified(check, sealed)
    for segment, (raw, companion), (cut, known) in zip(sealed, verified, cuts, strict=True):
        first, last = max(cut[0], segment.base_off), cut[1] - 1
        if (first, last) != (segment.base_off, segment.last_off):
            raw = _cut_out(raw, segment, first, last)
            if companion is not None:
                companion = companion._replace(
                    frame=_cut_out(companion.frame, segment, first, last)
                )
        count = last + 1 - first if _contiguous(segment) else raw.select(pl.len()).collect().item()
        yield _chunk(topic, partition, cut, raw, count, known, companion)


def _cut_out(frame: pl.LazyFrame, segment: Segment, first: int, last: int) -> pl.LazyFrame:
    """The rows of a segment from one offset through another."""
    if _contiguous(segment):  # then no row has to be looked at to know which they are
        return frame.slice(first - segment.base_off, last + 1 - first)
    return frame.filter(pl.col("offset").is_between(first, last))


def _contiguous(segment: Segment) -> bool:
    return segment.rows == segment.last_off + 1 - segment.base_off


def _piece(
    catalog: Catalog, topic: Topic, partition: int, start: int, end: int
) -> tuple[list[Segment], Block, list[tuple[_Cut, list[Gap]]]]:
    """What comes next, in one transaction: sealed segments, else a block of the hot tail.

    With it, for each chunk to be, the offsets it covers and the gaps known in them.
    """
    tail = Block(end)
    with catalog.read() as connection:
        ends = _ends(connection, topic, partition)
        _check(ends, topic, partition, start, end)
        sealed = segments.live(
            connection,
            "pid = ? AND last_off >= ? AND base_off < ?",
            (ends.pid, start, end),
            _MOST_SEGMENTS,
        )
        if sealed:
            bounds = [start, *(min(end, segment.last_off + 1) for segment in sealed)]
        else:
            tail = hot.take(
                connection, ends.pid, max(start, ends.hot_start), end, TAIL_ROWS, TAIL_BYTES
            )
            bounds = [start, tail.end]
        known = _gaps(connection, ends.pid, topic, partition, bounds[0], bounds[-1])
    return sealed, tail, [(cut, _within(known, cut)) for cut in pairwise(bounds)]


def _within(gaps: list[Gap], cut: _Cut) -> list[Gap]:
    """The parts of gaps that lie in a cut."""
    start, end = cut
    return [
        replace(gap, start=max(gap.start, start), end=min(gap.end, end))
        for gap in gaps
        if gap.start < end and gap.end > start
    ]


def _chunk(
    topic: Topic,
    partition: int,
    cut: _Cut,
    raw: pl.LazyFrame,
    count: int,
    known: list[Gap],
    companion: Companion | None = None,
) -> Chunk:
    start, end = cut
    if count + sum(gap.end - gap.start for gap in known) != end - start:
        offsets = raw.select("offset").collect().to_series().to_list()
        known = _with_unexplained(topic, partition, cut, offsets, known)
    return Chunk(
        topic=topic.name,
        partition=partition,
        start=start,
        end=end,
        raw=raw,
        typed=None if companion is None else companion.frame,
        typed_schema=None if companion is None else companion.schema,
        typed_path=None if companion is None else companion.path,
        rows=count,
        gaps=tuple(known),
    )


def _with_unexplained(
    topic: Topic, partition: int, cut: _Cut, offsets: list[int], known: list[Gap]
) -> list[Gap]:
    """The known gaps, and every other hole between the records."""
    taken = sorted([(o, o + 1) for o in offsets] + [(gap.start, gap.end) for gap in known])
    holes = []
    position = cut[0]
    for start, end in [*taken, (cut[1], cut[1])]:
        if start > position:
            holes.append(Gap(topic.name, partition, position, start, "unexplained"))
        position = max(position, end)
    return sorted([*known, *holes], key=lambda gap: gap.start)


def _ends(connection: apsw.Connection, topic: Topic, partition: int) -> _Ends:
    found = fetch(
        connection,
        "SELECT pid, log_start, hot_start, next_off FROM part WHERE tid = ? AND partition = ?",
        (topic.tid, partition),
    )
    if not found:
        raise InvalidRange(
            f"topic {topic.name} has no partition {partition}",
            hint=f"it has 0 to {topic.partitions - 1}",
        )
    return _Ends(*found[0])


def _check(ends: _Ends, topic: Topic, partition: int, start: int, end: int) -> None:
    place = f"topic {topic.name}, partition {partition}"
    if start < ends.log_start:
        raise OffsetOutOfRange(
            f"{place}: offset {start} has expired; what is left is "
            f"[{ends.log_start}, {ends.next_off})",
            hint=f"start at {ends.log_start} or later",
        )
    if end > ends.next_off:
        raise OffsetOutOfRange(
            f"{place}: the range ends at {end}, beyond the log's end {ends.next_off}",
            hint=f"what can be read is [{ends.log_start}, {ends.next_off})",
        )


def _gaps(
    connection: apsw.Connection, pid: int, topic: Topic, partition: int, start: int, end: int
) -> list[Gap]:
    found = fetch(
        connection,
        'SELECT max(start, ?2), min("end", ?3), reason FROM gap '
        'WHERE pid = ?1 AND start < ?3 AND "end" > ?2 ORDER BY start',
        (pid, start, end),
    )
    return [Gap(topic.name, partition, first, last, reason) for first, last, reason in found]
