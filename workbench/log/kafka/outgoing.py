"""Batches on their way to a cluster: cut, numbered for their producer, put into a request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl
from kafka.protocol.producer import ProduceRequest

from workbench.log.kafka.encode import SEQUENCES, encode
from workbench.records import TIMESTAMP, TopicInfo

#: A batch of a partition, before its records are acknowledged; well below the usual limit.
BATCH_BYTES = 512 << 10
#: How long a batch may take, retries included, in seconds.
DELIVERY_SECONDS = 60.0

_ACKS_ALL = -1
_VERSION = 9  # the newest that names topics
_LISTED = 10  # ranges of rows that an error names


class Session(NamedTuple):
    """A producer as the cluster knows it, and the next sequence number of each partition.

    `ends` is where each partition ended before what is sent next: that lies beyond.
    """

    id: int
    epoch: int
    next: dict[tuple[str, int], int]
    ends: dict[tuple[str, int], int]


@dataclass(slots=True)
class Batch:
    """Some rows of one partition; `base_offset` is None until they are acknowledged.

    `producer` is the producer's id, epoch and the number of the first row; `records` are the rows
    themselves, for a batch that has to be made smaller.  What was `sent` may be in the log.
    """

    partition: int
    rows: list[int]
    producer: tuple[int, int, int]
    records: pl.DataFrame | None
    data: bytes | None
    sent: bool = False
    base_offset: int | None = None

    def acknowledge(self, base_offset: int) -> int:
        """Note where it is; where it ends."""
        self.base_offset = base_offset
        self.records = self.data = None
        return base_offset + len(self.rows)


def cut(records: pl.DataFrame, info: TopicInfo, session: Session) -> Iterator[Batch]:
    """The records as batches, numbered for their producer."""
    now = pl.lit(time.time_ns() // 1_000_000).cast(TIMESTAMP)
    stamped = records.with_columns(pl.col("timestamp").fill_null(now)).with_row_index("row")
    for part in stamped.partition_by("partition", maintain_order=True):
        partition, rows = part["partition"][0], part["row"].to_list()
        place = (info.id, partition)
        sequence = session.next.get(place, 0)
        session.next[place] = (sequence + len(rows)) % SEQUENCES
        yield from encoded(part, partition, rows, session, sequence, BATCH_BYTES)


def encoded(
    records: pl.DataFrame,
    partition: int,
    rows: list[int],
    session: Session,
    sequence: int,
    limit: int,
) -> Iterator[Batch]:
    """Rows of one partition as batches of about `limit` bytes, from this sequence number on."""
    for first, last, data in encode(records, (session.id, session.epoch), sequence, limit):
        held = records.slice(first, last - first)
        producer = (session.id, session.epoch, (sequence + first) % SEQUENCES)
        yield Batch(partition, rows[first:last], producer, held, data)


def ranges(rows: list[int]) -> str:
    """Ascending numbers as ranges, the first few."""
    ends = [at for at in range(1, len(rows)) if rows[at] != rows[at - 1] + 1]
    parts = [
        str(rows[a]) if b == a + 1 else f"{rows[a]} to {rows[b - 1]}"
        for a, b in pairwise([0, *ends, len(rows)])
    ]
    return ", ".join(parts[:_LISTED]) + (", …" if len(parts) > _LISTED else "")


def produce_request(topic: str, batches: list[Batch]) -> Any:
    """One batch of each partition."""
    data = ProduceRequest.TopicProduceData
    return ProduceRequest(
        transactional_id=None,
        acks=_ACKS_ALL,
        timeout_ms=int(DELIVERY_SECONDS * 1000),
        topic_data=[
            data(
                name=topic,
                partition_data=[
                    data.PartitionProduceData(index=batch.partition, records=batch.data)
                    for batch in batches
                ],
            )
        ],
        min_version=3,
        max_version=_VERSION,
    )
