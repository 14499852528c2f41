"""Inferring a schema."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.decode import decode_json, infer_schema
from workbench.schema import Schema


def infer(*texts: str | None) -> Schema | None:
    values = [None if text is None else text.encode() for text in texts]
    return infer_schema(pl.Series(values, dtype=pl.Binary))


@pytest.mark.parametrize(
    ("items", "dtype"),
    [
        (["1", "-2", "null"], pl.Int64()),
        (["9223372036854775807", "-9223372036854775808"], pl.Int64()),
        (["1", "9223372036854775808"], pl.UInt64()),
        (["-1", "9223372036854775808"], None),
        (["18446744073709551616"], None),
        (["1", "2.5"], pl.Float64()),
        (["1.0"], pl.Float64()),
        (["1e3"], pl.Float64()),
        (["9007199254740993", "2.5"], None),
        (["1e400"], None),
        (["true", "false"], pl.Boolean()),
        (["true", "1"], None),
        (['"x"', '"2026-11-03"'], pl.String()),
        (['"x"', "1"], None),
        (["null"], None),
        (["[]"], None),
        (["[1]", "[]", "null"], pl.List(pl.Int64())),
        (["[1]", "[2.5]"], pl.List(pl.Float64())),
        (['[1, "x"]'], None),
        (["{}"], None),
        (['{"a":1}', '{"b":"x"}'], pl.Struct({"a": pl.Int64(), "b": pl.String()})),
        (['{"a":1,"b":null}'], pl.Struct({"a": pl.Int64()})),
        (['[{"a":[true]}]'], pl.List(pl.Struct({"a": pl.List(pl.Boolean())}))),
        (["1"] * 95 + ['"poison"'] * 5, pl.Int64()),
        (["1"] * 80 + ['"conflict"'] * 20, None),
    ],
)
def test_types(items: list[str], dtype: Any) -> None:
    schema = infer(*[f'{{"f":{item},"n":1}}' for item in items])
    assert schema == Schema({"f": dtype, "n": pl.Int64} if dtype is not None else {"n": pl.Int64})


def test_fields_come_as_first_seen() -> None:
    schema = infer('{"b":1}', '{"a":1,"b":2}', '{"c":"x"}')
    assert schema is not None
    assert list(schema) == ["b", "a", "c"]


def test_poison_is_passed_over() -> None:
    assert infer('{"a":1}', "{", None, '{"a":2}', "[]") == Schema({"a": pl.Int64})


def test_what_is_not_json() -> None:
    assert infer() is None
    assert infer(None) is None
    assert infer("a line", "another", '{"a":1}') is None
    assert infer("[]", "1") is None
    assert infer("{}") == Schema({})


def test_a_map_is_no_struct() -> None:
    names = {f"user-{n}": n for n in range(2_000)}
    assert infer(json.dumps({"id": 1, "users": names})) == Schema({"id": pl.Int64})
    wide = infer(json.dumps(names))
    assert wide is not None
    assert len(wide) == 500


def test_deep_nesting_stays_json() -> None:
    assert infer('{"id":1,"d":' + "[" * 100 + "1" + "]" * 100 + "}") == Schema({"id": pl.Int64})


def test_a_large_topic_is_sampled_evenly() -> None:
    texts = ['{"a":1}'] * 30_000 + ['{"b":"x"}'] * 30_000
    assert infer(*texts) == Schema({"a": pl.Int64, "b": pl.String})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=5))
def test_one_record_decodes_under_its_own_schema(record: dict[str, Any]) -> None:
    text = json.dumps(record)
    schema = infer(text, text)
    assert schema is not None
    assert schema == infer(text)
    decoded = decode_json(pl.Series([text.encode()], dtype=pl.Binary), schema)
    # A list may mix its items' types by less than a tenth, which its record then does not fit.
    if decoded.error[0] is None:
        known = set(schema)
        rest = json.loads(decoded.rest[0] or "{}")
        assert {name for name in record if name not in known} <= set(rest)
    else:
        assert "[" in decoded.error[0]
