"""SQL over slices and frames, and search across topics."""

from __future__ import annotations

import polars as pl
import pytest

import workbench as wb
from workbench.errors import DefinitionError, UnknownTopic

from .conftest import Kind
from .support import Event, append, minute

FIELDS = {"n": pl.Int64, "who": pl.String, "amount": pl.Decimal(18, 2)}


@pytest.fixture(scope="module")
def stream(shared_log: wb.Log, kind: Kind) -> wb.Stream:
    made = shared_log.create("events", partitions=2, schema=FIELDS)
    for first in (0, 60):
        shared_log.append(
            "events",
            [{"n": n, "who": "ab"[n % 2], "amount": n / 4} for n in range(first, first + 40)],
            key=lambda row: f"k{row['n'] % 3}",
            timestamp=lambda row: minute(row["n"]),
        )
        append(shared_log, "events", [Event(0, at=first, value=b"{")])
        if first == 0:
            kind.settle(shared_log)
    return made


def test_a_slice_is_the_relation_slice(stream: wb.Stream) -> None:
    part = stream.between(minute(10), minute(60), late="all")
    got = part.sql(
        "SELECT who, count(*) AS c, sum(amount) AS total FROM slice GROUP BY ALL ORDER BY who"
    )
    expected = (
        part.frame()
        .group_by("who")
        .agg(pl.len().cast(pl.Int64).alias("c"), pl.col("amount").sum().alias("total"))
        .sort("who")
    )
    assert got.select("who", "c").equals(expected.select("who", "c"))
    assert got["total"].to_list() == expected["total"].to_list()


def test_every_column_is_there(stream: wb.Stream) -> None:
    part = stream.all()
    got = part.sql("SELECT * FROM slice ORDER BY topic, partition, record_offset")
    assert set(got.columns) == {*stream.schema, "record_offset"}
    assert got["record_offset"].to_list() == got["offset"].to_list()
    for name in ("partition", "offset", "timestamp", "key", *FIELDS, "decode_error"):
        assert got[name].to_list() == part.frame()[name].to_list(), name


def test_raw_columns_are_there_on_request(stream: wb.Stream) -> None:
    part = stream.between(minute(10), minute(70), late="all").key(["k1", "k2"])
    got = part.sql("FROM slice ORDER BY partition, record_offset", raw=True)
    expected = part.frame(raw=True)
    assert set(got.columns) == {
        *expected.columns,
        *("record_offset", "decode_error", "recorded_at"),
    }
    for name in ("offset", "key", "n", "value", "headers", "leader_epoch"):
        assert got[name].to_list() == expected[name].to_list(), name
    kinds = part.sql("SELECT DISTINCT timestamp_type::text AS t FROM slice", raw=True)
    assert kinds["t"].to_list() == ["create"]


def test_filters_hold_in_sql_too(stream: wb.Stream) -> None:
    part = stream.between(minute(5), minute(50), late="all").key(["k1", "nobody"])
    count = part.sql("SELECT count(*) AS c FROM slice")["c"].item()
    assert count == part.frame().height > 0


def test_relations_by_name(stream: wb.Stream, shared_log: wb.Log) -> None:
    people = pl.DataFrame({"who": ["a", "b"], "name": ["Ada", "Bob"]})
    got = shared_log.sql(
        "SELECT name, count(*) AS c FROM tx JOIN people USING (who) GROUP BY ALL ORDER BY name",
        tx=stream.all(),
        people=people,
    )
    assert got.rows() == [("Ada", 40), ("Bob", 40)]
    assert shared_log.sql("SELECT * FROM p", p=people.lazy()).equals(people)


def test_a_query_that_cannot_be_run(stream: wb.Stream, shared_log: wb.Log) -> None:
    with pytest.raises(DefinitionError, match="relations here: slice"):
        stream.all().sql("SELECT nothing FROM slice")
    with pytest.raises(DefinitionError):
        shared_log.sql("SELECT * FROM events")


def test_sql_cannot_write_to_the_log(stream: wb.Stream) -> None:
    before = stream.all().frame()
    with pytest.raises(DefinitionError):
        stream.all().sql("DELETE FROM slice")
    assert stream.all().frame().equals(before)


@pytest.fixture
def searched(any_log: wb.Log) -> wb.Log:
    any_log.create("orders", partitions=2, schema={"id": str})
    any_log.create("payments", schema={"order": str})
    any_log.create("other")
    append(
        any_log,
        "orders",
        [
            Event(0, key=b"4711", value=b'{"id": "1"}'),
            Event(1, key=b"x", value=b'{"id": "4711"}'),
            Event(1, key=b"x4711", value=b"{"),
            Event(0, key=b"x", value=None),
        ],
    )
    append(any_log, "payments", [Event(headers=[("id", None), ("id", b"no. 4711")])])
    append(any_log, "other", [Event(value=b'{"text": "4711"}'), Event(value=b"4711")])
    return any_log


def test_find_judges_every_record(searched: wb.Log) -> None:
    found = searched.find("4711", topics=["orders", "payments"])
    assert found.complete
    assert found.counts == {"match": 3, "no_match": 2, "error": 0}
    hits = found.frame().select("topic", "partition", "offset", "where").rows()
    assert sorted(hits) == [
        ("orders", 0, 0, "key"),
        ("orders", 1, 0, "value"),
        ("payments", 0, 0, "header"),
    ]
    assert searched.find("4711").counts["match"] == 5
    assert searched.find(b"4711", topics="ord*").counts["match"] == 2


def test_find_has_three_outcomes_by_a_field(searched: wb.Log) -> None:
    found = searched.find("4711", topics="orders", by={"orders": "id"})
    assert found.counts == {"match": 1, "no_match": 2, "error": 1}
    assert found.errors["offset"].to_list() == [1]
    assert found.frame()["where"].to_list() == ["id"]


def test_a_hit_has_an_address(searched: wb.Log) -> None:
    found = searched.find("4711", topics="orders")
    for row in range(found.frame().height):
        hit = found.frame().row(row, named=True)
        part = wb.open_slice(found.address(row), log=searched)
        assert part.frame().select("partition", "offset").rows() == [
            (hit["partition"], hit["offset"])
        ]


def test_find_within_bounds(searched: wb.Log) -> None:
    assert searched.find("4711", end="2026-11-01").counts == {"match": 0, "no_match": 0, "error": 0}
    part = searched.stream("orders").between({0: 0}, {0: 2})
    assert part.find("4711").counts == {"match": 1, "no_match": 1, "error": 0}


def test_find_what_cannot_be_found(searched: wb.Log) -> None:
    with pytest.raises(UnknownTopic):
        searched.find("4711", topics="order")
    with pytest.raises(DefinitionError, match="nothing"):
        searched.find("4711", topics="orders", by={"orders": "nothing"})


def test_a_pattern_that_matches_nothing_is_an_error(any_log: wb.Log) -> None:
    any_log.create("orders")
    with pytest.raises(UnknownTopic, match="it has: orders"):
        any_log.stream("order?x*")


def test_bytes_are_the_raw_value(any_log: wb.Log) -> None:
    made = any_log.create("blobs")
    any_log.append("blobs", [{"key": b"k", "value": b"\xff\x00"}], encode="bytes")
    plain = any_log.stream("blobs", decode="bytes").all()
    assert plain.frame()["value"].to_list() == [b"\xff\x00"]
    assert plain.frame(raw=True)["value"].to_list() == [b"\xff\x00"]
    assert plain.frame(raw=True)["key"].to_list() == ["k"]
    assert made.source.topics == ("blobs",)
