"""What is read of a partition: ranges that are asked for, pieces that come, and what may go wrong.

Shared by all that read (see `reader`, `poll`) or stand in for one (`masking`, `cache`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import kafka.errors as kafka_errors
import polars as pl

from workbench.errors import OffsetOutOfRange, TopicChanged, UnknownTopic
from workbench.log.kafka.client import Client
from workbench.records import Gap, GapReason, Isolation


class Range(NamedTuple):
    """What is to be read."""

    topic: str
    topic_id: str
    partition: int
    start: int
    end: int
    isolation: Isolation
    #: Whether the topic is compacted; None where the cluster does not say.
    compacted: bool | None

    @property
    def place(self) -> str:
        return f"topic {self.topic}, partition {self.partition}"

    @property
    def hole(self) -> GapReason:
        """What a missing offset is put down to where nothing else explains it."""
        return "compacted" if self.compacted else "unexplained"


class Piece(NamedTuple):
    """Records and known gaps of the offsets `[start, end)`."""

    start: int
    end: int
    raw: pl.DataFrame
    gaps: tuple[Gap, ...]


class Reader(Protocol):
    """One rung."""

    def pieces(self, wanted: Range) -> Iterator[Piece]:
        """Read a range; what cannot be read raises at once, not with the first piece."""


def current_topic(client: Client, wanted: Range) -> dict[str, Any]:
    """The topic's metadata.  Raises UnknownTopic when it is gone, TopicChanged when it is new."""
    [found] = client.describe([wanted.topic])
    if found["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno:
        raise UnknownTopic(wanted.topic, client.names(), log=client.settings.hint)
    if str(found["topic_id"]) != wanted.topic_id:
        raise TopicChanged(
            f"topic {wanted.topic!r} was deleted and made again while it was read: its id was "
            f"{wanted.topic_id} and is {found['topic_id']}",
            hint="what was read of it is not in the new one",
        )
    return found


def check_range(wanted: Range, position: int, low: int, high: int, readable: int) -> None:
    """Raise OffsetOutOfRange when `[position, end)` is not within what can be read."""
    if position < low:
        raise OffsetOutOfRange(
            f"{wanted.place}: offset {position} has expired; what is left is [{low}, {readable})",
            hint=f"start at {low} or later",
        )
    if wanted.end > high:
        raise OffsetOutOfRange(
            f"{wanted.place}: the range ends at {wanted.end}, beyond the log's end {high}",
            hint=f"what can be read is [{low}, {readable})",
        )
    if wanted.end > readable:
        raise OffsetOutOfRange(
            f"{wanted.place}: the range ends at {wanted.end}, beyond {readable}, where a "
            "transaction is open",
            hint='wait for it, or read with isolation="read_uncommitted"',
        )
