"""What a sample stream is: topics, stories, and frames of records in order of arrival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import polars as pl

from workbench.records import APPEND
from workbench.schema import Schema

#: The columns of a batch: what a log appends, but for the partition, which follows from the key.
COLUMNS = pl.Schema({name: dtype for name, dtype in APPEND.items() if name != "partition"})

BATCH_ROWS = 10_000
MONEY = pl.Decimal(18, 2)
TIME = pl.Datetime("ms", "UTC")
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1)
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class TopicSample:
    """A topic of a sample stream, as it is to be created.

    `key` names the payload field that also is the record's key, or is None where records have no
    key.  A topic without a schema holds plain text.
    """

    name: str
    partitions: int
    schema: Schema | None
    key: str | None
    about: str


@dataclass(frozen=True, slots=True)
class Story:
    """Something that happened in a sample stream, and where to look for it.

    `[start, end)` bounds the event times of its records.  `key` is the record key of the entity
    it happened to, where it happened to one.
    """

    id: str
    sentence: str
    topic: str
    start: datetime
    end: datetime
    key: str | None = None


@dataclass(frozen=True, slots=True)
class SampleStream:
    """A sample stream, ready to be appended to a log.

    `batches` gives pairs of topic name and frame in order of arrival.  A frame has the columns
    `timestamp` (Datetime(ms, UTC); null: the log is to stamp it), `key` (Binary), `value`
    (Binary) and `headers`, and at most about 10,000 rows.  It is an iterator: it can be run
    through once.
    """

    name: str
    topics: tuple[TopicSample, ...]
    stories: tuple[Story, ...]
    batches: Iterator[tuple[str, pl.DataFrame]]


class Record(NamedTuple):
    """One record on its way into a batch; records sort by arrival.

    `arrival` and `timestamp` are milliseconds: when the log receives it, and when its producer
    stamped it.  `number` tells apart what arrives in the same millisecond.
    """

    arrival: int
    number: int
    topic: str
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def frames(records: Iterable[Record], rows: int = BATCH_ROWS) -> Iterator[tuple[str, pl.DataFrame]]:
    """Gather records into one frame a topic for every `rows` records."""
    waiting: dict[str, list[Record]] = {}
    count = 0
    for record in records:
        waiting.setdefault(record.topic, []).append(record)
        count += 1
        if count == rows:
            yield from ((topic, _frame(part)) for topic, part in waiting.items())
            waiting, count = {}, 0
    yield from ((topic, _frame(part)) for topic, part in waiting.items())


def _frame(records: list[Record]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "timestamp": pl.Series([r.timestamp for r in records], dtype=pl.Int64).cast(TIME),
            "key": pl.Series([r.key for r in records], dtype=pl.Binary),
            "value": pl.Series([r.value for r in records], dtype=pl.Binary),
            "headers": _headers(records),
        },
        schema=COLUMNS,
    )


def _headers(records: list[Record]) -> pl.Series:
    """A list column out of flat ones: many times faster than out of nested Python objects."""
    flat = [
        (row, *header)
        for row, record in enumerate(records)
        for header in ((None, None), *record.headers)
    ]
    schema = {"row": pl.Int64, "name": pl.String, "value": pl.Binary}
    return (
        pl.DataFrame(flat, schema, orient="row")
        .group_by("row", maintain_order=True)
        .agg(headers=pl.struct("name", "value").filter(pl.col("name").is_not_null()))["headers"]
    )


def encode(fields: dict[str, Any]) -> bytes:
    """JSON of the fields that are not None; a Decimal is written with all its digits."""
    return _ENCODE({name: value for name, value in fields.items() if value is not None})


def money(cents: int) -> Decimal:
    """Cents as a Decimal with two places."""
    return Decimal(cents).scaleb(-2)


def iso(time_ms: int) -> str:
    """A time in milliseconds as ISO text in UTC."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds") + "Z"


def moment(text: str) -> datetime:
    """An aware datetime from ISO text in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def millis(text: str) -> int:
    """Milliseconds since 1970 from ISO text in UTC."""
    return (moment(text) - _EPOCH.replace(tzinfo=UTC)) // timedelta(milliseconds=1)
