"""Records as columns, and the plain facts about logs, topics and partitions.  No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from workbench.schema import Schema

TimestampType = Literal["create", "append", "none"]
Isolation = Literal["read_committed", "read_uncommitted"]
#: Why there is no record at an offset; `withheld` where a disclosed copy of evidence has none.
GapReason = Literal["control", "aborted", "compacted", "expired", "unexplained", "withheld"]
LogKind = Literal["embedded", "kafka"]

#: How far beyond the end of a time range to look for late records, in ms; "all": to the end.
#: None is for the log to say.
Lateness = int | Literal["all"] | None

TIMESTAMP: pl.DataType = pl.Datetime("ms", "UTC")
HEADERS: pl.DataType = pl.List(pl.Struct({"name": pl.String, "value": pl.Binary}))
TIMESTAMP_TYPE: pl.DataType = pl.Enum(["create", "append", "none"])

#: One partition's records as a log hands them out: raw bytes, nothing decoded.  Headers are an
#: ordered list that may repeat names, and empty where there are none.  `leader_epoch` and
#: `recorded_at` are null where unknown.
RAW = pl.Schema(
    {
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp": TIMESTAMP,
        "timestamp_type": TIMESTAMP_TYPE,
        "key": pl.Binary(),
        "value": pl.Binary(),
        "headers": HEADERS,
        "leader_epoch": pl.Int32(),
        "recorded_at": TIMESTAMP,
    }
)

#: What every decoded frame starts with.
COORDINATES = ("topic", "partition", "offset", "timestamp", "key")

#: What `raw=True` adds; the last one only where a record has it.
RAW_COLUMNS = ("value", "headers", "timestamp_type", "leader_epoch", "recorded_at")

#: What is appended to a log: records without offsets.  A null timestamp is stamped by the log.
APPEND = pl.Schema(
    {
        "partition": pl.Int32(),
        "timestamp": TIMESTAMP,
        "key": pl.Binary(),
        "value": pl.Binary(),
        "headers": HEADERS,
    }
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets in `[start, end)` that hold no record, and why."""

    topic: str
    partition: int
    start: int
    end: int
    reason: GapReason


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """One topic, from metadata alone.

    `id` is the topic's own identity: a topic that was deleted and made again has another one.
    Retention is null for "forever", and where the cleanup policy is `"unknown"`.  `source_log` is
    set on recordings: the id of the log that the records came from.  `masked` are the fields that
    an administrator hides here, or hid when this was recorded: what is read is then not what the
    log holds.
    """

    name: str
    id: str
    partitions: int
    retention_ms: int | None = None
    retention_bytes: int | None = None
    cleanup_policy: str = "delete"
    timestamp_type: TimestampType = "create"
    schema: Schema | None = None
    source_log: str | None = None
    masked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """The ends of one partition: `[start, end)` is what can be read now.

    `end` is the high watermark; `last_stable` is lower while a transaction is open.  Times are
    the oldest and newest timestamps where they are known without reading; a cluster knows its
    oldest only as that of the first record.
    """

    topic: str
    partition: int
    start: int
    end: int
    last_stable: int
    bytes: int | None = None
    min_timestamp_ms: int | None = None
    max_timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one partition, as a log hands it to a reader.

    It covers the offsets `[start, end)`: after it, the position is `end`, whether or not there
    was a record at `end - 1`.  `raw` has the schema `RAW`, ascending by offset, cut to the range.
    `typed` is the stored decoded companion where the log keeps one, row for row the same records:
    the `COORDINATES` without the topic (`key` is String or Binary), then one column per schema
    field under the name the schema gives it in a frame, then `decode_error` (String) and `_rest`
    (String: a JSON object of the fields that the schema does not know) and `_tombstone` (Boolean:
    the value is null).  It was decoded under the schema whose fingerprint is `typed_schema`;
    `typed_path` is its Parquet file, whole, for engines that read files.  All are lazy: nothing is
    read until collected.  `rows` is exact where known.
    """

    topic: str
    partition: int
    start: int
    end: int
    raw: pl.LazyFrame
    typed: pl.LazyFrame | None = None
    typed_schema: str | None = None
    typed_path: str | None = None
    rows: int | None = None
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A consumer group: who is in it, and per partition the next offset it would read."""

    name: str
    state: str
    members: tuple[GroupMember, ...] = ()
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One process of a group and the partitions it holds."""

    id: str
    client: str
    host: str
    partitions: tuple[tuple[str, int], ...] = ()


def empty_raw() -> pl.DataFrame:
    """A raw frame without records."""
    return pl.DataFrame(schema=RAW)
