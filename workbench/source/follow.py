"""Following a stream as a durable consumer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from workbench.errors import LeaseLost
from workbench.log.protocol import Membership
from workbench.positions import Position, TopicPartition
from workbench.source.stream import StreamSource

#: How many offsets per partition one batch covers at most.
BATCH_OFFSETS = 20_000
_log = logging.getLogger("workbench")

#: How long one wait for new records lasts before the assignment is looked at, in seconds.
WAIT_SECONDS = 1.0


def follow(
    stream: StreamSource,
    start: Position,
    *,
    group: str | None = None,
    until: Position | None = None,
    timeout: float | None = None,
    join_existing: bool | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield new records as they come, a frame at a time, ordered by topic, partition, offset.

    With a group, the position is committed when the loop body has finished and asks for the next
    batch; after a `break`, an error or a crash in the body that batch comes again (at-least-once).
    A partition that is added to a topic meanwhile is read from its first record.  Ends when `until`
    is reached or nothing came for `timeout` seconds; by default never.

    For one thread; several processes of one group share the partitions.
    """
    member: Membership = (
        _Alone(start)
        if group is None
        else stream.backend.join(group, start, join_existing=join_existing)
    )
    # Alone, what is added to a topic is ours; a group gives it to one of its members.
    known = frozenset(stream.end()) if group is None else None
    try:
        yield from _consume(stream, member, known, until, timeout)
    finally:
        member.leave()


def _consume(
    stream: StreamSource,
    member: Membership,
    known: frozenset[TopicPartition] | None,
    until: Position | None,
    timeout: float | None,
) -> Iterator[pl.DataFrame]:
    quiet_since = time.monotonic()
    while True:
        position = member.assignment()
        end = stream.end()
        if known is not None:
            added = {tp: 0 for tp in end if tp not in known and tp not in position}
            position = position.merge(added)
        stop = Position(
            {
                tp: max(min(end[tp], offset + BATCH_OFFSETS, *_limit(until, tp)), offset)
                for tp, offset in position.items()
                if tp in end
            }
        )
        if any(stop[tp] > position[tp] for tp in stop):
            # The batch is bounded already.
            frame = replace(
                stream.slice(position, stop), max_read=None, max_read_bytes=None
            ).frame()
            if frame.height:
                yield frame
            try:
                member.commit(stop)
            except LeaseLost as error:  # whoever has the partitions now gets this batch again
                _log.warning("%s", error)
            quiet_since = time.monotonic()
            continue
        if until is not None and all(position[tp] >= until.get(tp, 0) for tp in position):
            return
        patience = WAIT_SECONDS
        if timeout is not None:
            patience = min(patience, quiet_since + timeout - time.monotonic())
            if patience <= 0:
                return
        stream.backend.wait(position, patience)


def _limit(until: Position | None, tp: TopicPartition) -> tuple[int, ...]:
    return () if until is None else (until.get(tp, 0),)


class _Alone:
    """A reader outside any group: it keeps its position in memory."""

    def __init__(self, start: Position) -> None:
        self._position = start

    def assignment(self) -> Position:
        return self._position

    def commit(self, position: Position) -> None:
        self._position = position

    def leave(self) -> None:
        """Nothing is held."""
