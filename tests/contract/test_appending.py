"""Appending: what was given is what is read, and lands where Kafka would put it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

import workbench as wb
from workbench.errors import AppendRejected, OutOfSequence

from .support import Event, append, minute, places


def test_a_duration_is_no_timestamp(any_log: wb.Log) -> None:
    any_log.create("orders")
    with pytest.raises(AppendRejected, match="'5m' is not a time"):
        any_log.append("orders", [{"at": "5m"}], timestamp="at")


def test_an_error_of_the_rows_says_what_is_written(any_log: wb.Log) -> None:
    any_log.create("orders")

    def rows() -> Iterator[dict[str, int]]:
        for number in range(30_000):
            yield {"n": number // (25_000 - number)}

    with pytest.raises(ZeroDivisionError) as raised:
        any_log.append("orders", rows())
    written = any_log.stream("orders").all().frame().height
    assert 0 < written < 25_000
    assert raised.value.__notes__ == [f"{written:,} rows before it are written to topic orders"]


def test_offsets_ascend_from_zero_per_partition(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=2)
    done = any_log.append("orders", [{"n": 0, "p": 0}, {"n": 1, "p": 1}], partition="p")
    assert (done.records, dict(done.start), dict(done.end)) == (
        2,
        {("orders", 0): 0, ("orders", 1): 0},
        {("orders", 0): 1, ("orders", 1): 1},
    )
    again = any_log.append("orders", [{"n": 2, "p": 1}], partition="p")
    assert dict(again.start) == {("orders", 1): 1}
    frame = any_log.stream("orders").all().frame()
    assert frame.select("partition", "offset", "n").rows() == [(0, 0, 0), (1, 0, 1), (1, 1, 2)]


@pytest.mark.parametrize(
    "rows",
    [list, pl.DataFrame, iter],
    ids=["list", "frame", "iterator"],
)
def test_rows_of_every_form(any_log: wb.Log, rows: Any) -> None:
    any_log.create("orders")
    made = rows([{"n": 1, "who": "a"}, {"n": 2, "who": "b"}])
    assert any_log.append("orders", made, key="who").records == 2
    frame = any_log.stream("orders").all().frame()
    assert frame.select("key", "n", "who").rows() == [("a", 1, "a"), ("b", 2, "b")]


def test_one_dict_is_one_row(any_log: wb.Log) -> None:
    any_log.create("orders")
    assert any_log.append("orders", {"n": 1}).records == 1


def test_topics_do_not_wait_for_each_other(any_log: wb.Log) -> None:
    for topic in ("orders", "payments"):
        any_log.create(topic)
    for n in range(3):
        any_log.append("orders", [{"n": n}])
        # Appending goes on while another append asks for its rows.
        any_log.append("payments", ({"n": any_log.append("orders", [row]).records} for row in [{}]))
    ends = [any_log.partitions(topic)["end"].item() for topic in ("orders", "payments")]
    assert ends == [6, 3]


def test_many_threads_append_at_once(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=2)

    def work(thread: int) -> None:
        for n in range(10):
            any_log.append("orders", [{"thread": thread, "n": n, "p": thread % 2}], partition="p")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    frame = any_log.stream("orders").all().frame()
    for (_,), mine in frame.group_by("thread"):
        assert mine["n"].to_list() == list(range(10))
    assert frame["thread"].n_unique() == 4


def test_nothing_is_nothing(any_log: wb.Log) -> None:
    any_log.create("orders")
    for nothing in ([], pl.DataFrame(schema={"n": pl.Int64})):
        done = any_log.append("orders", nothing)
        assert done.records == 0
        assert "nothing" in repr(done)
    assert any_log.stream("orders").all().frame().is_empty()


def test_an_iterable_is_appended_in_batches(any_log: wb.Log) -> None:
    any_log.create("orders")
    seen: list[int] = []

    def rows() -> Iterator[dict[str, int]]:
        for n in range(25):
            seen.append(any_log.partitions("orders")["end"][0])
            yield {"n": n}

    assert any_log.append("orders", rows(), batch_rows=10).records == 25
    # A batch is there, whole, before the next one is asked for.
    assert set(seen) == {0, 10, 20}
    assert any_log.stream("orders").all().frame()["n"].to_list() == list(range(25))


keys = st.one_of(st.binary(max_size=40), st.text(max_size=12).map(str.encode))


@given(st.lists(keys, min_size=1, max_size=30), st.integers(1, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_key_lands_where_kafka_would_put_it(
    shared_log: wb.Log, wanted: list[bytes], partitions: int
) -> None:
    topic = f"keyed-{partitions}"
    if topic not in shared_log.topics()["topic"]:
        shared_log.create(topic, partitions=partitions)
    rows = pl.DataFrame({"key": wanted, "value": wanted})
    done = shared_log.append(topic, rows, encode="bytes")
    got = (
        shared_log.stream(topic, decode="bytes", decode_key="bytes")
        .between(done.start, done.end)
        .frame()
    )
    expected = sorted(((murmur2(key) & 0x7FFFFFFF) % partitions, key) for key in wanted)
    assert sorted(got.select("partition", "key").rows()) == expected


def test_records_without_a_key_are_spread(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=3)
    any_log.append("orders", [{"n": n} for n in range(60)], batch_rows=10)
    frame = any_log.stream("orders").all().frame()
    assert frame["partition"].n_unique() > 1
    assert frame["key"].null_count() == 60
    # Within a partition they are in the order in which they were given.
    for (_,), part in frame.group_by("partition"):
        assert part["n"].is_sorted()


def test_keys_of_every_form(any_log: wb.Log) -> None:
    any_log.create("orders")
    any_log.append("orders", [{"n": 7}, {"n": -1}], key="n")
    any_log.append("orders", [{"n": 8}], key=lambda row: f"order-{row['n']}")
    any_log.append("orders", [{"n": 9}], key=lambda row: b"\xff\x00")
    frame = any_log.stream("orders", decode_key="bytes").all().frame()
    assert frame["key"].to_list() == [b"7", b"-1", b"order-8", b"\xff\x00"]


def test_timestamps_of_every_form(any_log: wb.Log) -> None:
    any_log.create("orders")
    berlin = timezone(timedelta(hours=1))
    forms: list[Any] = [
        minute(3),
        minute(3).astimezone(berlin),
        minute(3).replace(tzinfo=None),
        "2026-11-02T00:03:00Z",
        "2026-11-02T01:03:00+01:00",
        int(minute(3).timestamp() * 1000),
    ]
    for form in forms:
        any_log.append("orders", [{"n": 1}], timestamp=lambda row, form=form: form)
    frame = any_log.stream("orders").all().frame(raw=True)
    assert frame["timestamp"].to_list() == [minute(3)] * len(forms)
    assert set(frame["timestamp_type"]) == {"create"}


def test_the_log_stamps_what_has_no_time(any_log: wb.Log) -> None:
    any_log.create("orders")
    far = datetime(2099, 1, 1, tzinfo=UTC)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    any_log.append("orders", [{"n": 0, "at": far}], timestamp="at")
    any_log.append("orders", [{"n": 1}])
    any_log.append("orders", [{"n": 2}])
    after = datetime.now(UTC)
    stamps = any_log.stream("orders").all().frame()["timestamp"]
    # A record from the future does not drag along what is stamped after it.
    assert stamps[0] == far
    assert before <= stamps[1] <= stamps[2] <= after


def test_headers_keep_order_repeats_and_nulls(any_log: wb.Log) -> None:
    any_log.create("orders")
    given_headers = [("trace", b"1"), ("trace", None), ("", b""), ("trace", b"\xff\x00")]
    any_log.append("orders", [{"n": 0}], headers=given_headers)
    any_log.append("orders", [{"n": 1}], headers=lambda row: [("n", str(row["n"]).encode())])
    any_log.append("orders", [{"n": 2}])
    headers = any_log.stream("orders").all().frame(raw=True)["headers"].to_list()
    assert [(h["name"], h["value"]) for h in headers[0]] == given_headers
    assert [(h["name"], h["value"]) for h in headers[1]] == [("n", b"1")]
    assert headers[2] in ([], None)


blobs = st.one_of(st.none(), st.binary(max_size=60))
header_lists = st.lists(st.tuples(st.text(max_size=8), blobs), max_size=4)
events = st.builds(
    Event,
    partition=st.integers(0, 2),
    at=st.integers(-10_000, 10_000),
    key=blobs,
    value=blobs,
    headers=header_lists,
)


@given(st.lists(st.lists(events, max_size=6), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_come_back_as_they_went(shared_log: wb.Log, batches: list[list[Event]]) -> None:
    """Null and empty keys and values are four different things; nothing is decoded on the way."""
    if "raw" not in shared_log.topics()["topic"]:
        shared_log.create("raw", partitions=3)
    stream = shared_log.stream("raw", decode="bytes", decode_key="bytes")
    start = stream.position("now")
    for batch in batches:
        append(shared_log, "raw", batch)
    frame = stream.between(start, "now").frame(raw=True)
    sent = [event for batch in batches for event in batch]
    expected = [e for number in range(3) for e in sent if e.partition == number]
    got = [
        Event(
            row["partition"],
            round((row["timestamp"] - minute(0)).total_seconds() / 60),
            row["key"],
            row["value"],
            [(h["name"], h["value"]) for h in row["headers"] or []],
        )
        for row in frame.iter_rows(named=True)
    ]
    assert got == expected


def test_a_row_that_is_none_is_a_tombstone(any_log: wb.Log) -> None:
    any_log.create("accounts")
    any_log.append("accounts", [{"id": "a", "n": 1}], key="id")
    any_log.append("accounts", [None], key=lambda row: "a")
    frame = any_log.stream("accounts").all().frame(raw=True)
    assert frame["key"].to_list() == ["a", "a"]
    assert frame["value"].is_null().to_list() == [False, True]
    assert "decode_error" not in frame.columns or frame["decode_error"].null_count() == 2


def test_exact_numbers_survive(any_log: wb.Log) -> None:
    fields = {"i": pl.Int64, "u": pl.UInt64, "d": pl.Decimal(38, 9), "f": pl.Float64}
    any_log.create("numbers", schema=fields)
    rows = [
        {"i": 2**63 - 1, "u": 2**64 - 1, "d": Decimal("12345678901234567890123456789.123456789")},
        {"i": -(2**63), "u": 0, "d": Decimal("-0.000000001")},
        {"i": 2**53 + 1, "u": 2**53 + 1, "d": Decimal("0.1")},
    ]
    any_log.append("numbers", [{**row, "f": 0.1} for row in rows])
    frame = any_log.stream("numbers").all().frame()
    assert "decode_error" not in frame.columns
    assert frame.select("i", "u", "d").to_dicts() == rows
    assert frame["f"].to_list() == [0.1] * 3


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ([{"n": float("nan")}], {}),
        ([{"n": b"bytes"}], {}),
        ([{"n": object()}], {}),
        ([{"n": 1}], {"key": "nothing"}),
        ([{"n": 1.5}], {"key": "n"}),
        ([{"n": 1}], {"timestamp": lambda row: "soon"}),
        ([{"n": 3}], {"partition": "n"}),
        (["text"], {}),
        ([{"n": 1}], {"encode": "bytes"}),
    ],
    ids=["nan", "bytes", "object", "no-key", "float-key", "time", "partition", "row", "no-value"],
)
def test_what_cannot_be_a_record_is_rejected(
    any_log: wb.Log, rows: Any, options: dict[str, Any]
) -> None:
    any_log.create("orders")
    with pytest.raises(AppendRejected):
        any_log.append("orders", rows, **options)
    assert any_log.partitions("orders")["end"].to_list() == [0]
    # The log goes on taking what it can.
    assert any_log.append("orders", [{"n": 1}]).records == 1


def test_a_rejected_batch_says_what_is_durable(any_log: wb.Log) -> None:
    any_log.create("orders")
    rows = [{"n": 1}] * 20 + [{"n": float("inf")}]
    with pytest.raises(AppendRejected, match=r"^row 20, field .n.: inf.*; 20 rows before it are w"):
        any_log.append("orders", rows, batch_rows=10)
    assert any_log.partitions("orders")["end"].to_list() == [20]


def test_the_newest_batch_can_be_sent_again(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=2)
    rows = [{"n": 0, "p": 0}, {"n": 1, "p": 1}]
    first = wb.Producer("till-3", epoch=0, sequence=0)
    second = wb.Producer("till-3", epoch=0, sequence=1)
    done = any_log.append("orders", rows, partition="p", producer=first)
    assert any_log.append("orders", rows, partition="p", producer=first) == done
    newer = any_log.append("orders", rows, partition="p", producer=second)
    assert dict(newer.start) == dict(done.end)
    assert any_log.append("orders", rows, partition="p", producer=second) == newer
    assert places(any_log.stream("orders").all().frame()) == [
        ("orders", 0, 0),
        ("orders", 0, 1),
        ("orders", 1, 0),
        ("orders", 1, 1),
    ]


def test_an_older_batch_is_not_taken_for_a_new_one(any_log: wb.Log) -> None:
    any_log.create("orders")
    for sequence in (0, 1):
        any_log.append("orders", [{"n": sequence}], producer=wb.Producer("p", 0, sequence))
    for wrong in (0, 3):
        with pytest.raises(OutOfSequence):
            any_log.append("orders", [{"n": 9}], producer=wb.Producer("p", 0, wrong))
    assert any_log.partitions("orders")["end"].to_list() == [2]


@pytest.mark.parametrize(
    ("rows", "how", "words"),
    [
        ([{"a": 1}, {"b": 2}], {"key": "a"}, "row 1 has no field 'a': it has b"),
        ([{"a": 1}, None], {"timestamp": "a"}, "row 1 has no field 'a': it is a tombstone"),
        ([{"a": 1}], {"headers": [("h", 5)]}, r"a header is \(name, bytes or None\)"),
        ([{"a": 1}], {"encode": "yaml"}, "no encoding 'yaml'"),
        (5, {}, "not a int"),
        (pl.LazyFrame({"a": [1]}), {}, "not a LazyFrame"),
    ],
)
def test_rows_that_are_no_records_are_refused(
    log: wb.Log, rows: Any, how: dict[str, Any], words: str
) -> None:
    log.create("refused")
    with pytest.raises(AppendRejected, match=words):
        log.append("refused", rows, **how)
    assert sum(log.partitions("refused")["end"]) == 0


def test_a_key_and_headers_that_come_late(any_log: wb.Log) -> None:
    any_log.create("late")
    bare = [{"value": b"{}"}] * 300
    more = {"value": b"{}", "key": b"k", "headers": [("a", b"1"), ("a", None)]}
    any_log.append("late", [*bare, more], encode="bytes")
    frame = any_log.stream("late").all().frame(raw=True)
    last = frame.filter(pl.col("key").is_not_null()).row(0, named=True)
    assert last["key"] == "k"
    assert last["headers"] == [{"name": "a", "value": b"1"}, {"name": "a", "value": None}]
    assert frame.height == 301
