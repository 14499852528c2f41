"""What a lazy frame and a tail ask a cluster for, and what they do not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from kafka import KafkaAdminClient, TopicPartition

import workbench as wb
from tests.kafka.broker import Broker
from tests.kafka.support import T0, frame, numbered
from workbench.errors import OffsetOutOfRange
from workbench.log.kafka import KafkaLog
from workbench.log.kafka.wire import Ask
from workbench.log.protocol import TopicSpec
from workbench.source import columns

pytestmark = pytest.mark.kafka

COUNT = 400
#: Of each record; so that what is not asked for is not sent by the way either.
SIZE = 20_000


@pytest.fixture
def stream(
    kafka: Broker, cluster: KafkaLog, topic_name: str, fetches: list[Ask]
) -> Iterator[wb.Stream]:
    """Two partitions; record n of each is stamped n seconds after T0.  Nothing is kept of reads."""
    cluster.create_topic(TopicSpec(topic_name, partitions=2))
    for partition in (0, 1):
        cluster.append(topic_name, frame(numbered(COUNT, partition=partition, size=SIZE)))
    with wb.connect(f"kafka://{kafka.bootstrap}", cache="off") as log:
        yield log.stream(topic_name, decode="text")


PLACE, AT = pl.col("partition"), pl.col("offset")
TIME = pl.col("timestamp")
YOUNG = datetime.fromtimestamp((T0 + 350_000) / 1000, UTC)


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ((PLACE == 1) & (AT >= 100) & (AT < 120), {1: (100, 120)}),
        (AT.is_between(7, 9) & PLACE.is_in([0, 5]), {0: (7, 10)}),
        ((AT == 399) & (pl.col("topic") != "x"), {0: (399, 400), 1: (399, 400)}),
        ((TIME >= YOUNG) & (PLACE > 0), {1: (350, 400)}),
        (AT > 10_000, {}),
        # What is not understood, or holds for one of several reasons, is for the filter alone.
        (((AT < 5) | (pl.col("key") == "key-7")) & (PLACE == 0), {0: (0, 400)}),
        ((AT % 100 == 3) & (AT >= 200) & (PLACE == 1), {1: (200, 400)}),
    ],
)
def test_filters_decide_what_is_read(
    stream: wb.Stream, fetches: list[Ask], condition: pl.Expr, asked: dict[int, tuple[int, int]]
) -> None:
    part = stream.all()
    expected = part.frame().filter(condition)
    del fetches[:]
    lazily = part.lazy()
    assert lazily.collect_schema()["offset"] == pl.Int64
    assert fetches == []
    found = lazily.filter(condition).select("partition", "offset", "value").collect()
    assert found.equals(expected.select(found.columns))
    first = {p: min(ask.offset for ask in fetches if ask.partition == p) for p in asked}
    assert first == {p: low for p, (low, _) in asked.items()}
    assert {ask.partition for ask in fetches} == set(asked)
    assert all(ask.offset < asked[ask.partition][1] for ask in fetches)


def test_a_lazy_frame_of_what_has_expired(
    stream: wb.Stream, admin: KafkaAdminClient, topic_name: str
) -> None:
    """An error of its own kind, unless the filter asks for nothing of it."""
    part = stream.all()
    admin.delete_records({TopicPartition(topic_name, 0): 300})
    for lazily in (part.lazy().select(pl.len()), part.lazy().filter(TIME >= YOUNG)):
        # A look-up of a time knows nothing of the times of what has expired.
        with pytest.raises(OffsetOutOfRange, match=r"offset 0 has expired; what is left is \[300"):
            lazily.collect()
    left = part.lazy().filter((AT >= 300) | (PLACE == 1), AT >= 390).collect()
    assert left["offset"].to_list() == 2 * list(range(390, 400))
    assert part.lazy().filter(TIME >= YOUNG, AT >= 300).collect().height == 100


def test_the_first_rows_are_read_and_no_more_than_is_under_way(
    stream: wb.Stream, fetches: list[Ask]
) -> None:
    found = stream.all().lazy().head(3).filter(AT >= 1).select("partition", "offset").collect()
    assert found.rows() == [(0, 1), (0, 2)]
    assert all(ask.offset < COUNT for ask in fetches)


def test_what_is_not_asked_for_is_not_decoded(
    stream: wb.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = stream.all()

    def decoded(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(columns, "decode_records", decoded)
    assert part.lazy().select(pl.len()).collect().item() == 2 * COUNT
    late = part.lazy().filter(TIME >= YOUNG, AT % 7 == 0).select(AT.sum()).collect().item()
    assert late == 2 * sum(n for n in range(350, COUNT) if n % 7 == 0)
    with pytest.raises(AssertionError):
        part.lazy().select("value").collect()


def test_a_tail_reads_only_the_ends(stream: wb.Stream, fetches: list[Ask]) -> None:
    newest = stream.tail(5)
    assert newest.select("partition", "offset").rows() == [
        (0, 398),
        (0, 399),
        (1, 397),
        (1, 398),
        (1, 399),
    ]
    assert min(ask.offset for ask in fetches) == COUNT - 5
    assert max(ask.max_bytes for ask in fetches) <= 5 * SIZE * 1.2
