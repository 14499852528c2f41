"""Topics and partitions as rows: what is shown of them."""

from __future__ import annotations

from typing import Any

import polars as pl

from workbench.errors import LogError
from workbench.log.protocol import LogBackend
from workbench.records import TIMESTAMP, PartitionInfo, TopicInfo
from workbench.source.times import from_ms

PolarsType = pl.DataType | type[pl.DataType]

TOPIC_COLUMNS: dict[str, PolarsType] = {
    "topic": pl.String,
    "partitions": pl.Int32,
    "schema": pl.String,
    "id": pl.String,
}
SETTING_COLUMNS: dict[str, PolarsType] = {"retention_ms": pl.Int64, "cleanup_policy": pl.String}
END_COLUMNS: dict[str, PolarsType] = {"start": pl.Int64, "end": pl.Int64}
DETAIL_COLUMNS: dict[str, PolarsType] = {
    "offsets": pl.Int64,
    "bytes": pl.Int64,
    "first": TIMESTAMP,
    "last": TIMESTAMP,
}


def topic_row(info: TopicInfo) -> dict[str, Any]:
    """A topic by name."""
    return {
        "topic": info.name,
        "partitions": info.partitions,
        "schema": None if info.schema is None else info.schema.to_json(),
        "id": info.id,
    }


def settings(info: TopicInfo) -> dict[str, Any]:
    """A topic's settings, null where the log does not say."""
    known = info.cleanup_policy != "unknown"
    return {
        "retention_ms": info.retention_ms,
        "cleanup_policy": info.cleanup_policy if known else None,
    }


def ends(parts: list[PartitionInfo]) -> dict[str, Any]:
    """Start and end (of one partition), and the details that sum or span."""
    sizes = [p.bytes for p in parts if p.bytes is not None]
    firsts = [p.min_timestamp_ms for p in parts if p.min_timestamp_ms is not None]
    lasts = [p.max_timestamp_ms for p in parts if p.max_timestamp_ms is not None]
    return {
        "start": parts[0].start if parts else None,
        "end": parts[0].end if parts else None,
        "offsets": sum(p.end - p.start for p in parts) if parts else None,
        "bytes": sum(sizes) if sizes else None,
        "first": from_ms(min(firsts)) if firsts else None,
        "last": from_ms(max(lasts)) if lasts else None,
    }


def in_a_line(log: LogBackend) -> str:
    """A log by place, kind and topics; one that cannot be asked says why, and raises nothing."""
    try:
        names = [info.name for info in log.topics()]
    except LogError as error:
        return f"Log {log.hint}: {error}"
    shown = ", ".join(names[:8]) + (f", … {len(names) - 8} more" if len(names) > 8 else "")
    kind = log.kind if log.live else "recording"
    return f"Log {log.hint} ({kind}): {shown or 'no topics yet'}"
