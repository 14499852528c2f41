"""The embedded log: `EmbeddedLog`, a folder that keeps what a broker keeps."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from workbench.errors import ReadOnly
from workbench.log.embedded import (
    append,
    groups,
    opening,
    read,
    recording,
    times,
    topics,
)
from workbench.log.embedded.catalog import Durability
from workbench.log.embedded.groups import LEASE_SECONDS, EmbeddedMembership
from workbench.log.embedded.keeper import Keeper
from workbench.log.embedded.topics import SEGMENT_BYTES, SEGMENT_ROWS
from workbench.log.protocol import Producer, TopicSpec
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
)
from workbench.schema import Schema

LOCK_TIMEOUT = 30.0


class EmbeddedLog(Keeper):
    """A log in a folder: a `LogBackend` without a server.  Thread-safe.

    Made by `create` and `open`.  Many processes may append and read at once, each with an object
    of its own: one that comes along with a fork raises `LogError`, since Polars would hang there.

    When `append` returns, killing any process at any moment cannot lose the batch.  With
    `durability="power"` neither can an OS crash or a power cut, on storage that honours flush;
    with `"process"` an OS crash may remove the newest commits: always a suffix, never a hole.
    A batch is visible entirely or not at all.  Offsets start at 0, are contiguous in commit
    order, and are never used again; a recording keeps its source's offsets and gaps.
    """

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power",
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> Self:
        """Make a log in a new or empty folder, and open it.

        Raises `LogExists`, `NotALog` for a folder that holds something else, `ReadOnly`,
        `UnsupportedStorage`.
        """
        return cls(
            *opening.create_log(
                Path(path),
                {"kind": "log", "log_id": str(uuid.uuid4())},
                durability=durability,
                lock_timeout=lock_timeout,
            )
        )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        write: bool | None = None,
        durability: Durability = "power",
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> Self:
        """Open a log.  Reads its catalog's first pages and changes no file.

        Parameters
        ----------
        path
            The log's folder.
        write
            None: writable where the folder is and the log is no recording.
        durability
            `"power"`: a commit survives a power cut.  `"process"`: it survives the process.
        lock_timeout
            Seconds that a write waits for other processes before `LogBusy`.

        Raises
        ------
        LogNotFound
            Nothing is there.
        NotALog
            The folder holds something else, or a log of a newer format.
        ReadOnly
            `write=True` for a recording, or for a folder that cannot be written.
        UnsupportedStorage
            The folder lies on a network file system.
        """
        return cls(
            *opening.open_log(Path(path), write, durability=durability, lock_timeout=lock_timeout)
        )

    @classmethod
    def create_recording(
        cls,
        path: str | os.PathLike[str],
        source_log_id: str,
        source_kind: LogKind,
        *,
        durability: Durability = "power",
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> Self:
        """Make a recording of another log, or go on with it.

        What is returned takes `record_batch`; everything that `open` gives is read-only.  Raises
        `LogBusy` while another recorder has it, `LogExists` when the folder holds something else
        than a recording of that log, and what `create` raises.
        """
        return cls(
            *opening.open_recorder(
                Path(path),
                {"kind": "recording", "log_id": source_log_id, "source_kind": source_kind},
                durability=durability,
                lock_timeout=lock_timeout,
            )
        )

    @property
    def id(self) -> str:
        """The log's identity; a recording has that of its source."""
        return str(self._meta["log_id"])

    @property
    def kind(self) -> LogKind:
        """`"embedded"`, also for a recording of something else (see `source_kind`)."""
        return "embedded"

    @property
    def source_kind(self) -> LogKind:
        """What was recorded: the kind of the log that `id` belongs to."""
        source: LogKind = self._meta.get("source_kind", "embedded")
        return source

    @property
    def hint(self) -> str:
        """The folder, absolute."""
        return str(self._catalog.root.resolve())

    @property
    def writable(self) -> bool:
        """Whether `append` and `create_topic` are allowed."""
        return self._writable

    def topics(self) -> list[TopicInfo]:
        """All topics, by name, in one query."""
        return topics.infos(self._catalog)

    def topic(self, name: str) -> TopicInfo:
        """One topic.  Raises `UnknownTopic`."""
        return topics.info(self._catalog, name)

    def details(self, names: Sequence[str]) -> list[tuple[TopicInfo, list[PartitionInfo]]]:
        """Topics with their settings and partitions; see `LogBackend.details`."""
        return [(self.topic(name), self.partitions(name)) for name in names]

    def partitions(self, topic: str) -> list[PartitionInfo]:
        """The ends, bytes, and oldest and newest timestamps of each partition, in one query."""
        return topics.partitions(self._catalog, self._topic(topic))

    def create_topic(
        self,
        spec: TopicSpec,
        *,
        segment_rows: int = SEGMENT_ROWS,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> TopicInfo:
        """Make a topic; see `LogBackend.create_topic`.

        A partition's newest records become a segment when they are `segment_rows` records or
        `segment_bytes` bytes of keys, values and headers.
        """
        if self._recorder is not None:
            return recording.create_topic(self._catalog, spec, segment_rows, segment_bytes)
        self._check_writable()
        return topics.create(self._catalog, spec, segment_rows, segment_bytes)

    def pin_schema(self, topic: str, schema: Schema) -> bool:
        """Keep a schema with a topic that has none yet; False for a read-only log."""
        self._topic(topic)
        return self._catalog.writable and topics.pin_schema(self._catalog, topic, schema)

    def append(
        self, topic: str, records: pl.DataFrame, producer: Producer | None = None
    ) -> dict[int, tuple[int, int]]:
        """Append a batch of the schema `APPEND`, durably; see `LogBackend.append`.

        Full segments are sealed in the background.  Where that is `MOST_HOT_SEGMENTS` behind, the
        batch is written as ever, and returning waits until a segment has been sealed.
        """
        self._check_writable()
        target = self._topic(topic)
        offsets, hot = append.append(self._catalog, target, records, producer)
        self._upkeep.follow(hot, also=target.expires and self._upkeep.retention_is_due())
        return offsets

    def record_batch(
        self,
        topic: str,
        partition: int,
        records: pl.DataFrame,
        end: int,
        gaps: Sequence[Gap] = (),
        *,
        start: int | None = None,
    ) -> None:
        """Write records of the schema `RAW` at their own offsets, and the position `end` with them.

        `start` says where a partition begins that was never recorded before; without it that is
        the first record or gap.  Raises `InvalidRange` when the batch overlaps what is there or
        goes backwards; nothing of it is then written.
        """
        if self._recorder is None:
            raise ReadOnly(f"{self._catalog.root} is not open for recording")
        target = self._topic(topic)
        hot = recording.record_batch(self._catalog, target, partition, records, start, end, gaps)
        self._upkeep.follow(hot)

    def recorded_position(self) -> Position:
        """Where the recorder goes on: per partition that has been recorded, the next offset."""
        return recording.position(self._catalog)

    def offset_for_time(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Per partition the first offset at or after the time, exactly; None without one."""
        return times.offset_for_time(self._catalog, self._topic(topic), timestamp_ms)

    def cover(
        self, topic: str, start_ms: int | None, end_ms: int | None, late_ms: Lateness
    ) -> tuple[dict[int, tuple[int, int]], int | None]:
        """The smallest ranges that hold every record of the time range; see `LogBackend`.

        Exact whatever `late_ms` says, so the second value is None.
        """
        return times.cover(self._catalog, self._topic(topic), start_ms, end_ms), None

    def read(
        self,
        topic: str,
        partition: int,
        start: int,
        end: int,
        isolation: Isolation = "read_committed",
    ) -> Iterator[Chunk]:
        """Hand out `[start, end)`: sealed segments lazily, then the hot tail.

        See `LogBackend.read`.  The isolation makes no difference: only commits are visible.
        """
        return read.read(self._catalog, self._topic(topic), partition, start, end)

    def read_all(
        self, ranges: Sequence[tuple[str, int, int, int]], isolation: Isolation = "read_committed"
    ) -> Iterator[Chunk]:
        """Hand out several ranges, one after the other; see `LogBackend.read_all`."""
        for topic, partition, start, end in ranges:
            yield from self.read(topic, partition, start, end, isolation)

    def read_each(
        self,
        ranges: Sequence[tuple[str, int, int, int]],
        use: Callable[[Chunk], pl.DataFrame],
        isolation: Isolation = "read_committed",
    ) -> Iterator[tuple[Chunk, pl.DataFrame]]:
        """The same with what `use` makes of each; see `LogBackend.read_each`."""
        return ((chunk, use(chunk)) for chunk in self.read_all(ranges, isolation))

    def uncached(self) -> Self:
        """The log itself: its records are read from its folder each time."""
        return self

    def gaps(self, topic: str, partition: int, start: int, end: int) -> list[Gap]:
        """The gaps in `[start, end)` with a known reason, from the catalog alone."""
        return read.gaps(self._catalog, self._topic(topic), partition, start, end)

    def wait(self, position: Mapping[tuple[str, int], int], timeout: float) -> bool:
        """Block until a record is at or after its position; False after `timeout` seconds."""
        wanted: dict[int, dict[int, int]] = {}
        for (name, partition), offset in position.items():
            wanted.setdefault(self._topic(name).tid, {})[partition] = offset

        def ready() -> bool:
            return any(
                end > offsets.get(partition, end)
                for tid, offsets in wanted.items()
                for partition, end in self._catalog.rows(
                    "SELECT partition, next_off FROM part WHERE tid = ?", (tid,)
                )
            )

        return self._catalog.doorbell.wait_until(ready, timeout)

    def groups(self) -> list[GroupInfo]:
        """All consumer groups with their committed offsets; changes none of them."""
        return groups.infos(self._catalog)

    def group(self, name: str) -> GroupInfo:
        """One group.  Raises `GroupError` with the names there are."""
        return groups.info(self._catalog, name)

    def join(
        self,
        group: str,
        start: Position,
        *,
        join_existing: bool | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> EmbeddedMembership:
        """Join a group over the partitions that `start` names; see `LogBackend.join`.

        All groups of a folder are its user's.

        A member keeps its partitions while its process runs, however long it is at work on a
        batch; when the process has ended, or was stopped for `lease_seconds`, others get them.
        """
        self._check_open_for_writing()
        return groups.join(
            self._catalog,
            self._leases,
            group,
            start,
            join_existing=join_existing,
            lease_seconds=lease_seconds,
        )

    def close(self) -> None:
        """Release files and threads; the last writer leaves one plain catalog file.

        A recorder first seals what it has recorded.
        """
        if self._catalog.closed:
            return
        self._upkeep.close()
        self._leases.close()
        try:
            if self._recorder is not None:
                self.seal(force=True)
        finally:
            self._catalog.close()
            if self._recorder is not None:
                self._recorder.release()
                self._recorder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedLog({self.hint!r})"
