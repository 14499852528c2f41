"""Legal but unusual input: answered rightly, or refused in a sentence."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench.cli.places import when
from workbench.errors import (
    AppendRejected,
    DefinitionError,
    InvalidRange,
    OffsetOutOfRange,
    SchemaError,
    UnknownFields,
)
from workbench.find.judges import _literal
from workbench.log.embedded import EmbeddedLog

FIELDS: list[tuple[Any, Any, list[str], list[str]]] = [
    (pl.Decimal(18, 2), Decimal("10.00"), ["10", "10.0", "10.00", "1e1"], ["10.001", "1e999", "x"]),
    (pl.Int64(), 10, ["10", "10.0"], ["10.5", "1e99", "NaN", "ten"]),
    (pl.UInt64(), 2**64 - 1, [str(2**64 - 1)], [str(2**64), "-1"]),
    (pl.Float64(), 0.1, ["0.1", "0.10", "1e-1"], ["0.2", "inf", ""]),
    (pl.String(), "10", ["10"], ["10.0"]),
    (pl.Boolean(), True, ["true", "True"], ["false", "1"]),
    (pl.Date(), date(2026, 11, 3), ["2026-11-03"], ["2026-11-03T12:00", "2026"]),
    (
        pl.Datetime("ms", "UTC"),
        datetime(2026, 11, 3, 12, tzinfo=UTC),
        ["2026-11-03T12:00Z", "2026-11-03T13:00:00+01:00", "2026-11-03 12:00:00 UTC"],
        ["2026-11-03", "noon"],
    ),
]


@pytest.mark.parametrize(("dtype", "value", "same", "other"), FIELDS)
def test_find_compares_values_and_not_their_text(
    log: wb.Log, dtype: Any, value: Any, same: list[str], other: list[str]
) -> None:
    log.create("t", schema={"f": dtype})
    log.append("t", [{"f": value}, {"f": None}])
    for text in same:
        assert log.find(text, by={"t": "f"}).counts["match"] == 1, text
    for text in other:
        assert log.find(text, by={"t": "f"}).counts == {"match": 0, "no_match": 2, "error": 0}


def test_find_by_a_field_whose_raw_name_is_taken(log: wb.Log) -> None:
    log.create("t", schema={"value": str, "value_value": str})
    log.append("t", [{"value": "a", "value_value": "b"}])
    assert log.find("a", by={"t": "value"}).counts["match"] == 1
    assert log.find("b", by={"t": "value"}).counts["match"] == 0


#: Of the first Polars would make -1, of the second half past twelve anywhere.
FOREIGN = [
    "340282366920938463463374607431768211455::UHUGEINT",
    "'12:30:00+02'::TIMETZ",
    "'101'::BIT",
    "1::BIGNUM",
    "union_value(a := 1)",
    "INTERVAL 1 DAY",
    "{'a': [1::UHUGEINT]}",
    "MAP {'a': [1::UHUGEINT]}",
]


def test_sql_gives_no_other_value_than_it_says(log: wb.Log) -> None:
    part = log.create("t", schema={"n": int}).all()
    for value in FOREIGN:
        with pytest.raises(DefinitionError, match=r"column 'v' .* which frames do not have"):
            part.sql(f"SELECT {value} AS v FROM (SELECT 1)")
        text = part.sql(f"SELECT ({value})::VARCHAR AS v FROM (SELECT 1)")
        assert text["v"].dtype == pl.String


def test_raw_columns_in_sql_are_of_more_records_than_frames_may_hold(tmp_path: Any) -> None:
    with wb.connect(tmp_path / "log", create=True, max_read=2) as log:
        log.create("t", schema={"value": int})
        log.append("t", [{"value": n} for n in range(3)])
        query = "SELECT value_value AS v, decode(value) AS text, decode_error FROM slice"
        assert log.stream("t").all().sql(query, raw=True).rows() == [
            (0, '{"value":0}', None),
            (1, '{"value":1}', None),
            (2, '{"value":2}', None),
        ]


def test_one_column_never_holds_two_fields(log: wb.Log) -> None:
    log.create("a", schema={"value": str, "value_value": str})
    log.create("b", schema={"value": str})
    log.append("a", {"value": "1", "value_value": "2"})
    log.append("b", {"value": "3"})
    both = log.stream(["a", "b"]).all()
    assert both.frame()["value"].to_list() == ["1", "3"]
    with pytest.raises(SchemaError, match="'value_value' in one topic and 'value' in 'b'"):
        both.frame(raw=True)
    log.create("c", schema={"key": int, "value_key": int})
    log.create("d", schema={"key": int})
    with pytest.raises(SchemaError, match="'value_key' is the field 'value_key' in one topic"):
        log.stream(["c", "d"]).all().frame()


@pytest.mark.parametrize(
    ("start", "end", "word"),
    [
        ("2099-01-01", "now", "after now"),
        ("2099-01-01", "latest", "after now"),
        ("2026-01-01", "earliest", "before its start"),
        ("now", "-1h", "not after now"),
        ("-1h", "-2h", "reversed"),
        ("2099-01-01", "-1h", "reversed"),
    ],
)
def test_a_range_that_cannot_hold_anything(log: wb.Log, start: str, end: str, word: str) -> None:
    stream = log.create("t", schema={"n": int})
    log.append("t", {"n": 1})
    with pytest.raises(InvalidRange, match=word):
        stream.between(start, end)


def test_ranges_that_happen_to_hold_nothing(log: wb.Log) -> None:
    stream = log.create("t", schema={"n": int})
    assert stream.between("-1h", "now").frame().height == 0
    assert stream.between("now", "now").frame().height == 0
    assert stream.between("earliest", "2020-01-01").frame().height == 0


def test_a_recordings_now_is_its_last_record(log: wb.Log, tmp_path: Any) -> None:
    log.create("t", schema={"n": int})
    log.append("t", {"n": 1}, timestamp=lambda _: datetime(2026, 11, 3, tzinfo=UTC))
    log.record(tmp_path / "copy")
    with wb.connect(tmp_path / "copy") as copy:
        assert copy.stream("t").between("2026-11-03", "now").frame().height == 1
        with pytest.raises(InvalidRange, match="after the last record"):
            copy.stream("t").between("2026-11-04", "now")


def test_following_until_an_offset_reads_only_the_partitions_that_it_names(log: wb.Log) -> None:
    stream = log.create("t", partitions=2, schema={"n": int, "p": int})
    log.append("t", [{"n": n, "p": n % 2} for n in range(10)], partition="p")
    read = pl.concat(list(stream.follow(until={0: 3}, timeout=5)))
    assert read.select("partition", "offset").rows() == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize("look", ["tail", "sample", "frame"])
def test_a_warning_points_at_the_line_of_the_reader(log: wb.Log, look: str) -> None:
    stream = log.create("t", schema={"n": int})
    log.append("t", [{"n": 1, "more": 2}])
    looks: dict[str, Any] = {
        "tail": lambda: stream.tail(1),
        "sample": lambda: stream.sample(1),
        "frame": lambda: stream.all().frame(),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        looks[look]()
    assert [(w.category, w.filename) for w in caught] == [(UnknownFields, __file__)]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("SELECT INTERVAL 1 DAY AS gap", "'gap' of the query's result is INTERVAL"),
        ("SELECT [{'a': INTERVAL 1 DAY}] AS gap", "'gap' of the query's result"),
        ("SELECT 1 AS a, 2 AS a", "2 columns 'a'"),
        ("", "empty"),
    ],
)
def test_a_query_whose_result_is_no_frame(
    log: wb.Log, capfd: pytest.CaptureFixture[str], sql: str, word: str
) -> None:
    everything = log.create("t", schema={"n": int}).all()
    with pytest.raises(DefinitionError, match=word):
        everything.sql(sql)
    assert "panic" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"a": pl.Decimal(50, 2)}, "no Decimal"),
        ({"a": pl.Decimal(5, 9)}, "no Decimal"),
        ({"a": pl.List(pl.Struct({"b": pl.Datetime("ms", "Mars/City")}))}, "time zone 'Mars/City'"),
        ({"a": pl.Struct([pl.Field("b", pl.Int64), pl.Field("b", pl.String)])}, "of one name"),
        (["a"], "maps names to types"),
    ],
)
def test_a_schema_that_no_frame_could_have(log: wb.Log, schema: Any, word: str) -> None:
    with pytest.raises(SchemaError, match=word):
        log.create("t", schema=schema)


@pytest.mark.parametrize(
    "when",
    [
        "-99999999999999h",
        "-99999999999999d",
        "-10000y",
        "+9000y",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        {0: True},
    ],
)
def test_a_bound_that_is_no_time_or_offset(log: wb.Log, when: Any) -> None:
    stream = log.create("t", schema={"n": int})
    with pytest.raises(InvalidRange):
        stream.between(when, "now")


def test_counts_that_cannot_be(log: wb.Log) -> None:
    stream = log.create("t", schema={"n": int})
    looks: list[Any] = [stream.tail, stream.sample]
    for look in looks:
        for n in (-1, "5", 2.5):
            with pytest.raises(InvalidRange, match="whole number"):
                look(n)
    for rows in (0, -5):
        with pytest.raises(InvalidRange, match="at least one"):
            next(stream.all().batches(rows=rows))


def test_what_cannot_be_searched_or_decoded(log: wb.Log) -> None:
    log.create("t", schema={"n": int})
    unknown: Any = "utf-8"
    with pytest.raises(SchemaError, match="text or bytes, not as 'utf-8'"):
        log.stream("t", decode_key=unknown)
    with pytest.raises(DefinitionError, match="nothing to find"):
        log.find("")
    five: Any = 5
    with pytest.raises(DefinitionError, match="'x' is of type int"):
        log.sql("SELECT 1", x=five)


def test_a_frame_of_times_finer_than_microseconds(log: wb.Log) -> None:
    log.create("t", schema={"at": pl.Datetime("us", "UTC")})
    fine = pl.DataFrame({"at": pl.Series([1_000, 1_001], dtype=pl.Datetime("ns"))})
    with pytest.raises(AppendRejected, match=r"row 1, field 'at'.*finer than a microsecond"):
        log.append("t", fine)
    log.append("t", fine.head(1))
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
    assert log.stream("t").all().frame()["at"].to_list() == [expected]


def test_offsets_that_have_expired_are_an_error_whatever_the_range_ends_with(
    tmp_path: Path,
) -> None:
    with wb.connect(tmp_path / "log", create=True) as log:
        tx = log.create("t", retention="1h")
        log.append("t", [{"x": n, "at": f"2026-11-03T10:0{n}"} for n in range(5)], timestamp="at")
        log.append("t", [{"x": 5}])
        assert isinstance(log.backend, EmbeddedLog)
        log.backend.enforce_retention()
        assert log.partitions("t")["start"].to_list() == [5]
        for end in ("now", {0: 6}, "2099-01-01"):
            with pytest.raises(OffsetOutOfRange, match="has expired"):
                tx.between({0: 0}, end).frame()
        # A time asks for what there is.
        assert tx.between("2026-11-03", "2099-01-01").frame().height == 1


def test_a_position_in_another_topic_is_no_bound(log: wb.Log) -> None:
    one, other = log.create("one"), log.create("other")
    log.append("one", [{"x": 1}])
    log.append("other", [{"x": 1}])
    for bounds in ((other.position("earliest"),), ("earliest", other.position("now"))):
        with pytest.raises(InvalidRange, match=r"other 0:\d names no partition of one"):
            one.between(*bounds)
    both = log.stream(["one", "other"]).position("earliest")
    assert one.between(both).frame().height == 1


@pytest.mark.parametrize(
    ("field", "sought", "match"), [("key", "a", 2), ("offset", "1", 1), ("topic", "t", 3)]
)
def test_coordinates_are_known_of_what_does_not_decode(
    log: wb.Log, field: str, sought: str, match: int
) -> None:
    log.create("t", schema={"x": int})
    values = {"value": [b'{"x":1}', b"{", b"{"], "key": [b"a", b"a", b"b"]}
    log.append("t", pl.DataFrame(values), encode="bytes")
    found = log.find(sought, by={"t": field}).counts
    assert found == {"match": match, "no_match": 3 - match, "error": 0}


def test_find_compares_times_of_any_zone(log: wb.Log) -> None:
    log.create("t", schema={"at": pl.Datetime("us", "Europe/Berlin")})
    log.append("t", [{"at": "2026-11-03T12:00:00+01:00"}, {"at": "2026-11-03T12:00:00Z"}])
    for text in ("2026-11-03T11:00Z", "2026-11-03 12:00+01:00"):
        assert log.find(text, by={"t": "at"}).frame()["offset"].to_list() == [0]


@pytest.mark.parametrize(
    ("dtype", "value", "same", "other"),
    [
        (pl.Time(), time(12), ["12:00", "12:00:00"], ["12:01", "noon", "12:00Z"]),
        (pl.Datetime("us"), datetime(2026, 11, 3, 12), ["2026-11-03T12:00"], ["2026-11-03T12:01"]),
    ],
)
def test_find_compares_what_only_other_formats_have(
    dtype: pl.DataType, value: object, same: list[str], other: list[str]
) -> None:
    held = pl.DataFrame({"v": [value]}, schema={"v": dtype})
    for text in (*same, *other):
        found = held.filter(pl.col("v") == _literal(text.encode(), dtype)).height
        assert found == (text in same)


def test_an_entity_that_a_float_would_round_is_refused(log: wb.Log) -> None:
    log.create("t", schema={"x": float})
    log.append("t", [{"x": 9007199254740992.0}])
    with pytest.raises(DefinitionError, match="cannot be in column"):
        log.stream("t").all().trail(9007199254740993, by="x")
    assert log.stream("t").all().trail(9007199254740992, by="x").counts.match == 1


@pytest.mark.parametrize("offset", ["1.7", "true", "null"])
def test_an_offset_in_the_shell_is_a_whole_number(log: wb.Log, offset: str) -> None:
    stream = log.create("t")
    log.append("t", [{"x": 1}])
    with pytest.raises(InvalidRange, match="is not a partition and its offset"):
        stream.between(when(f'{{"0": {offset}}}'))
    assert when('{"0": "1"}') == when('{"0": 1}') == {0: 1}
