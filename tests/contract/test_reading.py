"""Slices: what they hold, in which order, in which columns, and how they are bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import and_, or_
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import InvalidRange, OffsetOutOfRange, ReadLimitExceeded, SchemaError

from .conftest import Kind
from .support import START, Event, append, columns, minute, places

FIELDS = {"n": pl.Int64, "who": pl.String, "amount": pl.Decimal(18, 2)}
PARTITIONS = 3

#: A filled topic: late records, a tombstone, a null key, a poison record, in every partition.
EVENTS = [
    Event(
        partition=n % PARTITIONS,
        # Mostly ascending; every eleventh is late by far.
        at=n // 3 - (200 if n % 11 == 0 else 0),
        key=None if n % 17 == 0 else f"A-{n % 7}".encode(),
        value=None
        if n % 19 == 0
        else b'{"n": '
        if n % 23 == 0
        else json.dumps({"n": n, "who": "abc"[n % 3], "amount": n / 4}).encode(),
    )
    for n in range(1_200)
]


@pytest.fixture(scope="module")
def stream(shared_log: wb.Log, kind: Kind) -> wb.Stream:
    made = shared_log.create("events", partitions=PARTITIONS, schema=FIELDS)
    for first in range(0, len(EVENTS), 250):
        append(shared_log, "events", EVENTS[first : first + 250])
        if first == 500:
            kind.settle(shared_log)
    return made


@pytest.fixture(scope="module")
def part(stream: wb.Stream) -> wb.Slice:
    return stream.between(minute(-150), minute(350), late="all")


@pytest.fixture(scope="module")
def frame(part: wb.Slice) -> pl.DataFrame:
    return part.frame()


def expected(keep: Any = lambda event: True) -> list[tuple[str, int, int]]:
    """Topic, partition and offset of the events that a slice is to hold, in order."""
    found = []
    for partition in range(PARTITIONS):
        inside = [event for event in EVENTS if event.partition == partition]
        found += [("events", partition, at) for at, event in enumerate(inside) if keep(event)]
    return found


def test_a_frame_has_coordinates_first(stream: wb.Stream) -> None:
    frame = stream.all().frame()
    assert dict(frame.schema) == {
        "topic": pl.Categorical,
        "partition": pl.Int32,
        "offset": pl.Int64,
        "timestamp": pl.Datetime("ms", "UTC"),
        "key": pl.String,
        **FIELDS,
        "decode_error": pl.String,
    }
    assert list(frame.schema) == [*list(frame.schema)[:5], *FIELDS, "decode_error"]
    assert places(frame) == expected()


def test_the_schema_is_known_before_reading(stream: wb.Stream) -> None:
    assert dict(stream.schema) == dict(stream.all().lazy().collect_schema())
    assert dict(stream.schema) == dict(stream.all().frame().schema)


def test_decode_error_is_there_when_there_is_one(stream: wb.Stream) -> None:
    clean = stream.between({0: 0, 1: 0, 2: 1}, {0: 0, 1: 3, 2: 3}).frame()
    assert clean.height == 5
    assert "decode_error" not in clean.columns


def test_raw_adds_the_record_as_it_was(stream: wb.Stream) -> None:
    frame = stream.all().frame(raw=True)
    raw = {"value", "headers", "timestamp_type", "leader_epoch"}
    assert set(frame.columns) == {*stream.schema, *raw}
    by_place = {
        (p, o): v for _, p, o, v in frame.select("topic", "partition", "offset", "value").rows()
    }
    counts = [0] * PARTITIONS
    for event in EVENTS:
        assert by_place[event.partition, counts[event.partition]] == event.value
        counts[event.partition] += 1


def test_a_slice_says_what_it_is_without_reading(stream: wb.Stream) -> None:
    whole = stream.all()
    assert repr(whole).startswith("Slice events 0:[0, 400) 1:[0, 400) 2:[0, 400)")
    assert "<= 1200 offsets, not read" in repr(whole)
    later = stream.between("2099-01-01", "2099-02-01")
    assert "no offsets, so nothing to read" in repr(later)
    assert later.frame().is_empty()
    day = stream.between("2026-11-02", "2026-11-03")
    assert "02 Nov 00:00 .. 03 Nov 00:00 UTC" in repr(day)
    assert "key A-1" in repr(whole.key("A-1"))


def test_a_slice_read_twice_is_the_same(stream: wb.Stream) -> None:
    part = stream.between(minute(10), minute(200), late="all").key(["A-1", "A-2"])
    assert part.frame().equals(part.frame())


def test_tail(stream: wb.Stream) -> None:
    newest = stream.tail(20)
    assert newest.height == 20
    assert places(newest) == sorted(places(newest))
    # The newest by time among the last ones of each partition.
    last = stream.between(dict.fromkeys(range(3), 380), "now").frame()
    kept = last.sort("timestamp", "partition", "offset").tail(20)
    assert sorted(places(newest)) == sorted(places(kept))
    assert stream.tail(10_000).height == len(EVENTS)
    assert stream.tail(1).height == 1
    assert stream.tail(3, raw=True)["value"].dtype == pl.Binary


def test_sample(stream: wb.Stream) -> None:
    part = stream.sample(100)
    assert 50 <= part.height <= 150
    assert part["partition"].n_unique() == PARTITIONS
    assert part["offset"].max() - part["offset"].min() > 200  # type: ignore[operator]
    assert part.equals(stream.sample(100))
    assert stream.sample().height == len(EVENTS)


times = st.integers(-250, 450)


@given(times, times)
def test_a_time_range_holds_exactly_its_records(stream: wb.Stream, a: int, b: int) -> None:
    first, last = min(a, b), max(a, b) + 1
    part = stream.between(minute(first), minute(last), late="all")
    assert places(part.frame()) == expected(lambda event: first <= event.at < last)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=3))
def test_offsets_cut_and_filter_nothing(stream: wb.Stream, bounds: list[tuple[int, int]]) -> None:
    start = {p: min(pair) for p, pair in enumerate(bounds)}
    end = {p: max(pair) for p, pair in enumerate(bounds)}
    got = places(stream.between(start, end).frame())
    assert got == [("events", p, offset) for p in start for offset in range(start[p], end[p])]
    positions = [wb.Position({("events", p): o for p, o in one.items()}) for one in (start, end)]
    assert places(stream.between(*positions).frame()) == got


def test_a_half_of_time_and_a_half_of_offsets(stream: wb.Stream) -> None:
    got = places(stream.between(minute(100), {0: 200, 1: 200, 2: 200}).frame())
    inside = set(stream.between("earliest", dict.fromkeys(range(3), 200)).frame().pipe(places))
    assert got == [place for place in expected(lambda e: e.at >= 100) if place in inside]


def test_times_of_every_form_mean_the_same(stream: wb.Stream) -> None:
    forms: list[tuple[Any, Any]] = [
        ("2026-11-02", "2026-11-03"),
        ("2026-11-02T00:00", "2026-11-03T00:00:00Z"),
        ("2026-11-02T01:00+01:00", "2026-11-02T23:00-01:00"),
        (START, START + timedelta(days=1)),
        (START.replace(tzinfo=None), (START + timedelta(days=1)).replace(tzinfo=None)),
        (date(2026, 11, 2), date(2026, 11, 3)),
    ]
    addresses = {stream.between(*form, late="all").address for form in forms}
    assert len(addresses) == 1


def test_words_for_the_ends(stream: wb.Stream) -> None:
    assert stream.between("earliest", "now").address == stream.all().address
    assert stream.between("earliest").address == stream.all().address


def test_a_time_after_everything_is_an_empty_slice_at_the_end(stream: wb.Stream) -> None:
    later = stream.between("2027-01-01", "2027-01-02")
    assert later.frame().is_empty()
    assert dict(later.frame().schema) == {
        name: dtype for name, dtype in stream.schema.items() if name != "decode_error"
    }
    assert stream.position("2027-01-01") == stream.position("now")
    assert stream.position("1970-01-02") == stream.position("earliest")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-03", "2026-11-02"),
        ("2026-11-03", "2026-11-03"),
        ("now", "earliest"),
        ({0: 5}, {0: 4}),
        ("yesterday", "now"),
        ("2026-13-01", "now"),
        ("-1 hour", "now"),
        ({7: 0}, "now"),
        (3.5, "now"),
        (None, "now"),
    ],
    ids=str,
)
def test_a_range_that_cannot_be(stream: wb.Stream, start: Any, end: Any) -> None:
    with pytest.raises(InvalidRange):
        stream.between(start, end)


def test_offsets_beyond_the_end(stream: wb.Stream) -> None:
    with pytest.raises(OffsetOutOfRange, match="401"):
        stream.between({0: 0}, {0: 401}).frame()


def test_durations_count_back_from_now_on_a_live_log(any_log: wb.Log) -> None:
    any_log.create("events")
    now = datetime.now(UTC)
    for hours in (30, 20, 0.5, 0.1):
        at = now - timedelta(hours=hours)
        any_log.append("events", [{"hours": hours}], timestamp=lambda row, at=at: at)
    events = any_log.stream("events")
    assert events.between("-24h", "now").frame()["hours"].to_list() == [20, 0.5, 0.1]
    assert events.between("-1d", "-15m").frame()["hours"].to_list() == [20, 0.5]


def test_a_slice_is_pinned(any_log: wb.Log) -> None:
    any_log.create("events")
    any_log.append("events", [{"n": 1}])
    events = any_log.stream("events")
    pinned = [events.all(), events.between("-1h", "now")]
    any_log.append("events", [{"n": 2}])
    assert [part.frame()["n"].to_list() for part in pinned] == [[1], [1]]
    assert events.all().frame()["n"].to_list() == [1, 2]


@pytest.mark.parametrize("key", ["A-1", b"A-1", ["A-1", "A-2"], "nobody", []], ids=str)
def test_a_key_filter(stream: wb.Stream, key: Any) -> None:
    wanted = {
        k.encode() if isinstance(k, str) else k
        for k in ([key] if key and not isinstance(key, list) else key)
    }
    assert places(stream.all().key(key).frame()) == expected(lambda e: e.key in wanted)


def test_a_key_filter_takes_bytes_apart_from_text(any_log: wb.Log) -> None:
    any_log.create("events")
    append(any_log, "events", [Event(key=k) for k in (b"\xff", b"\xfe", b"", None, b"a")])
    events = any_log.stream("events")
    for key, offset in ((b"\xff", 0), (b"\xfe", 1), (b"", 2), ("", 2), ("a", 4)):
        assert places(events.all().key(key).frame()) == [("events", 0, offset)]


def test_decode_key_does_not_depend_on_the_data(any_log: wb.Log) -> None:
    any_log.create("events")
    append(
        any_log, "events", [Event(key=b"a"), Event(key=b"\xff"), Event(key=None), Event(key=b"")]
    )
    as_text = any_log.stream("events").all().frame()
    assert as_text["key"].dtype == pl.String
    assert as_text["key"].to_list() == ["a", "\ufffd", None, ""]
    assert as_text["decode_error"].is_not_null().to_list() == [False, True, False, False]
    as_bytes = any_log.stream("events", decode_key="bytes").all().frame()
    assert as_bytes["key"].dtype == pl.Binary
    assert as_bytes["key"].to_list() == [b"a", b"\xff", None, b""]
    assert "decode_error" not in as_bytes.columns
    clean = any_log.stream("events").between({0: 2}, "now").frame()
    assert clean["key"].dtype == pl.String


def test_batches_are_bounded_and_in_order(stream: wb.Stream) -> None:
    part = stream.between(minute(-100), minute(300), late="all")
    batches = list(part.batches(rows=77))
    assert all(0 < batch.height <= 77 for batch in batches)
    assert [place for batch in batches for place in places(batch)] == places(part.frame())
    assert all(dict(batch.schema) == dict(stream.schema) for batch in batches)
    assert isinstance(part.batches(), Iterator)


def test_max_read_refuses_and_says_what_else_there_is(
    stream: wb.Stream, shared_log: wb.Log
) -> None:
    small = wb.connect(shared_log.backend.hint, write=False, max_read=100)
    with small:
        part = small.stream("events").all()
        with pytest.raises(ReadLimitExceeded, match=r"1,?200.*max_read is 100.*batches"):
            part.frame()
        assert sum(batch.height for batch in part.batches()) == len(EVENTS)
        assert part.lazy().select(pl.len()).collect().item() == len(EVENTS)
        assert part.sql("SELECT count(*) AS n FROM slice")["n"].item() == len(EVENTS)
        # What is small enough after the filter is read.
        assert small.stream("events").between({0: 0}, {0: 50}).frame().height == 50


comparisons = st.sampled_from(["lt", "le", "eq", "ne", "gt", "ge"])
leaves = st.one_of(
    st.builds(lambda op, n: getattr(pl.col("partition"), op)(n), comparisons, st.integers(-1, 3)),
    st.builds(lambda op, n: getattr(pl.col("offset"), op)(n), comparisons, st.integers(-1, 401)),
    st.builds(lambda op, n: getattr(pl.col("timestamp"), op)(minute(n)), comparisons, times),
    st.builds(lambda op, n: getattr(pl.col("key"), op)(f"A-{n}"), comparisons, st.integers(0, 8)),
    st.builds(lambda op, n: getattr(pl.col("n"), op)(n), comparisons, st.integers(0, 1200)),
    st.builds(lambda w: pl.col("who").is_in(w), st.lists(st.sampled_from("abcd"), max_size=2)),
    st.sampled_from(["key", "n", "decode_error"]).map(lambda name: pl.col(name).is_null()),
    st.just(pl.col("topic") == "events"),
)


def _combined(inner: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        inner.map(lambda e: ~e),
        several.map(lambda es: reduce(and_, es)),
        several.map(lambda es: reduce(or_, es)),
    )


predicates = st.recursive(leaves, _combined, max_leaves=5)
projections = st.lists(
    st.sampled_from([*("topic", "partition", "offset", "timestamp", "key"), *FIELDS]),
    min_size=1,
    unique=True,
)


@given(predicates, projections)
def test_lazy_is_the_frame(
    part: wb.Slice, frame: pl.DataFrame, predicate: pl.Expr, wanted: list[str]
) -> None:
    lazily = part.lazy().filter(predicate).select(wanted).collect()
    assert lazily.equals(frame.filter(predicate).select(wanted))


@given(st.integers(0, 300), st.integers(1, 50))
def test_lazy_slices_and_counts(
    part: wb.Slice, frame: pl.DataFrame, first: int, length: int
) -> None:
    assert part.lazy().slice(first, length).collect().equals(frame.slice(first, length))
    count = part.lazy().filter(pl.col("offset") >= first).select(pl.len()).collect().item()
    assert count == frame.filter(pl.col("offset") >= first).height


def test_several_topics_in_one_frame(any_log: wb.Log) -> None:
    any_log.create("orders", partitions=2, schema={"id": str, "n": int})
    any_log.create("payments", schema={"id": str, "paid": float})
    any_log.append("payments", [{"id": "p1", "paid": 1.5}])
    any_log.append("orders", [{"id": "o1", "n": 1}, {"id": "o2", "n": 2}], key="id")
    both = any_log.stream(["payments", "orders"])
    frame = columns(both.all().frame())
    assert frame["topic"].to_list() == ["orders", "orders", "payments"]
    assert places(frame) == sorted(places(frame))
    assert set(frame.columns) >= {"id", "n", "paid"}
    assert frame.filter(topic="payments").select("id", "n", "paid").rows() == [("p1", None, 1.5)]
    assert any_log.stream("*").all().frame().equals(both.all().frame())
    assert both.all().lazy().collect().drop("decode_error").equals(both.all().frame())


def test_topics_that_disagree_on_a_field(any_log: wb.Log) -> None:
    any_log.create("orders", schema={"id": str})
    any_log.create("payments", schema={"id": int})
    any_log.append("orders", [{"id": "o1"}])
    any_log.append("payments", [{"id": 1}])
    with pytest.raises(SchemaError, match="id"):
        any_log.stream("*").all().frame()


def test_an_empty_topic(any_log: wb.Log) -> None:
    any_log.create("events", schema={"n": int})
    events = any_log.stream("events")
    assert events.tail().is_empty()
    assert events.sample().is_empty()
    for part in (events.all(), events.between("-1h", "now"), events.all().key("a")):
        assert part.frame().is_empty()
        assert part.frame()["n"].dtype == pl.Int64
        assert part.lazy().collect().is_empty()
        assert list(part.batches()) == []
        assert part.sql("SELECT count(*) AS n FROM slice")["n"].item() == 0
