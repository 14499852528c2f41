"""The embedded log: `EmbeddedLog`, a folder that keeps what a broker keeps."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from workbench.errors import LogExists, LogNotFound, NotALog, ReadOnly
from workbench.log.embedded import append, files, groups, read, times, topics
from workbench.log.embedded.catalog import (
    CATALOG,
    DOORBELL,
    RECORDER_LOCK,
    SEAL_LOCK,
    SEGMENTS,
    WRITE_LOCK,
    Catalog,
    Durability,
)
from workbench.log.embedded.groups import LEASE_SECONDS, EmbeddedMembership
from workbench.log.embedded.storage import refuse_network_storage
from workbench.log.embedded.topics import SEGMENT_BYTES, SEGMENT_ROWS, Topic
from workbench.log.protocol import Producer, TopicSpec
from workbench.positions import Position
from workbench.records import (
    Chunk,
    Gap,
    GroupInfo,
    Isolation,
    LogKind,
    PartitionInfo,
    TopicInfo,
)
from workbench.schema import Schema

LOCK_TIMEOUT = 30.0

_OWN_FILES = {
    CATALOG,
    f"{CATALOG}-journal",
    f"{CATALOG}-wal",
    f"{CATALOG}-shm",
    DOORBELL,
    RECORDER_LOCK,
    SEAL_LOCK,
    SEGMENTS,
    WRITE_LOCK,
}


class EmbeddedLog:
    """A log in a folder: a `LogBackend` without a server.  Thread-safe; usable after a fork.

    Made by `create` and `open`.  Many processes may append and read at once.

    When `append` returns, killing any process at any moment cannot lose the batch.  With
    `durability="power"` neither can an OS crash or a power cut, on storage that honours flush;
    with `"process"` an OS crash may remove the newest commits: always a suffix, never a hole.
    A batch is visible entirely or not at all.  Offsets start at 0, are contiguous in commit
    order, and are never used again; a recording keeps its source's offsets and gaps.
    """

    def __init__(self, catalog: Catalog, meta: Mapping[str, Any]) -> None:
        self._catalog = catalog
        self._meta = meta
        self._topics: dict[str, Topic] = {}

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
        return cls._create(Path(path), {"kind": "log"}, durability, lock_timeout)

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
        root = Path(path)
        if not root.exists():
            raise LogNotFound(f"there is no log at {root}", hint="create=True makes one")
        refuse_network_storage(root)
        if not (root / CATALOG).is_file():
            if root.is_dir() and _is_free(root):
                raise LogNotFound(
                    f"{root} is empty, there is no log in it", hint="create=True makes one"
                )
            raise NotALog(f"{root} is not a log: it has no {CATALOG}")
        able = os.access(root, os.W_OK) and os.access(root / CATALOG, os.W_OK)
        if write and not able:
            raise ReadOnly(f"{root} cannot be written", hint="open it with write=False")
        reader = Catalog(root, writable=False, durability=durability, lock_timeout=lock_timeout)
        try:
            meta = reader.meta()
            if not meta:
                raise NotALog(f"{root} is not a log: its {CATALOG} is empty")
        except BaseException:
            reader.close()
            raise
        recording = meta["kind"] == "recording"
        if recording and write:
            raise ReadOnly(
                f"{root} is a recording of the log {meta['log_id']} and is only written by its "
                "recorder",
                hint="open it with write=False",
            )
        if not able or recording or write is False:
            return cls(reader, meta)
        reader.close()
        return cls(
            Catalog(root, writable=True, durability=durability, lock_timeout=lock_timeout), meta
        )

    @classmethod
    def _create(
        cls, root: Path, meta: dict[str, Any], durability: Durability, lock_timeout: float
    ) -> Self:
        existing = root
        while not existing.exists():
            existing = existing.parent
        refuse_network_storage(existing)
        if root.exists() and not (root.is_dir() and _is_free(root)):
            raise NotALog(
                f"{root} holds other files; a log is made in a new or empty folder",
            )
        if not os.access(existing, os.W_OK):
            raise ReadOnly(f"{existing} cannot be written")
        files.make_folder(root)
        catalog = Catalog(root, writable=True, durability=durability, lock_timeout=lock_timeout)
        facts = {
            "log_id": str(uuid.uuid4()),
            "created_ms": time.time_ns() // 1_000_000,
            **meta,
        }
        if not catalog.create(facts):
            catalog.close()
            raise LogExists(f"{root} holds a log already", hint="open it without create=True")
        return cls(catalog, facts)

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
        return self._catalog.writable and self.live

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
        return append.append(self._catalog, self._topic(topic), records, producer)

    def offset_for_time(self, topic: str, timestamp_ms: int) -> dict[int, int | None]:
        """Per partition the first offset at or after the time, exactly; None without one."""
        return times.offset_for_time(self._catalog, self._topic(topic), timestamp_ms)

    def cover(
        self, topic: str, start_ms: int | None, end_ms: int | None, late_ms: int | None
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
        """Release files and threads; the last writer leaves one plain catalog file."""
        self._catalog.close()

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

    def _check_writable(self) -> None:
        if not self.writable:
            what = "is open for reading" if self.live else "is a recording, which is read-only"
            raise ReadOnly(f"{self._catalog.root} {what}")


def _is_free(root: Path) -> bool:
    """Whether a folder holds nothing, or nothing but a log."""
    return {entry.name for entry in root.iterdir()} <= _OWN_FILES
