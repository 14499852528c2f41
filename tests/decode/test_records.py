"""Whole records: coordinates, keys in three ways, formats and the choice between them."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from workbench.decode import choose_format, decode_records, decoder
from workbench.errors import SchemaError
from workbench.records import RAW, empty_raw
from workbench.schema import Schema

SCHEMA = Schema({"n": pl.Int64, "key": pl.String})
COMPANION = {
    "partition": pl.Int32(),
    "offset": pl.Int64(),
    "timestamp": pl.Datetime("ms", "UTC"),
    "key": pl.String(),
    "n": pl.Int64(),
    "value_key": pl.String(),
    "decode_error": pl.String(),
    "_rest": pl.String(),
    "_tombstone": pl.Boolean(),
}


def raw(keys: list[bytes | None], values: list[bytes | None]) -> pl.DataFrame:
    count = len(values)
    columns: dict[str, Any] = {
        "partition": [3] * count,
        "offset": range(7, 7 + count),
        "timestamp": range(count),
        "timestamp_type": ["create"] * count,
        "key": keys,
        "value": values,
    }
    nothing = [None] * count
    return pl.DataFrame({name: columns.get(name, nothing) for name in RAW}, schema=RAW)


def test_a_companion() -> None:
    frame = decode_records(raw([b"a", None, b""], [b'{"n":1,"x":2}', None, b"?"]), SCHEMA)
    assert frame.schema == COMPANION
    assert frame["offset"].to_list() == [7, 8, 9]
    assert frame["key"].to_list() == ["a", None, ""]
    assert frame["n"].to_list() == [1, None, None]
    assert frame["_rest"].to_list() == ['{"x":2}', None, None]
    assert frame["_tombstone"].to_list() == [False, True, False]
    assert frame["decode_error"].is_null().to_list() == [True, True, False]


def test_no_records() -> None:
    assert decode_records(empty_raw(), SCHEMA).schema == COMPANION


def test_keys_that_are_no_text() -> None:
    records = raw([b"a", b"\xff", None, b"\xfe"], [b'{"n":1}', b'{"n":2}', None, b"?"])
    automatic = decode_records(records, SCHEMA)
    assert automatic["key"].to_list() == [b"a", b"\xff", None, b"\xfe"]
    assert automatic["decode_error"].is_null().to_list() == [True, True, True, False]
    assert automatic.equals(decode_records(records, SCHEMA, key="bytes"))
    text = decode_records(records, SCHEMA, key="text")
    assert text["key"].to_list() == ["a", "\ufffd", None, "\ufffd"]
    assert text["n"].to_list() == [1, 2, None, None]
    error = text["decode_error"].to_list()
    assert error[0] is error[2] is None
    assert error[1].startswith("key: not UTF-8")
    assert 'decode_key="bytes"' in error[1]
    assert error[3].startswith(error[1])
    assert "JSON" in error[3]


@pytest.mark.parametrize("mode", ["auto", "text"])
def test_the_keys_of_a_long_column(mode: Any) -> None:
    keys = [b"%d" % n for n in range(10_000)]
    keys[5_000] = b"\xff"
    decoded = decode_records(raw([*keys], [b"{}"] * len(keys)), SCHEMA, key=mode)
    assert decoded["key"].n_unique() == len(keys)
    assert decoded["decode_error"].count() == (1 if mode == "text" else 0)


def test_text_and_bytes() -> None:
    records = raw([None] * 4, [b"line \xc3\xa9", b"\xff", None, b""])
    text = decode_records(records, None, format="text")
    assert text["value"].to_list() == ["line é", None, None, ""]
    assert text["decode_error"].to_list() == [None, "not UTF-8", None, None]
    plain = decode_records(records, None, format="bytes")
    assert plain["value"].to_list() == [b"line \xc3\xa9", b"\xff", None, b""]
    assert plain["decode_error"].null_count() == 4


def test_formats_that_cannot_be() -> None:
    with pytest.raises(SchemaError, match="schema"):
        decoder("json")
    with pytest.raises(ValueError, match="json, text, bytes"):
        decoder("xml")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "text"),
        ([None, None], "text"),
        ([b'{"a":1}', None, b'{"b":[1]}'], "json"),
        ([b'{"a":1}'] * 9 + [b"\xff"], "json"),
        ([b"[1]", b"2", b'"x"'], "text"),
        ([b"127.0.0.1 GET /", b"{"], "text"),
        ([b"\x00\x01\xff", b"\xfe", b"text"], "bytes"),
    ],
)
def test_choosing_a_format(values: list[bytes | None], expected: str) -> None:
    sample = raw([None] * len(values), values).select("value", "headers")
    choice = choose_format(sample)
    assert choice.format == expected
    assert choice.reason.startswith(expected)


def test_errors_do_not_show_the_data() -> None:
    value = json.dumps({"n": "a secret"}).encode()
    frame = decode_records(raw([None], [value]), SCHEMA)
    assert "secret" not in frame["decode_error"][0]
