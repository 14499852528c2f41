"""What a log must do to be read, written and followed.  Users see `workbench.Log`, not this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import polars as pl

from workbench.positions import Position
from workbench.records import (
    Chunk,
    Gap,
    GroupInfo,
    Isolation,
    Lateness,
    LogKind,
    PartitionInfo,
    TimestampType,
    TopicInfo,
)
from workbench.schema import Schema

#: Told of long work: how much is done, and of how much.
Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Producer:
    """Who appends, for idempotent retry: an id, an epoch, and the sequence of the batch.

    Sending the newest batch again with the same three never writes twice and returns the original
    offsets (as KIP-98 does for Kafka).
    """

    id: str
    epoch: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to be made.

    A recording's topic also names its source: `source_log` and `topic_id` are then the source's
    ids, kept so that addresses stay true.  `masked` are the fields that were hidden from whoever
    recorded it.
    """

    name: str
    partitions: int = 1
    retention_ms: int | None = None
    retention_bytes: int | None = None
    timestamp_type: TimestampType = "create"
    schema: Schema | None = None
    source_log: str | None = None
    topic_id: str | None = None
    masked: tuple[str, ...] = ()


class Membership(Protocol):
    """One process's place in a consumer group.  For one thread."""

    def assignment(self) -> Position:
        """What this member holds now: per partition the next offset to read.

        Renews the lease.  A partition that nobody has committed starts where `join` was told to.
        """

    def commit(self, position: Position) -> None:
        """Make the position durable.

        Raises `LeaseLost` when a partition went to another member; nothing is then committed.
        """

    def leave(self) -> None:
        """Give the partitions back.  Idempotent."""


@runtime_checkable
class LogBackend(Protocol):
    """The narrow face of a log.  Safe to share between threads unless a method says otherwise."""

    @property
    def id(self) -> str:
        """The log's own identity (a recording: that of its source)."""

    @property
    def kind(self) -> LogKind:
        """`"embedded"` or `"kafka"`."""

    @property
    def hint(self) -> str:
        """Where it is, without secrets: a path or a URL."""

    @property
    def writable(self) -> bool:
        """Whether `append` and `create_topic` are allowed."""

    @property
    def live(self) -> bool:
        """False for a recording: durations then count back from its last record."""

    def topics(self) -> list[TopicInfo]:
        """All topics, by name, from metadata alone.

        A log that keeps settings elsewhere leaves them out: its cleanup policy is `"unknown"`.
        """

    def details(self, names: Sequence[str]) -> list[tuple[TopicInfo, list[PartitionInfo]]]:
        """Topics with their settings, and their partitions with sizes and times where known."""

    def topic(self, name: str) -> TopicInfo:
        """One topic.  Raises `UnknownTopic`."""

    def partitions(self, topic: str) -> list[PartitionInfo]:
        """The ends of each partition, now, by number.  Raises `UnknownTopic`."""

    def create_topic(self, spec: TopicSpec) -> TopicInfo:
        """Make a topic.  Raises `TopicExists`, `InvalidTopicName`, `ReadOnly`."""

    def pin_schema(self, topic: str, schema: Schema) -> bool:
        """Keep an inferred schema with the topic.  False where the log cannot keep one."""

    def append(
        self, topic: str, records: pl.DataFrame, producer: Producer | None = None
    ) -> dict[int, tuple[int, int]]:
        """Append a batch of the schema `APPEND`, atomically, in row order per partition.

        Returns per partition the offsets `[first, last + 1)` that the batch took.  When it
        returns, the batch is durable.  Raises `ReadOnly`, `UnknownTopic`, `StorageFull`,
        `OutOfSequence`, `LogBusy`.
        """

    def offset_for_time(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Per partition the earliest offset whose timestamp is at or after the time, or None.

        None means "no such record below the end", not "no data".
        """

    def cover(
        self, topic: str, start_ms: int | None, end_ms: int | None, late_ms: Lateness
    ) -> tuple[dict[int, tuple[int, int]], int | None]:
        """Offset ranges `[start, end)` that hold every record with a timestamp in the range.

        `late_ms` matters to a log that keeps no index of times.  Returns the ranges with the
        lateness up to which they hold every record: None is "however late".
        """

    def read(
        self,
        topic: str,
        partition: int,
        start: int,
        end: int,
        isolation: Isolation = "read_committed",
    ) -> Iterator[Chunk]:
        """Hand out `[start, end)` in ascending chunks whose ranges join without holes.

        Raises `OffsetOutOfRange` when `start` has expired or `end` is beyond the log's end (an
        empty range never raises), `CorruptData` when a checksum fails.  Never joins a group,
        commits, or creates anything.
        """

    def read_all(
        self, ranges: Sequence[tuple[str, int, int, int]], isolation: Isolation = "read_committed"
    ) -> Iterator[Chunk]:
        """Hand out several ranges (topic, partition, start, end), one after the other.

        Each as `read` does, and what that raises is raised when the range's turn comes; ranges
        may be read before their turn, in bounded memory.
        """

    def read_each(
        self,
        ranges: Sequence[tuple[str, int, int, int]],
        use: Callable[[Chunk], pl.DataFrame],
        isolation: Isolation = "read_committed",
    ) -> Iterator[tuple[Chunk, pl.DataFrame]]:
        """Hand out the chunks of several ranges with what `use` makes of each, in any order.

        For who wants all of it, and may have it from several threads: `use` is called where a chunk
        has come, which may be at the same time as for others.  What fails raises at once.
        """

    def uncached(self) -> Self:
        """The same log, read anew each time: what this user kept of it is no witness of it.

        It is closed with the log that it was made from.
        """

    def gaps(self, topic: str, partition: int, start: int, end: int) -> list[Gap]:
        """The gaps in `[start, end)` that the log knows the reason of without reading records."""

    def wait(self, position: Mapping[tuple[str, int], int], timeout: float) -> bool:
        """Block until some partition has a record at or after its position; False on time-out."""

    def groups(self) -> list[GroupInfo]:
        """All consumer groups with their committed offsets.  Touches none of them."""

    def group(self, name: str) -> GroupInfo:
        """One group.  Raises `GroupError` when there is none, with the names there are."""

    def join(
        self,
        group: str,
        start: Position,
        *,
        join_existing: bool | None = None,
    ) -> Membership:
        """Join a group over the partitions that `start` names.

        `start` says where a partition begins that the group has no position for.  None joins a
        group of this user's, where the log can tell whose it is; True any; False only one that
        nobody uses or has committed.  Raises `GroupInUse`.
        """

    def maintain(self, progress: Progress | None = None) -> None:
        """Do now what a log's own upkeep would do sooner or later; nothing on a cluster.

        Waits for upkeep that is under way.  `progress` is told of the records sealed.
        """

    def close(self) -> None:
        """Release files and threads.  Idempotent."""
