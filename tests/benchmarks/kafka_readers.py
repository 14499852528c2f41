"""Readers of a Kafka topic to be compared: ours, its peers, and a fetch that decodes nothing.

Each takes the broker's address, a topic, and the number of records in each of its partitions, and
returns the frame that it made, or the number of records where it keeps none.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import polars as pl

import workbench as wb

Counts = dict[int, int]
Reader = Callable[[str, str, Counts], "pl.DataFrame | int"]

FETCH_BYTES = 16 << 20
CONSUME = 10_000
SCHEMA = {
    "id": pl.Int64,
    "account": pl.String,
    "kind": pl.String,
    "amount": pl.Decimal(18, 2),
    "balance": pl.Decimal(18, 2),
    "currency": pl.String,
    "at": pl.Datetime("ms", "UTC"),
    "counterparty": pl.String,
    "merchant": pl.String,
}
COLUMNS = ("partition", "offset", "timestamp", "key", "value")


def fetch(server: str, topic: str, counts: Counts) -> int:
    """The limit: fetches over one socket into one buffer; only the batches' headers are read."""
    host, _, port = server.partition(":")
    buffer = memoryview(bytearray(2 * FETCH_BYTES))
    name = struct.pack(">h", len(topic)) + topic.encode()
    with socket.create_connection((host, int(port))) as connection:
        for partition, end in counts.items():
            at = 0
            while at < end:
                head = struct.pack(">hhih", 1, 4, 0, -1)  # Fetch, version 4, no client id
                body = struct.pack(">iiiib", -1, 500, 1, FETCH_BYTES, 0)
                asked = struct.pack(">iiqi", 1, partition, at, FETCH_BYTES)
                request = head + body + struct.pack(">i", 1) + name + asked
                connection.sendall(struct.pack(">i", len(request)) + request)
                (size,) = struct.unpack(">i", _received(connection, buffer[:4]))
                answer = _received(connection, buffer[:size])
                first = 12 + len(name) + 4 + 4 + 2 + 16  # where the aborted transactions begin
                (aborted,) = struct.unpack_from(">i", answer, first)
                before, at = at, _next_offset(answer, first + 4 + 16 * max(aborted, 0) + 4)
                assert at > before, f"no records at offset {before} of partition {partition}"
    return sum(counts.values())


def _received(connection: socket.socket, target: memoryview) -> memoryview:
    filled = 0
    while filled < len(target):
        filled += connection.recv_into(target[filled:])
    return target


def _next_offset(answer: memoryview, start: int) -> int:
    """One past the last offset of the whole batches from `start`."""
    offset = -1
    while start + 61 <= len(answer):
        base, length = struct.unpack_from(">qi", answer, start)
        if start + 12 + length > len(answer):
            break
        offset = base + struct.unpack_from(">i", answer, start + 23)[0] + 1
        start += 12 + length
    return offset


def ours(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """Coordinates, key and value, as bytes; nothing is kept for a second read."""
    with wb.connect(f"kafka://{server}", max_read=1 << 40, cache="off") as log:
        stream = log.stream(topic, decode="bytes", decode_key="bytes")
        return stream.between("earliest", counts).frame()


def ours_kept(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """The same with the session's cache, as it is unless it is switched off."""
    with wb.connect(f"kafka://{server}", max_read=1 << 40) as log:
        stream = log.stream(topic, decode="bytes", decode_key="bytes")
        return stream.between("earliest", counts).frame()


def ours_json(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """Coordinates, key, and the fields of the value, typed and exact."""
    with wb.connect(f"kafka://{server}", max_read=1 << 40, cache="off") as log:
        return log.stream(topic, schema=SCHEMA).between("earliest", counts).frame()


def ours_batches(server: str, topic: str, counts: Counts) -> int:
    """The frames of `batches()`, each let go of before the next."""
    with wb.connect(f"kafka://{server}", cache="off") as log:
        stream = log.stream(topic, decode="bytes", decode_key="bytes")
        return sum(frame.height for frame in stream.between("earliest", counts).batches())


def confluent(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """`consume(10_000)` into lists, and these into a frame."""
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    partitions, offsets, times, keys, values = columns
    for messages in _consumed(server, topic, counts):
        partitions += [message.partition() for message in messages]
        offsets += [message.offset() for message in messages]
        times += [message.timestamp()[1] for message in messages]
        keys += [message.key() for message in messages]
        values += [message.value() for message in messages]
    return _frame(columns)


def confluent_json(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """The same with orjson and a DataFrame; amounts are floats and times text."""
    import orjson

    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    partitions, offsets, times, keys, documents = columns
    for messages in _consumed(server, topic, counts):
        partitions += [message.partition() for message in messages]
        offsets += [message.offset() for message in messages]
        times += [message.timestamp()[1] for message in messages]
        keys += [message.key().decode() for message in messages]
        documents += [orjson.loads(message.value()) for message in messages]
    payload = pl.DataFrame(documents, infer_schema_length=1000)
    coordinates = dict(zip(COLUMNS, columns[:4], strict=False))
    return pl.DataFrame(coordinates).hstack(payload.get_columns())


def _consumed(server: str, topic: str, counts: Counts) -> Any:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": server,
            "group.id": "benchmark",
            "enable.auto.commit": False,
            "fetch.message.max.bytes": FETCH_BYTES,
            "queued.min.messages": 500_000,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in counts])
    left = sum(counts.values())
    while left > 0:
        messages = consumer.consume(min(CONSUME, left), timeout=10)
        left -= len(messages)
        yield messages
    consumer.close()


def kafka_python(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """`poll()` into lists, and these into a frame."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=server,
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
    )
    places = [TopicPartition(topic, partition) for partition in counts]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    rows: list[Any] = []
    while len(rows) < sum(counts.values()):
        for records in consumer.poll(timeout_ms=1000, max_records=CONSUME).values():
            rows += _rows(records)
    consumer.close()
    return _frame(tuple(zip(*rows, strict=True)))


def aiokafka(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """`getmany()` into lists, and these into a frame."""
    return asyncio.run(_aiokafka(server, topic, counts))


async def _aiokafka(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer = AIOKafkaConsumer(
        bootstrap_servers=server, enable_auto_commit=False, max_partition_fetch_bytes=FETCH_BYTES
    )
    await consumer.start()
    places = [TopicPartition(topic, partition) for partition in counts]
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    rows: list[Any] = []
    while len(rows) < sum(counts.values()):
        for records in (await consumer.getmany(timeout_ms=1000, max_records=CONSUME)).values():
            rows += _rows(records)
    await consumer.stop()
    return _frame(tuple(zip(*rows, strict=True)))


def kafkarrow(server: str, topic: str, counts: Counts) -> pl.DataFrame:
    """Its batches as frames."""
    from kafkarrow import ConsumerManager, SourceTopic

    config = {"bootstrap.servers": server, "group.id": "benchmark"}
    consumer = ConsumerManager(config, [SourceTopic.from_earliest(topic)])
    frames: list[pl.DataFrame] = []
    while sum(frame.height for frame in frames) < sum(counts.values()):
        found: Any = pl.from_arrow(consumer.poll(1000))
        frames.append(found)
    return pl.concat(frames)


def _rows(records: Any) -> list[Any]:
    return [(one.partition, one.offset, one.timestamp, one.key, one.value) for one in records]


def _frame(columns: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
