"""What the schema of a topic cannot decode again is refused when it is appended, on every log."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.decode.declared import check_rows
from workbench.decode.encode import encode_rows
from workbench.decode.json import decode_json
from workbench.errors import AppendRejected
from workbench.schema import Schema

FIELDS: dict[str, Any] = {
    "n": pl.Int32,
    "x": pl.Float64,
    "ok": pl.Boolean,
    "text": pl.String,
    "amount": pl.Decimal(6, 2),
    "day": pl.Date,
    "at": pl.Datetime("ms", "UTC"),
    "tags": pl.List(pl.String),
    "place": pl.Struct({"code": pl.Int8}),
}
SCHEMA = Schema(FIELDS)
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


CASES: list[tuple[Any, str]] = [
    ([{"at": NOON}, {"at": NOON.replace(microsecond=1)}], "row 1, field at: a time finer"),
    ([{"at": date(2026, 11, 3)}], "row 0, field at: a string that is no time"),
    ([{"amount": "12.50"}], "row 0, field amount: a string where Decimal"),
    ([{"amount": Decimal("1.001")}], "row 0, field amount: .* more decimal places"),
    ([{"amount": Decimal("12345")}], "row 0, field amount: a number beyond the range"),
    ([{"place": {"code": 200}}], r"row 0, field place\.code: an integer beyond"),
    ([{"tags": ["a", 1]}], r"row 0, field tags\[1\]: a number where String"),
    (pl.DataFrame({"at": [NOON.replace(microsecond=1)]}), "row 0, field at: a time finer"),
    (pl.DataFrame({"at": [None, date(2026, 1, 1)]}), "row 1, field at: a string that is no"),
    (pl.DataFrame({"n": [1, 1 << 40]}), "row 1, field n: an integer beyond the range"),
]


def test_rows_that_would_not_be_read_are_refused(log: wb.Log) -> None:
    log.create("orders", schema=FIELDS)
    for rows, said in CASES:
        with pytest.raises(AppendRejected, match=f"{said}.*; 0 rows before it are written"):
            log.append("orders", rows)
    assert log.stream("orders").all().frame().is_empty()
    # Bytes are taken as they are, other fields are free, and a tombstone has none.
    log.append("orders", [{"value": b"{}"}], encode="bytes")
    log.append("orders", [{"other": "x", "n": None}, None, {"n": np.int64(3)}])
    frame = log.stream("orders").all().frame(rest=True)
    assert frame["n"].to_list() == [None, None, None, 3]
    assert frame["_rest"].to_list()[1] == '{"other":"x"}'
    # The topic says so to whoever connects next.
    assert log.backend.topic("orders").declared


def test_a_schema_that_was_inferred_binds_nobody(log: wb.Log) -> None:
    log.create("orders")
    log.append("orders", [{"n": 1}])
    assert log.stream("orders").all().frame()["n"].to_list() == [1]
    log.append("orders", [{"n": "a"}])


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70) | st.integers(-200, 200),
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9).map(float),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.decimals(-10_000, 10_000, allow_nan=False, places=2),
    st.sampled_from(["", "a", "2026-11-03", "2026-11-03T12:00:00.1234Z", "12.5"]),
    st.dates(),
    st.datetimes(timezones=st.just(UTC) | st.none()),
    st.datetimes().map(lambda t: t.replace(microsecond=1_000, tzinfo=timezone(timedelta(hours=2)))),
    st.lists(st.text(max_size=2) | st.integers(0, 9), max_size=2),
    st.fixed_dictionaries({}, optional={"code": st.integers(-300, 300), "new": st.booleans()}),
)


@settings(max_examples=120)
@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES)), max_size=3))
def test_what_is_refused_is_what_would_not_decode(rows: list[dict[str, Any]]) -> None:
    try:
        values = encode_rows(rows)
    except AppendRejected:
        return
    wrong = decode_json(values, SCHEMA).error.is_not_null().to_list()
    try:
        check_rows(rows, SCHEMA)
    except AppendRejected as refused:
        at = int(str(refused).split(",")[0].removeprefix("row "))
        assert wrong[at]
    else:
        assert True not in wrong
