"""What a log says of itself without reading records."""

from __future__ import annotations

import polars as pl
import pytest

import workbench as wb
from workbench.errors import (
    InvalidTopicName,
    TopicExists,
    UnknownTopic,
)

from .support import Event, append, minute


def test_a_new_log_has_no_topics(any_log: wb.Log) -> None:
    assert any_log.topics().is_empty()
    assert "no topics yet" in repr(any_log)


def test_topics_are_listed_by_name(any_log: wb.Log) -> None:
    for name in ("payments", "orders", "orders.dead"):
        any_log.create(name)
    assert any_log.topics()["topic"].to_list() == ["orders", "orders.dead", "payments"]
    assert any_log.topics("order*")["topic"].to_list() == ["orders", "orders.dead"]
    assert any_log.topics("nothing*").is_empty()


def test_a_topic_row(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=3, retention="7d", schema={"n": int})
    any_log.create("kept")
    rows = {row["topic"]: row for row in any_log.topics(details=True).iter_rows(named=True)}
    assert rows["orders"]["partitions"] == 3
    assert rows["orders"]["cleanup_policy"] == "delete"
    assert rows["orders"]["retention_ms"] == 7 * 86_400_000
    assert rows["kept"]["retention_ms"] is None
    assert rows["orders"]["id"] != rows["kept"]["id"]
    assert any_log.stream("orders").schema["n"] == pl.Int64


def test_details_span_the_partitions(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=2)
    append(any_log, "orders", [Event(0, at=5), Event(0, at=1), Event(1, at=9)])
    any_log.create("empty")
    empty, row = any_log.topics(details=True).iter_rows(named=True)
    assert row["offsets"] == 3
    assert row["bytes"] > 0
    # A cluster keeps no index of times: it says when the first record was.
    assert row["first"] == (minute(5) if any_log.backend.kind == "kafka" else minute(1))
    assert row["last"] == minute(9)
    assert (empty["offsets"], empty["first"], empty["last"]) == (0, None, None)


def test_partitions(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=3)
    append(any_log, "orders", [Event(0), Event(0), Event(2)])
    frame = any_log.partitions("orders")
    assert frame.select("partition", "start", "end", "offsets").rows() == [
        (0, 0, 2, 2),
        (1, 0, 0, 0),
        (2, 0, 1, 1),
    ]


def test_an_unknown_topic_is_named_with_the_nearest(any_log: wb.Log) -> None:
    any_log.create("transactions")
    any_log.create("accounts")
    for ask in (any_log.stream, any_log.partitions, lambda name: any_log.append(name, [{}])):
        with pytest.raises(UnknownTopic, match="did you mean 'transactions'") as caught:
            ask("transaction")
        assert "accounts" in str(caught.value)
    with pytest.raises(UnknownTopic):
        any_log.stream(["accounts", "transaction"])


def test_asking_for_a_topic_does_not_make_it(any_log: wb.Log) -> None:
    with pytest.raises(UnknownTopic, match="no topics yet"):
        any_log.stream("orders")
    assert any_log.topics().is_empty()


def test_a_topic_is_made_once(any_log: wb.Log) -> None:
    any_log.create("orders")
    with pytest.raises(TopicExists, match=r"orders.*\(log\.stream\('orders'\) is the one"):
        any_log.create("orders")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\0b", "ä", "x" * 250, "../up"])
def test_topic_names_are_kafkas(any_log: wb.Log, name: str) -> None:
    with pytest.raises(InvalidTopicName):
        any_log.create(name)
    assert any_log.topics().is_empty()


def test_a_log_keeps_its_id(any_log: wb.Log) -> None:
    any_log.create("orders")
    assert any_log.id
    assert any_log.stream("orders").all().address.log_id == any_log.id
