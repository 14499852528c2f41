"""The embedded log: `EmbeddedLog`, a folder that keeps what a broker keeps."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from workbench.errors import ReadOnly
from workbench.log.embedded import (
    append,
    groups,
    opening,
    read,
    recording,
    retention,
    seal,
    times,
    topics,
    verify,
)
from workbench.log.embedded.catalog import Catalog, Durability
from workbench.log.embedded.groups import LEASE_SECONDS, EmbeddedMembership
from workbench.log.embedded.locks import FileLock
from workbench.log.embedded.topics import SEGMENT_BYTES, SEGMENT_ROWS, Topic
from workbench.log.embedded.upkeep import Upkeep
from workbench.log.embedded.verify import Progress, VerifyReport
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


class EmbeddedLog:
    """A log in a folder: a `LogBackend` without a server.  Thread-safe; usable after a fork.

    Made by `create` and `open`.  Many processes may append and read at once.

    When `append` returns, killing any process at any moment cannot lose the batch.  With
    `durability="power"` neither can an OS crash or a power cut, on storage that honours flush;
    with `"process"` an OS crash may remove the newest commits: always a suffix, never a hole.
    A batch is visible entirely or not at all.  Offsets start at 0, are contiguous in commit
    order, and are never used again; a recording keeps its source's offsets and gaps.
    """

    def __init__(
        self, catalog: Catalog, meta: Mapping[str, Any], recorder: FileLock | None = None
    ) -> None:
        self._catalog = catalog
        self._meta = meta
        self._recorder = recorder
        self._topics: dict[str, Topic] = {}
        self._upkeep = Upkeep(self._keep_up)
        self._recovered = False
        self._writable = catalog.writable and meta["kind"] == "log"

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

    @property
    def live(self) -> bool:
        """False for a recording."""
        return bool(self._meta["kind"] == "log")

    def topics(self) -> list[TopicInfo]:
        """All topics, by name, in one query."""
        return topics.infos(self._catalog)

    def topic(self, name: str) -> TopicInfo:
        """One topic.  Raises `UnknownTopic`."""
        return topics.info(self._catalog, name)

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
        """Append a batch of the schema `APPEND`, durably; see `LogBackend.append`."""
        self._check_writable()
        target = self._topic(topic)
        offsets, full = append.append(self._catalog, target, records, producer)
        if full or (target.expires and self._upkeep.retention_is_due()):
            self._upkeep.request()
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
        full = recording.record_batch(self._catalog, target, partition, records, start, end, gaps)
        if full:
            self._upkeep.request()

    def recorded_position(self) -> Position:
        """Where the recorder goes on: per partition that has been recorded, the next offset."""
        return recording.position(self._catalog)

    def seal(self, topic: str | None = None, *, force: bool = False) -> int:
        """Turn hot tails that exceed the topic's segment limits into segments.

        `force` seals every record and gives free space back, as at the end of a bulk load.
        Appending processes do the unforced kind by themselves.  Returns the segments made.
        """
        self._check_open_for_writing()
        made = self._seal(topic, force=force, stopped=lambda: False)
        if force:
            self._catalog.compact()
        return made

    def maintain(self) -> None:
        """Seal every record and apply retention, now; see `LogBackend.maintain`."""
        self.seal(force=True)
        self.enforce_retention()

    def rebuild_companions(self, topic: str) -> int:
        """Decode a topic's segments anew where the companion is damaged, missing or outdated.

        Returns how many were written.
        """
        self._check_open_for_writing()
        with self._catalog.seal_lock:
            return seal.rebuild_companions(self._catalog, self._topic(topic))

    def enforce_retention(
        self, now_ms: int | None = None, *, grace_seconds: float = retention.GRACE_SECONDS
    ) -> int:
        """Apply every topic's retention as of now (or of `now_ms`); returns the expired offsets.

        Files stay for `grace_seconds`, for readers that are about to open them.  Appending
        processes do this about once a minute.
        """
        self._check_writable()
        with self._catalog.seal_lock:
            return retention.enforce(self._catalog, now_ms, grace_seconds)

    def verify(self, progress: Progress | None = None) -> VerifyReport:
        """Check every page, segment and record, and that nothing is missing.

        Reads the whole log and writes nothing.  Damage is listed, not raised.
        """
        return verify.verify(self._catalog, progress)

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
        join_existing: bool = True,
        lease_seconds: float = LEASE_SECONDS,
    ) -> EmbeddedMembership:
        """Join a group over the partitions that `start` names; see `LogBackend.join`.

        A member that neither asks for its assignment nor commits for `lease_seconds` loses its
        partitions to the others.
        """
        return groups.join(
            self._catalog,
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

    def _topic(self, name: str) -> Topic:
        if name not in self._topics:
            self._topics[name] = topics.find(self._catalog, name)
        return self._topics[name]

    def _seal(self, topic: str | None, *, force: bool, stopped: Callable[[], bool]) -> int:
        names = [info.name for info in self.topics()] if topic is None else [topic]
        with self._catalog.seal_lock:
            if not self._recovered:
                seal.remove_leftovers(self._catalog)
                self._recovered = True
            return sum(
                seal.seal(self._catalog, self._topic(name), force=force, stopped=stopped)
                for name in names
            )

    def _keep_up(self) -> None:
        self._seal(None, force=False, stopped=self._upkeep.is_closed)
        if self.live:
            self.enforce_retention()

    def _check_writable(self) -> None:
        self._check_open_for_writing()
        if not self._writable:
            raise ReadOnly(f"{self._catalog.root} is a recording, which only `record_batch` fills")

    def _check_open_for_writing(self) -> None:
        if not self._catalog.writable:
            what = "is open for reading" if self.live else "is a recording, which is read-only"
            raise ReadOnly(f"{self._catalog.root} {what}")
