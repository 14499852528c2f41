"""One or several topics with their decoding: open-ended, until a slice is cut from them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import Self, cast, get_args

import polars as pl

from workbench.address import Address, Decoding, Format, KeyForm, TimeFilter
from workbench.decode import PLAIN_FORMATS, Codebook, Settled, settle
from workbench.errors import InvalidRange, SchemaError
from workbench.log.protocol import LogBackend
from workbench.positions import Position
from workbench.records import RAW, Isolation, Lateness, PartitionInfo, TopicInfo
from workbench.schema import Schema
from workbench.source.columns import frame_schema
from workbench.source.slice import SliceSource
from workbench.source.times import When, from_ms, parse_instant

#: How many records of a topic are looked at to infer its schema.
SAMPLE_ROWS = 10_000
_SAMPLED = {name: RAW[name] for name in ("value", "headers")}


@dataclass(frozen=True, slots=True)
class Asked:
    """The decoding as a person asked for it: what is "auto" or missing is found out."""

    value: str = "auto"
    key: KeyForm = "text"
    schemas: tuple[tuple[str, Schema], ...] = ()
    time: str | None = None

    def __post_init__(self) -> None:
        if self.key not in get_args(KeyForm):
            raise SchemaError(
                f"keys are decoded as text or bytes, not as {self.key!r}",
                hint='decode_key="text" or decode_key="bytes"',
            )

    def schema(self, topic: str) -> Schema | None:
        """The schema given for one topic."""
        return dict(self.schemas).get(topic)


@dataclass(frozen=True)
class StreamSource:
    """Topics of one log and how their records become columns.

    Thread-safe.  The schema of a topic without a declared one is inferred from a sample once and
    then pinned: in the log where it can keep it, else in every address made from here.
    """

    backend: LogBackend
    topics: tuple[str, ...]
    asked: Asked = field(default_factory=lambda: Asked())
    isolation: Isolation = "read_committed"
    tz: tzinfo = UTC
    max_read: int | None = None
    max_read_bytes: int | None = None
    codebook: Codebook = field(default_factory=Codebook)

    def checked(self) -> Self:
        """Itself, after looking up its topics.  Raises UnknownTopic."""
        assert self.infos
        return self

    @cached_property
    def infos(self) -> tuple[TopicInfo, ...]:
        """The topics as they were when the stream was made.  Raises UnknownTopic."""
        return tuple(self.backend.topic(name) for name in self.topics)

    @cached_property
    def _settled(self) -> dict[str, Settled]:
        return {}

    @property
    def decided(self) -> dict[str, str]:
        """By topic what its records are decoded as, and why: one sentence each."""
        found = {info.name: self._settle(info) for info in self.infos}
        return {
            topic: one.reason if one else "nothing yet, for want of values to look at"
            for topic, one in found.items()
        }

    @property
    def decoding(self) -> Decoding:
        """The decoding with a schema for each topic that has a record or a declared one."""
        kinds = {info.name: self._settle(info) for info in self.infos}
        # A topic without values says nothing of its format yet.
        names: set[Format] = {one.format for one in kinds.values() if one} or {"json"}
        if len(names) > 1:
            # Several topics in one frame need one decoder; text would lose columns.
            listing = ", ".join(f"{topic}: {one and one.format}" for topic, one in kinds.items())
            raise InvalidRange(
                f"the topics are not of one format ({listing})",
                hint='read them apart, or say decode="text" or decode="bytes"',
            )
        return Decoding(
            value=names.pop(),
            key=self.asked.key,
            schemas=tuple(
                (t, one.schema) for t, one in kinds.items() if one and one.schema is not None
            ),
            time=self.asked.time,
        )

    @property
    def schema(self) -> pl.Schema:
        """Columns and types of the decoded frame."""
        return frame_schema(self.decoding, self.topics)

    def start(self) -> Position:
        """The log start of each partition, now."""
        return Position({(p.topic, p.partition): p.start for p in self._partitions()})

    def end(self) -> Position:
        """What can be read now: the last stable offset, or the high watermark if uncommitted."""
        committed = self.isolation == "read_committed"
        return Position(
            {
                (p.topic, p.partition): p.last_stable if committed else p.end
                for p in self._partitions()
            }
        )

    def instant(self, when: object) -> datetime:
        """The UTC time that `when` names; durations count back from now or the last record."""
        base_ms = self.base_ms() if isinstance(when, str) else 0
        return from_ms(parse_instant(when, tz=self.tz, base_ms=base_ms))

    def base_ms(self) -> int:
        """What durations count from: now on a live log, the last record on a recording."""
        if self.backend.live:
            return int(time.time() * 1000)
        newest = [p.max_timestamp_ms for p in self._partitions() if p.max_timestamp_ms is not None]
        return max(newest, default=0)

    def resolve(self, when: When) -> Position:
        """The position that `when` names.

        A time is the position cut at that time: per partition the first offset whose timestamp is
        at or after it, else the end.  `"earliest"` and `"now"` are the ends.  Offsets that are
        given hold for the partitions they name; of a stream's other partitions, nothing is meant.

        Raises InvalidRange for what is none of these, names a partition that is not there, or is a
        position in other topics alone.
        """
        if isinstance(when, Position):
            return self._known(when)
        if isinstance(when, Mapping):
            if len(self.topics) != 1:
                raise InvalidRange(
                    "offsets per partition need a stream of one topic",
                    hint="use a wb.Position over (topic, partition)",
                )
            return self._known(
                Position(
                    {
                        (self.topics[0], p): o
                        for p, o in _offsets(cast(Mapping[int, int], when)).items()
                    }
                )
            )
        if when == "earliest":
            return self.start()
        end = self.end()
        if when in ("now", "latest"):
            return end
        at_ms = parse_instant(when, tz=self.tz, base_ms=self.base_ms())
        found = {
            (topic, partition): offset
            for topic in self.topics
            for partition, offset in self.backend.offset_for_time(topic, at_ms).items()
        }
        # A record may have come between the two look-ups: never beyond the end that was pinned.
        return Position(
            {
                tp: stop if (at := found.get(tp)) is None else min(at, stop)
                for tp, stop in end.items()
            }
        )

    def slice(
        self,
        start: Position,
        end: Position,
        *,
        times: TimeFilter | None = None,
        keys: Sequence[bytes] | None = None,
    ) -> SliceSource:
        """The records in `[start, end)` of the partitions that both name.

        Raises InvalidRange when a partition's end lies before its start.
        """
        shared = [tp for tp in end if tp in start]
        for tp in shared:
            if end[tp] < start[tp]:
                raise InvalidRange(
                    f"{tp[0]} partition {tp[1]}: the range ends at {end[tp]}, before its start "
                    f"{start[tp]}",
                    hint="are the bounds swapped, or does it start beyond the end of the topic?",
                )
        ids = {info.name: info.id for info in self.infos}
        touched = sorted({topic for topic, _ in shared} or set(self.topics))
        address = Address(
            log_id=self.backend.id,
            log_kind=self.backend.kind,
            hint=self.backend.hint,
            topic_ids=tuple((name, ids[name]) for name in touched),
            start=Position({tp: start[tp] for tp in shared}),
            end=Position({tp: end[tp] for tp in shared}),
            times=times,
            keys=None if keys is None else tuple(keys),
            isolation=self.isolation,
            decoding=self.decoding,
        )
        limits = (self.max_read, self.max_read_bytes)
        return SliceSource(self.backend, address, *limits, self.codebook)

    def between(self, start: When, end: When, *, late_ms: Lateness = None) -> SliceSource:
        """The slice from `start` to `end`, where a time keeps the records stamped inside.

        Two times `[t0, t1)` give every record stamped in between, however late it came (`late_ms`
        bounds the search on logs without an index of times).  A bound that is a position cuts
        there and filters nothing.  Raises InvalidRange when the range is empty or reversed; of a
        time and a word too, where "now" is the last record of a recording.
        """
        base_ms = self.base_ms()
        first_ms, last_ms = (
            None
            if isinstance(bound, Mapping)
            or (isinstance(bound, str) and bound in ("earliest", "now", "latest"))
            else parse_instant(bound, tz=self.tz, base_ms=base_ms)
            for bound in (start, end)
        )
        if first_ms is not None and last_ms is not None and last_ms <= first_ms:
            raise InvalidRange(
                f"the time range from {start!r} to {end!r} is "
                f"{'empty' if first_ms == last_ms else 'reversed'}",
                hint="the end is exclusive and lies after the start",
            )
        self._check_words(start, first_ms, end, last_ms, base_ms)
        lowest = self.start() if first_ms is not None else self.resolve(start)
        highest = self.end() if last_ms is not None else self.resolve(end)
        if first_ms is None and last_ms is None:
            return self.slice(lowest, highest)
        lows, highs = dict(lowest), dict(highest)
        late: int | None = None
        for topic in self.topics:
            ranges, bound_ms = self.backend.cover(topic, first_ms, last_ms, late_ms)
            if bound_ms is not None:
                late = bound_ms
            for partition, (low, high) in ranges.items():
                tp = (topic, partition)
                if tp in lows and tp in highs:
                    highs[tp] = max(min(highs[tp], high), lows[tp])
                    if not isinstance(start, Mapping):  # offsets that have expired are an error
                        lows[tp] = min(max(lows[tp], low), highs[tp])
        return self.slice(
            Position(lows), Position(highs), times=TimeFilter(first_ms, last_ms, late)
        )

    def _check_words(
        self, start: When, first_ms: int | None, end: When, last_ms: int | None, base_ms: int
    ) -> None:
        """Raise InvalidRange where a word and a time cannot hold anything between them."""
        if not base_ms:
            return  # a recording without a record has no now
        what = "now" if self.backend.live else "the last record"
        moment = f"{what} ({from_ms(base_ms).isoformat()})"
        if first_ms is not None and end == "earliest":
            problem = "ends before its start: at the earliest record"
        elif first_ms is not None and end in ("now", "latest") and first_ms > base_ms:
            problem = f"starts at {start!r}, after {moment}"
        elif last_ms is not None and start in ("now", "latest") and last_ms <= base_ms:
            problem = f"ends at {end!r}, not after {moment}"
        else:
            return
        raise InvalidRange(
            f"the time range from {start!r} to {end!r} {problem}",
            hint="the end is exclusive and lies after the start",
        )

    def sample_values(self, topic: str) -> pl.DataFrame:
        """Some raw values and headers of a topic: from the start and the end of each partition."""
        committed = self.isolation == "read_committed"
        parts = [
            (p.partition, p.start, end)
            for p in self.backend.partitions(topic)
            if (end := p.last_stable if committed else p.end) > p.start
        ]
        share = max(SAMPLE_ROWS // (2 * max(len(parts), 1)), 1)
        frames: list[pl.DataFrame] = []
        for partition, start, end in parts:
            middle = min(start + share, end)
            tail = max(end - share, middle)
            for low, high in ((start, middle), (tail, end)):
                if low < high:
                    frames.extend(
                        chunk.raw.select("value", "headers").collect()
                        for chunk in self.backend.read(topic, partition, low, high, self.isolation)
                    )
        return pl.concat(frames) if frames else pl.DataFrame(schema=_SAMPLED)

    def _settle(self, info: TopicInfo) -> Settled | None:
        """How one topic is decoded, None where nothing is known yet; what is found stays."""
        if info.name in self._settled:
            return self._settled[info.name]
        asked = self.asked.value
        declared = self.asked.schema(info.name)
        if asked in ("auto", "json") and (declared or info.schema) is not None:
            found = Settled("json", declared or info.schema, "json, by the schema of the topic")
        elif asked in PLAIN_FORMATS:
            found = Settled(asked, None, "as asked")
        else:
            sample = self.sample_values(info.name)
            if sample["value"].null_count() == sample.height:
                return None
            found = settle(asked, sample, declared, self.codebook, info.name)
            if found.format == "json" and found.schema is not None:
                self.backend.pin_schema(info.name, found.schema)
        self._settled[info.name] = found
        return found

    def _known(self, position: Position) -> Position:
        parts = {(p.topic, p.partition): p for p in self._partitions()}
        for topic, partition in position:
            if topic not in self.topics:
                continue
            if (topic, partition) not in parts:
                raise InvalidRange(
                    f"topic {topic!r} has no partition {partition}",
                    hint=f"it has {sum(t == topic for t, _ in parts)}, counted from 0",
                )
        known = Position({tp: o for tp, o in position.items() if tp[0] in self.topics})
        if position and not known:
            raise InvalidRange(
                f"the position {position.describe()} names no partition of "
                f"{', '.join(self.topics)}",
                hint="is it the position of another topic?",
            )
        return known

    def _partitions(self) -> list[PartitionInfo]:
        return [p for topic in self.topics for p in self.backend.partitions(topic)]


def _offsets(when: Mapping[int, int]) -> dict[int, int]:
    for partition, offset in when.items():
        # Exact types: True is an int too.
        if type(partition) is not int or type(offset) is not int or offset < 0:
            raise InvalidRange(
                f"{partition!r}: {offset!r} is not a partition and its offset",
                hint="write {0: 512, 1: 498}",
            )
    return dict(when)
