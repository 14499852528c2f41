"""Reading a real broker, over each of the three rungs: the same records, the same ends."""

from __future__ import annotations

from datetime import UTC
from random import Random

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

import workbench as wb
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.support import (
    T0,
    accounted,
    frame,
    joined,
    make,
    numbered,
    read,
    reasons,
    values,
)
from workbench.errors import InvalidRange, LogError, OffsetOutOfRange, TopicChanged, UnknownTopic
from workbench.log.kafka import KafkaLog
from workbench.log.kafka.poll import PollReader
from workbench.log.protocol import TopicSpec
from workbench.records import APPEND

pytestmark = pytest.mark.kafka


def sees_batches(log: KafkaLog) -> bool:
    """The client's own consumer gives records alone."""
    return not isinstance(log._reader, PollReader)


def test_records_come_back_as_they_were_written(rung: KafkaLog, topic_name: str) -> None:
    records = [
        (0, T0, None, None, []),
        (0, T0 + 1, b"", b"", [("h", b"")]),
        (1, T0 + 5, b"k", b"v", [("h", b"1"), ("h", None), ("g", b"\x00\xff"), ("h", b"1")]),
        (0, T0 - 1000, b"late", b"\xff\xfe", [("", b"nameless"), ("naïve ☃", b"text")]),
        (1, T0 + 9, b"tombstone", None, []),
        (0, 1, b"old", b"x" * 100_000, []),
    ]
    written = frame(records)
    rung.create_topic(TopicSpec(topic_name, partitions=2))
    taken = rung.append(topic_name, written)
    assert taken == {0: (0, 4), 1: (0, 2)}
    for partition in (0, 1):
        found, gaps = read(rung, topic_name, partition=partition)
        assert gaps == []
        assert found.select(APPEND.names()).equals(
            written.filter(written["partition"] == partition)
        )
        assert found["timestamp_type"].unique().to_list() == ["create"]
        assert found["leader_epoch"].to_list() == [0] * found.height
        assert found["recorded_at"].null_count() == found.height


def test_any_range_is_cut_exactly(rung: KafkaLog, topic_name: str) -> None:
    rung.create_topic(TopicSpec(topic_name))
    for first in (0, 10, 20):  # three batches, so that cuts fall inside and between
        rung.append(topic_name, frame(numbered(10, start=first)))
    for start, end in ((0, 30), (0, 1), (29, 30), (5, 25), (9, 11), (10, 20), (13, 14)):
        found, gaps = read(rung, topic_name, start, end)
        assert found["offset"].to_list() == list(range(start, end))
        assert values(found) == [row[3] for row in numbered(end - start, start=start)]
        assert gaps == []
    assert list(rung.read(topic_name, 0, 30, 30)) == []
    assert list(rung.read(topic_name, 0, 1000, 1000)) == []


def test_ranges_that_cannot_be(rung: KafkaLog, topic_name: str) -> None:
    rung.create_topic(TopicSpec(topic_name))
    rung.append(topic_name, frame(numbered(5)))
    with pytest.raises(OffsetOutOfRange, match=r"ends at 6, beyond the log's end 5"):
        rung.read(topic_name, 0, 0, 6)
    with pytest.raises(InvalidRange, match="reversed"):
        rung.read(topic_name, 0, 3, 2)
    with pytest.raises(InvalidRange, match="no partition 7"):
        rung.read(topic_name, 7, 0, 1)
    with pytest.raises(UnknownTopic, match="no topic"):
        rung.read(topic_name + "x", 0, 0, 1)


@pytest.mark.parametrize("codec", ["uncompressed", "gzip", "snappy", "lz4", "zstd"])
def test_codecs(rung: KafkaLog, admin: KafkaAdminClient, topic_name: str, codec: str) -> None:
    # The broker compresses, with Kafka's own codecs.
    make(admin, topic_name, compression_type=codec)
    written = frame(numbered(5_000, size=200))
    rung.append(topic_name, written)
    rung.append(topic_name, written.head(3))
    found, gaps = read(rung, topic_name, 7)
    assert gaps == []
    assert values(found) == [*values(written)[7:], *values(written.head(3))]


def test_a_codec_that_the_client_has_not(
    rung: KafkaLog, admin: KafkaAdminClient, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the lowest rung needs the client's own codecs, and says so."""
    make(admin, topic_name, compression_type="zstd")
    rung.append(topic_name, frame(numbered(100, size=200)))
    monkeypatch.setattr("kafka.codec.has_zstd", lambda: False)
    if sees_batches(rung):
        assert read(rung, topic_name)[0].height == 100
    else:
        with pytest.raises(LogError, match="zstandard"):
            read(rung, topic_name)


def test_what_grows_when_it_is_decompressed(
    rung: KafkaLog, admin: KafkaAdminClient, topic_name: str
) -> None:
    """Fetches are bounded by what they become in memory."""
    make(admin, topic_name, compression_type="zstd")
    noise = Random(1)
    written = frame([(0, T0, None, 20 * noise.randbytes(1_000), []) for _ in range(6_000)])
    rung.append(topic_name, written)
    chunks = list(rung.read(topic_name, 0, 0, 6_000))
    assert all(chunk.raw.collect().estimated_size() < 64 << 20 for chunk in chunks)
    assert joined(chunks, 0, 6_000)[0]["value"].equals(written["value"])


def test_a_large_message(rung: KafkaLog, admin: KafkaAdminClient, topic_name: str) -> None:
    make(admin, topic_name, max_message_bytes=8 << 20)
    large = bytes(range(256)) * (3 << 12)  # 3 MiB, larger than the first fetch asks for
    rung.append(topic_name, frame([(0, T0, b"a", large, []), *numbered(3)]))
    found, _ = read(rung, topic_name)
    assert values(found)[0] == large
    assert found.height == 4


def test_many_fetches(rung: KafkaLog, topic_name: str) -> None:
    rung.create_topic(TopicSpec(topic_name))
    written = frame(numbered(400, size=100_000))
    rung.append(topic_name, written)
    low, high = 11, 399
    chunks = list(rung.read(topic_name, 0, low, high))
    assert len(chunks) > 1
    found, gaps = joined(chunks, low, high)
    assert gaps == []
    assert found["value"].equals(written["value"][low:high])
    assert found["key"].equals(written["key"][low:high])


def test_a_reader_may_stop_early(rung: KafkaLog, topic_name: str) -> None:
    rung.create_topic(TopicSpec(topic_name))
    rung.append(topic_name, frame(numbered(400, size=100_000)))
    chunks = rung.read(topic_name, 0, 0, 400)
    first = next(chunks)
    del chunks
    assert first.start == 0
    assert read(rung, topic_name, 0, 10)[0].height == 10


@pytest.fixture
def transactions(
    kafka: Broker, cluster: KafkaLog, topic_name: str, eventually: Patience
) -> KafkaLog:
    """Offsets: 0 plain, 1-3 committed, 4 marker, 5-7 aborted, 8 marker, 9 plain, 10-11 committed,
    12 marker, 13-14 aborted, 15 marker."""
    cluster.create_topic(TopicSpec(topic_name))
    plain = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic_name)
    producer.init_transactions()

    def transaction(names: list[bytes], *, commit: bool) -> None:
        first = cluster.partitions(topic_name)[0].end
        producer.begin_transaction()
        for name in names:
            producer.send(topic_name, name).get(timeout=30)
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
        # The marker comes in its own time.
        eventually(lambda: cluster.partitions(topic_name)[0].last_stable > first + len(names))

    plain.send(topic_name, b"plain-0").get(timeout=30)
    transaction([b"kept-1", b"kept-2", b"kept-3"], commit=True)
    transaction([b"dropped-5", b"dropped-6", b"dropped-7"], commit=False)
    plain.send(topic_name, b"plain-9").get(timeout=30)
    transaction([b"kept-10", b"kept-11"], commit=True)
    transaction([b"dropped-13", b"dropped-14"], commit=False)
    plain.close()
    producer.close()
    return cluster


def test_transactions(
    transactions: KafkaLog, rung: KafkaLog, topic_name: str, eventually: Patience
) -> None:
    eventually(lambda: rung.partitions(topic_name)[0].last_stable == 16)
    kept = [b"plain-0", b"kept-1", b"kept-2", b"kept-3", b"plain-9", b"kept-10", b"kept-11"]
    found, gaps = read(rung, topic_name)
    assert values(found) == kept
    assert found["offset"].to_list() == [0, 1, 2, 3, 9, 10, 11]
    everything, between = read(rung, topic_name, isolation="read_uncommitted")
    assert everything["offset"].to_list() == [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14]
    assert reasons(gaps) == {
        "control": [(4, 5), (8, 9), (12, 13), (15, 16)],
        "aborted": [(5, 8), (13, 15)],
    }
    assert accounted(found, gaps, 0, 16)
    assert reasons(between) == {"control": [(4, 5), (8, 9), (12, 13), (15, 16)]}


def test_every_range_over_transactions(
    transactions: KafkaLog, rung: KafkaLog, topic_name: str, eventually: Patience
) -> None:
    """A range that begins or ends in a marker or an aborted transaction ends all the same."""
    eventually(lambda: rung.partitions(topic_name)[0].last_stable == 16)
    kept = {0, 1, 2, 3, 9, 10, 11}
    step = 1 if sees_batches(rung) else 5
    for start in range(0, 16, step):
        for end in range(start + 1, 17, step):
            found, gaps = read(rung, topic_name, start, end)
            assert found["offset"].to_list() == sorted(kept & set(range(start, end)))
            assert accounted(found, gaps, start, end)


def test_an_open_transaction(
    kafka: Broker, rung: KafkaLog, topic_name: str, eventually: Patience
) -> None:
    rung.create_topic(TopicSpec(topic_name))
    rung.append(topic_name, frame(numbered(2)))
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic_name)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic_name, b"open").get(timeout=30)
    rung.append(topic_name, frame(numbered(1)))

    [ends] = rung.partitions(topic_name)
    assert (ends.start, ends.last_stable, ends.end) == (0, 2, 4)
    assert read(rung, topic_name)[0].height == 2
    assert read(rung, topic_name, isolation="read_uncommitted")[0].height == 4
    face = wb.Log(rung, tz=UTC, max_read=None)
    day = face.stream(topic_name).all()  # what it is decoded by is looked for in what is readable
    assert day.frame().height == 2
    assert f"open transaction: {topic_name} 0:[2, 4) cannot be read yet" in repr(day.completeness())
    assert face.stream(topic_name).between("2020-01-01", "now").frame().height == 2
    assert face.stream(topic_name).tail(5).height == 2
    every = face.stream(topic_name, isolation="read_uncommitted").all()
    assert every.frame().height == 4
    assert "open" not in repr(every.completeness())
    with pytest.raises(OffsetOutOfRange, match="a transaction is open"):
        rung.read(topic_name, 0, 0, 4)

    producer.abort_transaction()
    producer.close()
    eventually(lambda: rung.partitions(topic_name)[0].last_stable == 5)
    assert read(rung, topic_name)[0]["offset"].to_list() == [0, 1, 3]


def test_compaction(
    rung: KafkaLog, admin: KafkaAdminClient, topic_name: str, eventually: Patience
) -> None:
    make(
        admin,
        topic_name,
        cleanup_policy="compact",
        min_cleanable_dirty_ratio=0.01,
        segment_ms=100,
        min_compaction_lag_ms=0,
        delete_retention_ms=0,
    )
    same = [(0, T0 + n, b"a" if n % 10 else b"b-%d" % n, b"%d" % n, []) for n in range(100)]
    rung.append(topic_name, frame(same))

    def compacted() -> bool:
        # The segment that is written to is never compacted: keep rolling it.
        rung.append(topic_name, frame([(0, None, b"roll", b"x", [])]))
        return read(rung, topic_name, 0, 100)[0].height < 50

    eventually(compacted)
    found, gaps = read(rung, topic_name, 0, 100)
    survivors = [(n, b"%d" % n) for n in range(0, 100, 10)] + [(99, b"99")]
    assert list(zip(found["offset"], found["value"], strict=True)) == survivors
    # Where only records are seen, a marker of a transaction would look the same.
    reason = "compacted" if sees_batches(rung) else "unexplained"
    assert set(reasons(gaps)) == {reason}
    assert accounted(found, gaps, 0, 100)
    # A range of nothing but compacted offsets ends as well.
    nothing, gaps = read(rung, topic_name, 31, 39)
    assert nothing.is_empty()
    assert reasons(gaps) == {reason: [(31, 39)]}


def test_what_expired_is_said(rung: KafkaLog, admin: KafkaAdminClient, topic_name: str) -> None:
    rung.create_topic(TopicSpec(topic_name))
    rung.append(topic_name, frame(numbered(100)))
    admin.delete_records({TopicPartition(topic_name, 0): 40})
    with pytest.raises(OffsetOutOfRange, match=r"offset 10 has expired; what is left is \[40, 100"):
        rung.read(topic_name, 0, 10, 100)
    assert [g.reason for g in rung.gaps(topic_name, 0, 10, 100)] == ["expired"]
    assert [(g.start, g.end) for g in rung.gaps(topic_name, 0, 10, 100)] == [(10, 40)]
    assert rung.gaps(topic_name, 0, 40, 100) == []
    assert read(rung, topic_name)[0]["offset"].to_list() == list(range(40, 100))


def test_expiry_under_a_reader(rung: KafkaLog, admin: KafkaAdminClient, topic_name: str) -> None:
    rung.create_topic(TopicSpec(topic_name))
    rung.append(topic_name, frame(numbered(600, size=100_000)))
    chunks = rung.read(topic_name, 0, 0, 600)
    first = next(chunks)
    admin.delete_records({TopicPartition(topic_name, 0): 599})
    seen = [first]
    with pytest.raises(OffsetOutOfRange, match=r"expired; what is left is \[599, 600"):
        seen.extend(chunks)
    # What was handed out before is whole, and not one record was skipped.
    joined(seen, 0, seen[-1].end)
    assert seen[-1].end < 599


def test_a_topic_made_again_under_a_reader(
    rung: KafkaLog, admin: KafkaAdminClient, topic_name: str, eventually: Patience
) -> None:
    rung.create_topic(TopicSpec(topic_name))
    rung.append(topic_name, frame(numbered(600, size=100_000)))
    chunks = rung.read(topic_name, 0, 0, 600)
    next(chunks)
    again(admin, topic_name, eventually)
    rung.append(topic_name, frame(numbered(600, size=100_000, start=1_000_000)))
    with pytest.raises((TopicChanged, UnknownTopic)):
        list(chunks)


def test_the_broker_stamps(rung: KafkaLog, admin: KafkaAdminClient, topic_name: str) -> None:
    make(admin, topic_name, message_timestamp_type="LogAppendTime")
    rung.append(topic_name, frame(numbered(3)))
    found, _ = read(rung, topic_name)
    assert found["timestamp_type"].unique().to_list() == ["append"]
    assert (found["timestamp"].dt.epoch("ms") != T0).all()
    assert found["timestamp"].n_unique() == 1
    assert rung.topic(topic_name).timestamp_type == "append"


def again(admin: KafkaAdminClient, name: str, eventually: Patience) -> None:
    """Delete a topic and make it again."""
    admin.delete_topics([name])
    eventually(lambda: name not in admin.list_topics())
    admin.create_topics({name: {"num_partitions": 1}}, wait_for_metadata=True)
