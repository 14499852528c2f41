"""Records for the contract suite, and how to look at what came back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

import workbench as wb

START = datetime(2026, 11, 2, tzinfo=UTC)

Headers = list[tuple[str, bytes | None]]


class Event(NamedTuple):
    """A record as a producer sends it; `at` is in minutes after START."""

    partition: int = 0
    at: int = 0
    key: bytes | None = b"k"
    value: bytes | None = b"{}"
    headers: Headers = []  # noqa: RUF012 - never changed


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def append(log: wb.Log, topic: str, events: Iterable[Event], **options: Any) -> None:
    """Append raw records, each into its partition."""
    frame = pl.DataFrame(
        [
            {
                "partition": e.partition,
                "timestamp": minute(e.at),
                "key": e.key,
                "value": e.value,
                "headers": [{"name": name, "value": value} for name, value in e.headers],
            }
            for e in events
        ],
        schema={
            "partition": pl.Int32,
            "timestamp": pl.Datetime("ms", "UTC"),
            "key": pl.Binary,
            "value": pl.Binary,
            "headers": pl.List(pl.Struct({"name": pl.String, "value": pl.Binary})),
        },
    )
    log.append(topic, frame, encode="bytes", **options)


def places(frame: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Topic, partition and offset of each row, in the frame's order."""
    return frame.select(pl.col("topic").cast(pl.String), "partition", "offset").rows()


def columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the topic as text, to compare frames of several logs."""
    return frame.with_columns(pl.col("topic").cast(pl.String))
