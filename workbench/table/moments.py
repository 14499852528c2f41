"""Which records a table's question is about: its pinned start, times, positions, compaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from math import ceil
from typing import Literal

import polars as pl

from workbench.address import TimeFilter
from workbench.errors import CompactedTopic, InvalidRange, OffsetOutOfRange, did_you_mean
from workbench.positions import Position
from workbench.source.stream import StreamSource
from workbench.source.times import When, to_ms
from workbench.table.reading import Counts

AsOf = Literal["cut", "record", "latest surviving"]
AS_OF = ("cut", "record", "latest surviving")

#: How far beyond a time late arrivals are looked for where the log has no index of times.
LATE_MS = 3_600_000

#: A witness is so many offsets, of so many partitions.
_WITNESSES = 8


class Moments:
    """The moments of one table.  Thread-safe."""

    def __init__(self, stream: StreamSource, start: Position | None) -> None:
        self.stream = stream
        known = stream.start()
        self.start = known if start is None else start
        self._left_out = frozenset(tp for tp in known if tp not in self.start)

    def position(self, when: When) -> Position:
        """Where `when` is in each partition of the table; not before its start.

        Raises TopicChanged when a topic was made again: what is held is not of that one.
        """
        asked = self.stream.resolve(when)
        starts = dict(self.start)
        if not isinstance(when, Mapping):
            # A partition that was added since is read from its first record.
            starts |= {tp: 0 for tp in asked if tp not in starts and tp not in self._left_out}
        found = Position({tp: max(first, asked.get(tp, first)) for tp, first in starts.items()})
        self.stream.slice(found, found).check_topics()
        return found

    def pinned(self, end: Position) -> Position:
        """Where the records before `end` begin, whether or not they are still there."""
        return Position({tp: self.start.get(tp, 0) for tp in end})

    def starts(self, end: Position) -> Position:
        """Where the records before `end` begin.  Raises OffsetOutOfRange when that has expired."""
        starts = self.pinned(end)
        for tp, left in self.expired(starts, end).items():
            raise OffsetOutOfRange(
                f"the table starts at {tp[0]} {tp[1]}:{starts[tp]}, which has expired: partition "
                f"{tp[1]} of {tp[0]!r} begins at {left} now",
                hint="make the table again to start from what is left, or read a recording "
                "that still holds it",
            )
        return starts

    def expired(self, start: Position, end: Position) -> dict[tuple[str, int], int]:
        """The partitions that lack some records of `[start, end)`, and where they begin now."""
        left = self.stream.start()
        return {tp: left[tp] for tp, first in start.items() if first < left[tp] and first < end[tp]}

    def toward(self, start: Position, end: Position, records: int | None) -> Position:
        """A position about so many offsets after `start` on the way to `end`; None: the end.

        Where that works out it is the cut at a time, since those are what most ask for.
        """
        left = {tp: end[tp] - start[tp] for tp in end}
        total = sum(left.values())
        if records is None or total <= records * 3 // 2:
            return end
        even = {tp: start[tp] + ceil(number * records / total) for tp, number in left.items()}
        widest = max(left, key=lambda tp: left[tp])
        at = min(even[widest], end[widest] - 1)
        middle = self.stream.slice(Position({widest: at}), Position({widest: at + 1}))
        for stamp in middle.lazy().select("timestamp").collect()["timestamp"].drop_nulls():
            cut = self.stream.resolve(stamp)
            cut = Position({tp: min(max(cut.get(tp, 0), start[tp]), end[tp]) for tp in end})
            if records // 2 <= sum(cut[tp] - start[tp] for tp in end) <= records * 2:
                return cut
        return Position(even)

    def witness(self, position: Position) -> str | None:
        """A text about the newest records before a position, in a few of its partitions.

        None where they have expired.
        """
        newest = sorted(position, key=lambda tp: (-position[tp], tp))[:_WITNESSES]
        end = Position({tp: position[tp] for tp in newest})
        first = self.pinned(end)
        start = Position({tp: max(end[tp] - _WITNESSES, first[tp]) for tp in newest})
        if self.expired(start, end):
            return None
        newest_records = self.stream.slice(start, end).as_bytes()
        # A recording is as good a witness as its source.
        rows = newest_records.lazy(raw=True).drop("recorded_at").collect().rows()
        return sha256(repr(rows).encode()).hexdigest()

    def instant(self, when: When) -> datetime | None:
        """The time that `when` names, unless it names a position."""
        if isinstance(when, Mapping) or when in ("earliest", "now", "latest"):
            return None
        return self.stream.instant(when)

    def late_arrivals(self, instant: datetime, cut: Position) -> Counts:
        """How many records stamped before a time lie at or after the position cut at it."""
        at_ms, end = to_ms(instant), self.stream.end()
        highs: dict[tuple[str, int], int] = {}
        within = None
        for topic in self.stream.topics:
            ranges, within = self.stream.backend.cover(topic, None, at_ms, LATE_MS)
            highs |= {(topic, p): min(high, end[topic, p]) for p, (_, high) in ranges.items()}
        late = Position({tp: max(highs.get(tp, 0), first) for tp, first in cut.items()})
        beyond = self.stream.slice(cut, late, times=TimeFilter(end_ms=at_ms))
        number = beyond.lazy().select(pl.len()).collect().item()
        return Counts(late_arrivals=number, late_within_ms=within)

    def text(self, instant: datetime) -> str:
        """A time in UTC, and in the connection's zone where that is another."""
        there, utc = instant.astimezone(self.stream.tz), instant.astimezone(UTC)
        text = utc.strftime("%Y-%m-%d %H:%M:%S UTC")
        if there.utcoffset() == utc.utcoffset():
            return text
        return f"{there:%Y-%m-%d %H:%M:%S} {self.stream.tz} ({text})"

    @property
    def compacted(self) -> list[str]:
        """The topics of which only the latest records per key survive."""
        return [info.name for info in self.stream.infos if "compact" in info.cleanup_policy]

    @property
    def reservation(self) -> str:
        """What has to be said before what an answer is of: nothing where compaction is out."""
        if self.compacted:
            return "latest surviving records, "
        if any(info.cleanup_policy == "unknown" for info in self.stream.infos):
            return "if nothing was compacted, which the log does not tell, "
        return ""

    def check_as_of(self, as_of: str, known: Sequence[str]) -> None:
        """Check which question is asked.

        Raises InvalidRange for none of those known, and CompactedTopic for one about the past that
        compaction has made void.
        """
        if as_of not in known:
            raise InvalidRange(
                f"as_of={as_of!r} is no question that is answered here",
                hint=did_you_mean(as_of, known),
            )
        if as_of != "latest surviving":
            self.check_compaction('as_of="latest surviving" answers from the records that are left')

    def check_compaction(self, hint: str) -> None:
        """Raise CompactedTopic where what was before has gone."""
        if self.compacted:
            raise CompactedTopic(
                f"topic {self.compacted[0]!r} is compacted: what its keys were before has gone",
                hint=hint,
            )
