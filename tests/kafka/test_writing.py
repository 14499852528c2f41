"""Writing to a real broker: what is written, what is refused, and what an error says of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaAdminClient
from kafka.record import MemoryRecords

from tests.kafka.broker import Broker
from tests.kafka.support import T0, Record, frame, lose_answers, make, numbered, read, values
from tests.kafka.test_decoding import as_compiled, as_plain, decoded
from workbench.errors import AppendRejected
from workbench.log.kafka import KafkaLog, encode
from workbench.log.kafka.wire import Wire
from workbench.log.protocol import Producer, TopicSpec
from workbench.records import APPEND

blobs = st.none() | st.binary(max_size=40)
headers = st.lists(st.tuples(st.text(max_size=5), blobs), max_size=3)
records = st.lists(
    st.tuples(st.just(0), st.integers(0, 1 << 50), blobs, blobs, headers), min_size=1, max_size=30
)


@given(records, st.integers(62, 2_000), st.integers(0, (1 << 31) - 1))
def test_any_records_are_encoded(rows: list[Record], limit: int, sequence: int) -> None:
    """Both forms write the same; we and Kafka's Python client read what was written."""
    written = frame(rows)
    made = []
    for form in (as_compiled, as_plain):
        with pytest.MonkeyPatch.context() as patch:
            form(patch)
            made.append(list(encode.encode(written, (7, 3), sequence, limit)))
    batches, again = made
    assert batches == again
    assert [batch.first for batch in batches] == [0, *(batch.last for batch in batches[:-1])]
    assert batches[-1].last == len(rows)
    for first, last, data in batches:
        assert len(data) <= limit or last == first + 1
        part = written[first:last]
        assert decoded(data, 0, last - first).select(APPEND.names()).equals(part)
        theirs = MemoryRecords(data).next_batch()
        assert theirs.validate_crc()
        assert (theirs.producer_id, theirs.producer_epoch) == (7, 3)
        assert theirs.base_sequence == (sequence + first) % (1 << 31)
        assert [(one.timestamp, one.key, one.value, one.headers) for one in theirs] == [
            row[1:] for row in rows[first:last]
        ]


needs_broker = pytest.mark.kafka


@pytest.fixture
def log(kafka: Broker) -> Iterator[KafkaLog]:
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        yield log


@needs_broker
def test_many_batches_of_several_partitions(log: KafkaLog, topic_name: str) -> None:
    log.create_topic(TopicSpec(topic_name, partitions=3))
    rows = [(n % 3, *numbered(1, size=3_000, start=n)[0][1:]) for n in range(1_500)]
    written = frame(rows)
    assert log.append(topic_name, written) == dict.fromkeys(range(3), (0, 500))
    for partition in range(3):
        found, _ = read(log, topic_name, partition=partition)
        assert found.select(APPEND.names()).equals(
            written.filter(written["partition"] == partition)
        )


@needs_broker
def test_a_topic_of_small_batches(log: KafkaLog, admin: KafkaAdminClient, topic_name: str) -> None:
    make(admin, topic_name, max_message_bytes=5_000)
    written = frame(numbered(300, size=400))
    assert log.append(topic_name, written) == {0: (0, 300)}
    assert values(read(log, topic_name)[0]) == values(written)


@needs_broker
def test_what_was_written_and_what_was_not_is_said(
    log: KafkaLog, admin: KafkaAdminClient, topic_name: str
) -> None:
    make(admin, topic_name, partitions=2, max_message_bytes=1_000)
    rows = [(n % 2, T0, b"", b"x" * (5_000 if n == 6 else 10), []) for n in range(10)]
    with pytest.raises(
        AppendRejected, match=r"2 of 10 records .* rows 6, 8 \(partition 0\)"
    ) as said:
        log.append(topic_name, frame(rows))
    assert "row 6 takes 5,0" in str(said.value)
    assert "more than the topic allows (max.message.bytes)" in str(said.value)
    assert "partition 1 [0, 5)" in str(said.value)
    assert "partition 0 [0, 3)" in str(said.value)
    # Nothing overtakes a row that was refused; the next append is none the worse.
    log.append(topic_name, frame(numbered(3)))
    assert read(log, topic_name)[0].height == 3 + 3
    assert read(log, topic_name, partition=1)[0].height == 5


@needs_broker
def test_what_is_far_too_large_is_not_even_sent(
    log: KafkaLog, admin: KafkaAdminClient, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(admin, topic_name, max_message_bytes=2_000_000)
    sent: list[str] = []
    send = Wire.send

    def noted(wire: Wire, request: Any, node: int | None = None) -> Future[Any]:
        sent.append(type(request).__name__)
        return send(wire, request, node)

    monkeypatch.setattr(Wire, "send", noted)
    rows = [(0, T0, b"", b"x" * (20_000_000 if n == 1 else 10), []) for n in range(3)]
    said = r"rows 0 to 2 .* row 1 takes 20,000,\d+ bytes, .* \(max.message.bytes 2,000,000\)"
    with pytest.raises(AppendRejected, match=said):
        log.append(topic_name, frame(rows))
    assert "ProduceRequest" not in sent
    # What fits is written, in a batch of its own, and so is what comes after it.
    rows = [(0, T0, b"", b"x" * (1_900_000 if n == 1 else 10), []) for n in range(3)]
    assert log.append(topic_name, frame(rows)) == {0: (0, 3)}


@needs_broker
def test_an_answer_that_is_lost(
    log: KafkaLog, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has written it, we are not told: it is found, and is there once."""
    log.create_topic(TopicSpec(topic_name, partitions=2))
    written: list[Any] = []

    def every_second(answer: Future[Any]) -> bool:
        written.append(answer.result(timeout=30))
        return len(written) % 2 == 1

    lose_answers(monkeypatch, every_second)
    rows = [(n % 2, *numbered(1, size=20_000, start=n)[0][1:]) for n in range(200)]
    for sequence in range(3):
        taken = log.append(topic_name, frame(rows), Producer("p", sequence=sequence))
        assert taken == dict.fromkeys(range(2), (sequence * 100, sequence * 100 + 100))
    assert len(written) >= 3 * 4
    for partition in range(2):
        found, _ = read(log, topic_name, partition=partition)
        assert values(found) == 3 * [row[3] for row in rows if row[0] == partition]


@needs_broker
def test_records_without_a_time_are_stamped(log: KafkaLog, topic_name: str) -> None:
    log.create_topic(TopicSpec(topic_name))
    log.append(topic_name, frame([(0, None, b"k", b"v", []), (0, T0, b"k", b"v", [])]))
    stamps = read(log, topic_name)[0]["timestamp"].dt.epoch("ms")
    assert stamps[1] == T0
    assert stamps[0] != T0
    assert stamps.null_count() == 0


@needs_broker
def test_nothing_to_append(log: KafkaLog, topic_name: str) -> None:
    log.create_topic(TopicSpec(topic_name))
    assert log.append(topic_name, pl.DataFrame(schema=APPEND)) == {}
