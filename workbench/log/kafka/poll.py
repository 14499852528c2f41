"""The lowest rung: the client's own consumer, with nothing but its public names.

It gives records and positions, not batches, so why an offset is missing has to be found out: what
a second consumer is given that reads uncommitted records too was aborted.  An offset where nobody
is given anything is a transaction's marker where the topic is not compacted; where it is, or may
be, there is no telling.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import kafka.errors as kafka_errors
import polars as pl
from kafka import KafkaConsumer, TopicPartition

from workbench.errors import CorruptData, LogError, OffsetOutOfRange, Unreachable
from workbench.log.kafka.client import Client, translate
from workbench.log.kafka.columns import NO_TIME, Plain, frame_of
from workbench.log.kafka.ranges import Piece, Range, check_range, current_topic
from workbench.log.kafka.settings import PATIENCE_SECONDS
from workbench.records import Gap, GapReason

_ROWS = 20_000
_POLL_MS = 500


class PollReader:
    """See `Reader`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def pieces(self, wanted: Range) -> Iterator[Piece]:
        """See `Reader`."""
        self._check(wanted, wanted.start)
        return self._polled(wanted)

    def _polled(self, wanted: Range) -> Iterator[Piece]:
        place = TopicPartition(wanted.topic, wanted.partition)
        consumer = self._consumer(wanted)
        try:
            position = wanted.start
            progress = time.monotonic()
            while position < wanted.end:
                records = self._poll(consumer, place, wanted, position)
                reached = min(consumer.position(place), wanted.end)
                if reached == position:
                    if time.monotonic() - progress > PATIENCE_SECONDS:
                        raise Unreachable(
                            f"{wanted.place}: no progress at offset {position} for "
                            f"{PATIENCE_SECONDS:.0f} s"
                        )
                    self._check(wanted, position)
                    continue
                progress = time.monotonic()
                current_topic(self._client, wanted)
                frame = frame_of(
                    (_plain(record) for record in records if record.offset < wanted.end),
                    wanted.partition,
                )
                self._client.pace.spend(int(frame.estimated_size()))
                yield Piece(position, reached, frame, self._gaps(wanted, position, reached, frame))
                position = reached
        finally:
            consumer.close()

    def _consumer(self, wanted: Range) -> Any:
        """One that is at the start of a range."""
        settings = self._client.settings
        place = TopicPartition(wanted.topic, wanted.partition)
        consumer: Any = self._client.call(
            "read",
            lambda: KafkaConsumer(
                **settings.client(client_rack=settings.rack),
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                isolation_level=wanted.isolation,
                max_poll_records=_ROWS,
            ),
        )
        consumer.assign([place])
        consumer.seek(place, wanted.start)
        return consumer

    def _gaps(self, wanted: Range, start: int, end: int, frame: pl.DataFrame) -> tuple[Gap, ...]:
        """The offsets of `[start, end)` that no record was given for, with their reasons."""
        holes = _holes(start, end, frame["offset"].to_list())
        if not holes:
            return ()
        aborted: set[int] = set()
        if wanted.isolation == "read_committed":
            low, high = holes[0][0], holes[-1][1]
            between = wanted._replace(start=low, end=high, isolation="read_uncommitted")
            for piece in self.pieces(between):
                aborted.update(piece.raw["offset"].to_list())
            aborted -= set(frame["offset"].to_list())
        rest: GapReason = "control" if wanted.compacted is False else "unexplained"
        return tuple(
            Gap(wanted.topic, wanted.partition, first, last, "aborted" if gone else rest)
            for hole in holes
            for first, last, gone in _runs(*hole, aborted)
        )

    def _poll(
        self, consumer: Any, place: TopicPartition, wanted: Range, position: int
    ) -> list[Any]:
        try:
            found: list[Any] = consumer.poll(timeout_ms=_POLL_MS).get(place, [])
        except kafka_errors.OffsetOutOfRangeError:
            self._check(wanted, position)
            raise OffsetOutOfRange(f"{wanted.place}: offset {position} cannot be read") from None
        except kafka_errors.CorruptRecordError as error:
            raise CorruptData(f"{wanted.place}: {error}") from None
        except kafka_errors.UnsupportedCodecError as error:
            raise LogError(
                f"{wanted.place}: {error}",
                hint="the client's own consumer needs lz4, python-snappy or zstandard for that",
            ) from None
        except kafka_errors.KafkaError as error:
            raise translate(error, "read", self._client.settings) from None
        return found

    def _check(self, wanted: Range, position: int) -> None:
        current_topic(self._client, wanted)
        place = (wanted.topic, wanted.partition)
        low, high, stable = self._client.ends([place])[place]
        readable = stable if wanted.isolation == "read_committed" else high
        check_range(wanted, position, low, high, readable)


def _holes(start: int, end: int, offsets: list[int]) -> list[tuple[int, int]]:
    """The ranges of `[start, end)` without these offsets, which ascend."""
    ends = pairwise([start - 1, *offsets, end])
    return [(a + 1, b) for a, b in ends if a + 1 < b]


def _runs(start: int, end: int, chosen: set[int]) -> Iterator[tuple[int, int, bool]]:
    """The range in pieces that are all chosen or all not."""
    for is_chosen, run in groupby(range(start, end), chosen.__contains__):
        offsets = list(run)
        yield offsets[0], offsets[-1] + 1, is_chosen


def _plain(record: Any) -> Plain:
    return (
        record.offset,
        NO_TIME if record.timestamp is None else record.timestamp,
        record.timestamp_type == 1,
        record.key,
        record.value,
        record.headers,
        None if record.leader_epoch is None or record.leader_epoch < 0 else record.leader_epoch,
    )
