"""Kafka as a log: `KafkaLog`, a cluster behind the same protocol as a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any, Self

import polars as pl

from workbench.errors import InvalidRange, ReadOnly
from workbench.log.kafka import groups, membership, times, topics
from workbench.log.kafka.ahead import ahead
from workbench.log.kafka.cache import CachedReader, open_cache
from workbench.log.kafka.client import Client
from workbench.log.kafka.limits import Limits
from workbench.log.kafka.masking import MaskedReader
from workbench.log.kafka.membership import KafkaMembership
from workbench.log.kafka.poll import PollReader
from workbench.log.kafka.produce import Appender
from workbench.log.kafka.ranges import Piece, Range, Reader
from workbench.log.kafka.reader import FetchReader
from workbench.log.kafka.schemas import Schemas
from workbench.log.kafka.settings import Settings
from workbench.log.kafka.wire import Wire, open_wire
from workbench.log.protocol import Producer, Progress, TopicSpec
from workbench.positions import Position
from workbench.records import (
    Chunk,
    Gap,
    GroupInfo,
    Isolation,
    Lateness,
    LogKind,
    PartitionInfo,
    TopicInfo,
    empty_raw,
)
from workbench.schema import Schema

#: The records of a chunk that has been used.
_NOTHING = empty_raw().lazy()

_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.25


class KafkaLog:
    """A Kafka cluster: a `LogBackend`.  Thread-safe; not to be carried over a fork.

    Reading assigns partitions and pins ends: it joins no group, commits nothing, creates nothing.
    Writing is refused unless `write=True`.
    """

    def __init__(
        self, settings: Settings, *, write: bool = False, limits: Limits | None = None
    ) -> None:
        self._settings = settings
        self._writable = write
        self._limits = limits or Limits()
        self._cache = open_cache(self._limits.cache)
        self._client = Client(settings, self._limits)
        self._appender = Appender(self._client)
        self._wire: Wire | None = None
        self._reader: Reader | None = None
        self._opening = Lock()
        self._schemas = Schemas(self._client.id)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        write: bool = False,
        options: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> Self:
        """Connect to a cluster.

        Parameters
        ----------
        url
            `kafka://host:9092`, more hosts after commas; `user:password@` before them.
        write
            True allows `create_topic` and `append`.
        options
            Settings of kafka-python: `security_protocol`, `sasl_mechanism`, `ssl_cafile`, …
        limits
            Its rate, topics and fields that are not shown, and where repeated reads come from;
            by default none, and the cluster.

        Raises
        ------
        Unreachable
            No broker answers within ten seconds.
        AccessDenied
            The cluster refuses the user.
        Untrusted
            Its certificate does not hold, or it wants one of ours.
        ProfileError
            An URL or a setting that is not understood.
        """
        return cls(Settings.of(url, options), write=write, limits=limits)

    @property
    def id(self) -> str:
        """The cluster's id."""
        return self._client.id

    @property
    def kind(self) -> LogKind:
        """`"kafka"`."""
        return "kafka"

    @property
    def hint(self) -> str:
        """The URL without user and password."""
        return self._settings.hint

    @property
    def writable(self) -> bool:
        """Whether it was opened with `write=True`."""
        return self._writable

    @property
    def throttled_ms(self) -> int:
        """How long the cluster has held back the reads of this connection, in ms."""
        return self._client.throttling.total_ms

    @property
    def live(self) -> bool:
        """True: a cluster is never a recording."""
        return True

    def topics(self) -> list[TopicInfo]:
        """All topics but Kafka's own, by name, in one request: without their settings."""
        known = topics.infos(self._client)
        return [self._as_known(info) for info in known if self._limits.allows(info.name)]

    def topic(self, name: str) -> TopicInfo:
        """One topic.  Raises `UnknownTopic`, `AccessDenied`."""
        self._limits.check(name)
        return self._as_known(topics.info(self._client, name))

    def details(self, names: Sequence[str]) -> list[tuple[TopicInfo, list[PartitionInfo]]]:
        """Topics with their settings and partitions; see `LogBackend.details`."""
        found = topics.details(self._client, [n for n in names if self._limits.allows(n)])
        return [(self._as_known(info), parts) for info, parts in found]

    def partitions(self, topic: str) -> list[PartitionInfo]:
        """The ends of each partition, now: one round trip to each leader."""
        info = self.topic(topic)
        ends = self._client.ends((topic, number) for number in range(info.partitions))
        return [
            PartitionInfo(topic, number, low, high, stable)
            for (_, number), (low, high, stable) in sorted(ends.items())
        ]

    def create_topic(self, spec: TopicSpec) -> TopicInfo:
        """Make a topic; see `LogBackend.create_topic`.

        A cluster keeps no schema: it goes into a file of the user's; see `Schemas`.
        """
        self._check_writable()
        self._limits.check(spec.name)
        topics.create(self._client, spec)
        info = self.topic(spec.name)
        if spec.schema is not None:
            self._schemas.keep(info.id, spec.schema)
        return self._as_known(info)

    def pin_schema(self, topic: str, schema: Schema) -> bool:
        """Keep a schema in a file of the user's, since a cluster cannot; see `Schemas`."""
        info = self.topic(topic)
        return info.schema is None and self._schemas.keep(info.id, schema)

    def append(
        self, topic: str, records: pl.DataFrame, producer: Producer | None = None
    ) -> dict[int, tuple[int, int]]:
        """Append a batch of the schema `APPEND`; see `LogBackend.append` and `Appender`."""
        self._check_writable()
        return self._appender.append(self.topic(topic), records, producer)

    def offset_for_time(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Per partition the earliest offset stamped at or after the time, or None."""
        partitions = self.topic(topic).partitions
        return times.offset_for_time(self._client, topic, partitions, max(timestamp_ms, 0))

    def cover(
        self, topic: str, start_ms: int | None, end_ms: int | None, late_ms: Lateness
    ) -> tuple[dict[int, tuple[int, int]], int | None]:
        """Ranges for a time range, and the lateness up to which they are complete.

        See `LogBackend.cover`.  `late_ms=None` is one hour; `"all"` reads to the end.
        """
        info = self.topic(topic)
        ends = {p.partition: (p.start, p.end) for p in self.partitions(topic)}

        def stamps(partition: int, start: int, end: int) -> list[tuple[int, int]]:
            wanted = self._range(info, partition, start, end, "read_uncommitted")
            found: list[tuple[int, int]] = []
            for piece in self._open_reader().pieces(wanted) if start < end else ():
                known = piece.raw.drop_nulls("timestamp")
                found += known.select("offset", pl.col("timestamp").to_physical()).rows()
            return found

        return times.cover(self._client, stamps, topic, ends, (start_ms, end_ms), late_ms)

    def read(
        self,
        topic: str,
        partition: int,
        start: int,
        end: int,
        isolation: Isolation = "read_committed",
    ) -> Iterator[Chunk]:
        """Hand out `[start, end)`, a fetch at a time, in memory; see `LogBackend.read`."""
        if start > end:
            raise InvalidRange(f"{topic} {partition}: the range [{start}, {end}) is reversed")
        if start == end:
            return iter(())
        info = self.topic(topic)
        if not 0 <= partition < info.partitions:
            raise InvalidRange(
                f"topic {topic} has no partition {partition}",
                hint=f"it has 0 to {info.partitions - 1}",
            )
        wanted = self._range(info, partition, start, end, isolation)
        return map(_Chunks(wanted), self._open_reader().pieces(wanted))

    def read_all(
        self, ranges: Sequence[tuple[str, int, int, int]], isolation: Isolation = "read_committed"
    ) -> Iterator[Chunk]:
        """Hand out several ranges, read at once; see `LogBackend.read_all` and `ahead`."""
        reads = [partial(self.read, *one, isolation) for one in ranges]
        return ahead(reads, lambda chunk: int(chunk.raw.collect().estimated_size()))

    def read_each(
        self,
        ranges: Sequence[tuple[str, int, int, int]],
        use: Callable[[Chunk], pl.DataFrame],
        isolation: Isolation = "read_committed",
    ) -> Iterator[tuple[Chunk, pl.DataFrame]]:
        """Hand out several ranges as they come, used where they were read; see `LogBackend`."""

        def used(one: tuple[str, int, int, int]) -> Iterator[tuple[Chunk, pl.DataFrame]]:
            for chunk in self.read(*one, isolation):
                yield replace(chunk, raw=_NOTHING), use(chunk)

        reads = [partial(used, one) for one in ranges]
        return ahead(reads, lambda made: int(made[1].estimated_size()), in_turn=False)

    def uncached(self) -> Self:
        """The same connection, read from the cluster alone; see `LogBackend.uncached`."""
        self._open_reader()
        anew = copy(self)
        anew._cache = None
        return anew

    def gaps(self, topic: str, partition: int, start: int, end: int) -> list[Gap]:
        """What lies below the log start; every other gap shows when it is read."""
        low = next(p.start for p in self.partitions(topic) if p.partition == partition)
        last = min(end, low)
        return [Gap(topic, partition, start, last, "expired")] if start < last else []

    def wait(self, position: Mapping[tuple[str, int], int], timeout: float) -> bool:
        """Block until a record is readable at or after its position; False after `timeout`.

        Asks each leader for its ends, at first after 10 ms, then ever less often, down to four
        times a second: a record is seen that much later at most.
        """
        deadline = time.monotonic() + timeout
        pause = _FIRST_LOOK
        while True:
            ends = self._client.offsets(dict.fromkeys(position, -1), "read_committed")
            if any(ends[place].offset > offset for place, offset in position.items()):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_LOOK)

    def groups(self) -> list[GroupInfo]:
        """All consumer groups with their committed offsets; touches none of them."""
        return groups.infos(self._client)

    def group(self, name: str) -> GroupInfo:
        """One group.  Raises `GroupError` with the names there are."""
        return groups.info(self._client, name)

    def join(
        self, group: str, start: Position, *, join_existing: bool | None = None
    ) -> KafkaMembership:
        """Join a consumer group over the topics that `start` names; see `LogBackend.join`."""
        for topic in start.by_topic():
            self.topic(topic)  # a group gives a member nothing of what it may not see, in silence
        return membership.join(self._client, group, start, join_existing=join_existing)

    def maintain(self, progress: Progress | None = None) -> None:
        """Nothing: a cluster looks after itself."""

    def close(self) -> None:
        """Close connections and threads.  Idempotent."""
        self._appender.close()
        if self._wire is not None:
            self._wire.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"KafkaLog({self.hint!r})"

    def _open_reader(self) -> Reader:
        """The fastest rung that works here; found when the first read begins."""
        with self._opening:
            if self._reader is None:
                self._wire = self._client.call("connect", lambda: open_wire(self._settings))
                reader: Reader = (
                    PollReader(self._client)
                    if self._wire is None
                    else FetchReader(self._client, self._wire)
                )
                # What is hidden is hidden from the cache too.
                if self._limits.masked:
                    reader = MaskedReader(reader, self._limits)
                self._reader = reader
            reader = self._reader
        if self._cache is None:
            return reader
        return CachedReader(reader, self._client, self._cache)

    def _range(
        self, info: TopicInfo, partition: int, start: int, end: int, isolation: Isolation
    ) -> Range:
        known = info.cleanup_policy != "unknown"
        compacted = "compact" in info.cleanup_policy if known else None
        return Range(info.name, info.id, partition, start, end, isolation, compacted)

    def _as_known(self, info: TopicInfo) -> TopicInfo:
        """With what the cluster does not say: its pinned schema, and what is hidden of it."""
        schema, masked = self._schemas.get(info.id), self._limits.hidden(info.name)
        return replace(info, schema=info.schema if schema is None else schema, masked=masked)

    def _check_writable(self) -> None:
        if not self._writable:
            raise ReadOnly(
                f"{self.hint} is open for reading", hint="connect with write=True to write to it"
            )


class _Chunks:
    """Pieces of one range as chunks."""

    def __init__(self, wanted: Range) -> None:
        self._wanted = wanted

    def __call__(self, piece: Piece) -> Chunk:
        return Chunk(
            topic=self._wanted.topic,
            partition=self._wanted.partition,
            start=piece.start,
            end=piece.end,
            raw=piece.raw.lazy(),
            rows=piece.raw.height,
            gaps=piece.gaps,
        )
