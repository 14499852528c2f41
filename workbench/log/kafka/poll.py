"""The lowest rung: the client's own consumer, with nothing but its public names.

It gives records and positions, not batches: why an offset is missing cannot be told, so the gaps
it leaves are unexplained.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import kafka.errors as kafka_errors
from kafka import KafkaConsumer, TopicPartition

from workbench.errors import CorruptData, LogError, OffsetOutOfRange, Unreachable
from workbench.log.kafka.client import Client, translate
from workbench.log.kafka.columns import NO_TIME, Plain, frame_of
from workbench.log.kafka.ranges import (
    PATIENCE_SECONDS,
    Piece,
    Range,
    check_range,
    current_topic,
)

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
        try:
            consumer.assign([place])
            consumer.seek(place, wanted.start)
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
                yield Piece(position, reached, frame, ())
                position = reached
        finally:
            consumer.close()

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
