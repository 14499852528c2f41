"""SQL over a slice of a cluster: its records come in batches, and are nowhere held together."""

from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition

import workbench as wb
from tests.kafka.broker import Broker
from tests.kafka.support import frame, numbered
from workbench.errors import DefinitionError, OffsetOutOfRange
from workbench.log.kafka import KafkaLog
from workbench.log.kafka.wire import Ask
from workbench.log.protocol import TopicSpec

pytestmark = pytest.mark.kafka

COUNT = 40_000
SIZE = 10_000  # of each record: much more than what is read ahead


@pytest.fixture(scope="module")
def topic(cluster: KafkaLog) -> str:
    """A topic of 400 MB in two partitions."""
    name = f"large-{uuid.uuid4().hex[:12]}"
    cluster.create_topic(TopicSpec(name, partitions=2))
    for first in range(0, COUNT // 2, 5_000):
        for partition in (0, 1):
            rows = numbered(5_000, partition=partition, size=SIZE, start=10_000 + first)
            cluster.append(name, frame(rows))
    return name


@pytest.fixture
def part(kafka: Broker, topic: str) -> Iterator[wb.Slice]:
    with wb.connect(f"kafka://{kafka.bootstrap}", cache="off") as log:
        yield log.stream(topic, decode="text").all()


def query(url: str, topic: str, sql: str) -> tuple[tuple[object, ...], int]:
    """The one row that a query gives, and by how many bytes its process grew at the most."""

    def most() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10

    with wb.connect(url, cache="off") as log:
        stream = log.stream(topic, decode="text")
        stream.between({0: 0, 1: 0}, {0: 1, 1: 1}).sql(sql)
        Path("/proc/self/clear_refs").write_text("5")
        before = most()
        found = stream.all().sql(sql)
        return found.row(0), most() - before


def test_a_query_holds_less_than_it_reads(kafka: Broker, topic: str) -> None:
    sql = "SELECT count(*), max(value[:5]) FROM slice"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        row, grown = pool.apply(query, (f"kafka://{kafka.bootstrap}", topic, sql))
    assert row == (COUNT, "29999")
    assert grown < COUNT * SIZE / 2


def test_a_slice_that_is_named_twice_is_read_twice(part: wb.Slice) -> None:
    found = part.sql(
        "SELECT a.partition, count(*), max(b.value[:5]) FROM slice a "
        "JOIN slice b USING (partition, record_offset) GROUP BY ALL ORDER BY ALL"
    )
    assert found.rows() == [(0, COUNT // 2, "29999"), (1, COUNT // 2, "29999")]


def test_a_query_for_the_first_rows_reads_no_more_than_is_under_way(
    part: wb.Slice, fetches: list[Ask]
) -> None:
    found = part.sql("SELECT partition, record_offset FROM slice LIMIT 3")
    assert found.rows() == [(0, 0), (0, 1), (0, 2)]
    assert max(ask.offset for ask in fetches) < COUNT / 4


def test_raw_columns_in_batches(part: wb.Slice) -> None:
    sql = "SELECT sum(octet_length(value)), count(headers), any_value(leader_epoch) FROM slice"
    assert part.sql(sql, raw=True).row(0) == (COUNT * SIZE, COUNT, 0)


def test_what_cannot_be_read_is_told_as_that(
    part: wb.Slice, admin: KafkaAdminClient, topic: str
) -> None:
    admin.delete_records({TopicPartition(topic, 0): 5})
    with pytest.raises(OffsetOutOfRange, match=r"offset 0 has expired; what is left is \[5, "):
        part.sql("SELECT count(*) FROM slice")
    with pytest.raises(DefinitionError, match="nothing"):
        part.sql("SELECT nothing FROM slice")
