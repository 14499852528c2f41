"""Encoding rows, and reading them back."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.decode import decode_json, encode_rows
from workbench.errors import AppendRejected
from workbench.schema import Schema


def encode(row: Any) -> str:
    return encode_rows([row])[0].decode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (2**63, "9223372036854775808"),
        (-(2**200), str(-(2**200))),
        (0.1, "0.1"),
        (5.0, "5.0"),
        (-0.0, "-0.0"),
        (Decimal("1.10"), "1.10"),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (Decimal("-0.00"), "-0.00"),
        ("é\0\n", '"é\\u0000\\n"'),
        (date(2026, 11, 3), '"2026-11-03"'),
        (datetime(2026, 11, 3, 12), '"2026-11-03T12:00:00Z"'),
        (datetime(2026, 11, 3, 12, 0, 0, 5, UTC), '"2026-11-03T12:00:00.000005Z"'),
        (
            datetime(2026, 11, 3, 12, tzinfo=timezone(timedelta(hours=2))),
            '"2026-11-03T10:00:00Z"',
        ),
        ([1, (2, None), []], "[1,[2,null],[]]"),
        (OrderedDict(b=1, a={"c": Decimal("0.5")}), '{"b":1,"a":{"c":0.5}}'),
        (np.int64(7), "7"),
        (np.float64(0.5), "0.5"),
        (np.bool_(True), "true"),
        (np.str_("x"), '"x"'),
        (np.longdouble("0.5"), "0.5"),
        (np.float16(0.5), "0.5"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.datetime64("2026-11-03T12:00:00.000001000"), '"2026-11-03T12:00:00.000001Z"'),
        (np.datetime64("2026-11-03T12", "s"), '"2026-11-03T12:00:00Z"'),
        (np.datetime64("2026-11-03"), '"2026-11-03"'),
        (np.datetime64("NaT", "ns"), "null"),
    ],
)
def test_forms(value: Any, text: str) -> None:
    assert encode({"f": value}) == f'{{"f":{text}}}'


class Itself(dict[str, Any]):
    """A row that holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self["me"] = self


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"f": math.nan}, ["row 1", "'f'", "nan"]),
        ({"f": -math.inf}, ["row 1", "'f'", "inf"]),
        ({"f": Decimal("NaN")}, ["row 1", "'f'", "NaN"]),
        ({"f": np.float32("inf")}, ["row 1", "'f'", "inf"]),
        ({"f": b"x"}, ["row 1", "'f'", "bytes", "text"]),
        ({"f": {"g": [0, {"h": object()}]}}, ["row 1", "'f.g[1].h'", "object"]),
        ({"f": {1, 2}}, ["row 1", "'f'", "set"]),
        ({"f": timedelta(1)}, ["row 1", "'f'", "timedelta"]),
        ({"f": "\ud800"}, ["row 1", "surrogate"]),
        ({1: "x"}, ["row 1", "int"]),
        ({"f": np.datetime64(1, "ns")}, ["row 1", "'f'", "microsecond"]),
        ({"f": np.datetime64("10000-01-01")}, ["row 1", "'f'", "9999"]),
        ({"f": np.timedelta64(1, "ns")}, ["row 1", "'f'", "timedelta"]),
        ({"f": np.longdouble(1) / 3}, ["row 1", "'f'", "double"]),
        ({"f": np.longdouble("nan")}, ["row 1", "'f'", "nan"]),
        ({"f": np.complex64(1)}, ["row 1", "'f'", "complex"]),
        (
            {"f": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
            ["row 1", "'f'", "years 1 to 9999"],
        ),
        ([1], ["row 1", "list", "dict"]),
        (Itself(), ["row 1", "nested"]),
    ],
)
def test_what_has_no_form(row: Any, words: list[str]) -> None:
    with pytest.raises(AppendRejected) as caught:
        encode_rows([{"f": 1}, row])
    for word in words:
        assert word in str(caught.value)


def test_none_is_a_tombstone() -> None:
    values = encode_rows([{}, None])
    assert values.dtype == pl.Binary
    assert values.to_list() == [b"{}", None]
    assert encode_rows([]).dtype == pl.Binary


def test_a_frame() -> None:
    frame = pl.DataFrame(
        {
            "n": [2**64 - 1, None],
            "amount": pl.Series(["1.10", "2"], dtype=pl.String).cast(pl.Decimal(18, 2)),
            "at": pl.Series([0, 1], dtype=pl.Datetime("ms", "Europe/Berlin")),
            "tags": [["a"], []],
            "inner": [{"d": date(2026, 11, 3)}, None],
        }
    )
    first, second = encode_rows(frame)
    assert json.loads(first) == {
        "n": 2**64 - 1, "amount": 1.1, "at": "1970-01-01T00:00:00Z", "tags": ["a"],
        "inner": {"d": "2026-11-03"},
    }  # fmt: skip
    assert b'"amount":1.10,' in first
    assert b'"at":"1970-01-01T00:00:00.001000Z"' in second
    schema = Schema(dict(frame.schema))
    assert decode_json(encode_rows(frame), schema).fields.equals(frame)


def test_a_frame_with_bytes() -> None:
    with pytest.raises(AppendRejected, match="bytes"):
        encode_rows(pl.DataFrame({"b": [b"x"]}))


MOMENTS = st.datetimes(timezones=st.just(UTC))
FIELDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "boolean": (pl.Boolean, st.booleans()),
    "small": (pl.Int8, st.integers(-128, 127)),
    "int": (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    "unsigned": (pl.UInt64, st.integers(0, 2**64 - 1)),
    "float": (pl.Float64, st.floats(allow_nan=False, allow_infinity=False)),
    "money": (pl.Decimal(38, 4), st.decimals(-(10**30), 10**30, places=4)),
    "text": (pl.String, st.text()),
    "day": (pl.Date, st.dates()),
    "at": (pl.Datetime("us", "UTC"), MOMENTS),
}
FIELDS["list"] = (pl.List(FIELDS["money"][0]), st.lists(st.none() | FIELDS["money"][1], max_size=3))
FIELDS["struct"] = (
    pl.Struct({name: dtype for name, (dtype, _) in FIELDS.items()}),
    st.fixed_dictionaries({name: st.none() | values for name, (_, values) in FIELDS.items()}),
)
ROWS = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in FIELDS.items()})


@given(st.lists(ROWS, max_size=5))
def test_round_trip(rows: list[dict[str, Any]]) -> None:
    schema = Schema({name: dtype for name, (dtype, _) in FIELDS.items()})
    values = encode_rows(rows)
    assert values.equals(encode_rows(rows))
    decoded = decode_json(values, schema)
    assert decoded.error.null_count() == decoded.rest.null_count() == len(rows)
    assert decoded.fields.to_dicts() == rows
    again = encode_rows(decoded.fields)
    assert decode_json(again, schema).fields.equals(decoded.fields)
    for found, row in zip(decoded.fields["float"], rows, strict=True):
        if row["float"] is not None:
            assert math.copysign(1, found) == math.copysign(1, row["float"])
