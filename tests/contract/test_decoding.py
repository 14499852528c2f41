"""From payloads to columns: what decodes, what does not, and what the schema does not know."""

from __future__ import annotations

import json
from decimal import Decimal

import polars as pl
import pytest

import workbench as wb
from workbench.errors import SchemaError

from .support import Event, append, places

MONEY = {"n": pl.Int64, "amount": pl.Decimal(18, 2)}

POISON = [
    b"",
    b"{",
    b"not json",
    b"[1]",
    b"1",
    b"null",
    b'{"n": 12.7}',
    b'{"n": "12"}',
    b'{"n": true}',
    b'{"n": 9223372036854775808}',
    b'{"amount": 0.001}',
    b'{"amount": "1.00"}',
    b'{"amount": 99999999999999999.00}',
    b'{"n": NaN}',
    b'{"n": 1}{"n": 2}',
    b'{"n": 1, "n": 2}',
    b"\xff\xfe",
    b"\x80\x04K\x01.",
    b'{"n": "\xff"}',
]


def test_poison_stays_and_says_why(any_log: wb.Log) -> None:
    any_log.create("money", schema=MONEY)
    good = Event(value=b'{"n": 1, "amount": 2.50}')
    events = [event for bad in POISON for event in (good, Event(value=bad))]
    append(any_log, "money", events)
    frame = any_log.stream("money").all().frame(raw=True)
    assert frame["value"].to_list() == [event.value for event in events]
    bad = frame.filter(pl.col("decode_error").is_not_null())
    assert bad["value"].to_list() == POISON
    assert bad["n"].null_count() == bad["amount"].null_count() == len(POISON)
    assert all(text.strip() for text in bad["decode_error"])
    good_rows = frame.filter(pl.col("decode_error").is_null())
    assert set(good_rows.select("n", "amount").rows()) == {(1, Decimal("2.50"))}


def test_poison_is_counted(any_log: wb.Log) -> None:
    any_log.create("money", schema=MONEY)
    append(any_log, "money", [Event(value=value) for value in [*POISON, b'{"n": 1}', None]])
    ledger = any_log.stream("money").all().completeness()
    assert ledger.undecodable == len(POISON)
    assert ledger.records == len(POISON) + 2
    assert ledger.complete
    assert f"{len(POISON)} did not decode" in ledger.statement


def test_null_and_empty_values_differ(any_log: wb.Log) -> None:
    any_log.create("events", schema={"n": int})
    append(any_log, "events", [Event(value=v) for v in (None, b"", b"{}", b'{"n": null}')])
    frame = any_log.stream("events").all().frame()
    assert frame["n"].to_list() == [None] * 4
    assert frame["decode_error"].is_not_null().to_list() == [False, True, False, False]
    assert any_log.stream("events").all().completeness().partitions[0].tombstones == 1


def test_unknown_fields_are_counted_and_kept_on_request(any_log: wb.Log) -> None:
    any_log.create("events", schema={"n": int})
    rows = [{"n": 1}, {"n": 2, "device": "x"}, {"n": 3, "device": "y", "big": 2**70}]
    any_log.append("events", rows)
    part = any_log.stream("events").all()
    with pytest.warns(UserWarning, match="device"):
        assert "_rest" not in part.frame().columns
    kept = part.frame(rest=True)["_rest"].to_list()
    assert [None if text is None else json.loads(text) for text in kept] == [
        None,
        {"device": "x"},
        {"device": "y", "big": 2**70},
    ]
    assert part.completeness().unknown_fields == {"big": 1, "device": 2}


def test_names_that_collide_with_coordinates(any_log: wb.Log) -> None:
    row = {"topic": "t", "partition": 9, "offset": 8, "timestamp": 7, "key": "k", "n": 1}
    any_log.create("events")
    any_log.append("events", [row], key=lambda row: "record-key")
    frame = any_log.stream("events").all().frame()
    assert places(frame) == [("events", 0, 0)]
    assert frame["key"].to_list() == ["record-key"]
    assert {name: frame[f"value_{name}"][0] for name in row if name != "n"} == {
        name: value for name, value in row.items() if name != "n"
    }


def test_names_that_collide_with_raw_columns(any_log: wb.Log) -> None:
    any_log.create("events", schema={"value": int, "headers": str, "value_value": int})
    any_log.append("events", [{"value": 1, "headers": "h", "value_value": 2}])
    part = any_log.stream("events").all()
    assert part.frame().select("value", "headers", "value_value").rows() == [(1, "h", 2)]
    raw = part.frame(raw=True)
    assert raw["value"].dtype == pl.Binary
    assert raw["value_headers"].to_list() == ["h"]
    assert raw["value_value"].to_list() == [2]
    assert raw["value_value_value"].to_list() == [1]


def test_a_schema_is_inferred_once_and_pinned(any_log: wb.Log) -> None:
    any_log.create("events")
    any_log.append("events", [{"n": 1, "who": "a"}])
    first = any_log.stream("events").all()
    assert first.frame().schema["n"] == pl.Int64
    any_log.append("events", [{"n": 2.5, "who": "b"}, {"n": 3, "who": "c", "new": True}])
    # A stream made later sees the same types, and what does not fit them is an error.
    with pytest.warns(UserWarning, match="new"):
        later = any_log.stream("events").all().frame()
    assert later["n"].to_list() == [1, None, 3]
    assert later["decode_error"].is_not_null().to_list() == [False, True, False]


def test_a_schema_can_be_given_to_the_stream(any_log: wb.Log) -> None:
    any_log.create("events")
    any_log.append("events", [{"n": 1}])
    assert any_log.stream("events").all().frame()["n"].dtype == pl.Int64
    given = any_log.stream("events", schema={"n": pl.Decimal(9, 2)}).all()
    assert given.frame()["n"].to_list() == [Decimal("1.00")]
    assert any_log.stream("events", schema={"events": {"n": str}}).schema["n"] == pl.String
    with pytest.raises(SchemaError):
        any_log.stream("events", schema={"n": pl.Duration})


def test_text_and_bytes(any_log: wb.Log) -> None:
    any_log.create("lines")
    append(any_log, "lines", [Event(value=v) for v in (b"one", b"two", None, b"\xff")])
    lines = any_log.stream("lines").all().frame()
    assert lines["value"].to_list() == ["one", "two", None, None]
    assert lines["decode_error"].is_not_null().to_list() == [False, False, False, True]
    binary = any_log.stream("lines", decode="bytes").all().frame()
    assert binary["value"].to_list() == [b"one", b"two", None, b"\xff"]
    with pytest.raises(SchemaError, match="json, text, bytes"):
        any_log.stream("lines", decode="xml")


def test_event_data_is_data(any_log: wb.Log) -> None:
    any_log.create("events")
    script = "<script>alert(1)</script>"
    any_log.append("events", [{"who": script}], key="who")
    assert any_log.stream("events").all().frame()["who"].to_list() == [script]
    shown = [any_log.stream("events"), any_log.stream("events").all().key(script), any_log]
    for one in shown:
        assert script not in one._repr_html_()
