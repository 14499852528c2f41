"""Positions, schemas and addresses: pure data with a JSON round trip."""

from __future__ import annotations

import json
from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.address import Address, Decoding, TimeFilter
from workbench.errors import InvalidRange, SchemaError
from workbench.positions import Position
from workbench.schema import RESERVED, Schema

offsets = st.integers(0, 2**63 - 1)
topics = st.text("abcXYZ019._-", min_size=1, max_size=20)
positions = st.dictionaries(st.tuples(topics, st.integers(0, 2**31 - 1)), offsets).map(Position)
scalars = st.sampled_from(
    [pl.Boolean(), pl.Int64(), pl.UInt8(), pl.Float64(), pl.String(), pl.Date()]
) | st.sampled_from([pl.Decimal(18, 2), pl.Datetime("ms", "UTC"), pl.Datetime("us", "UTC")])
names = st.text(min_size=1, max_size=8).filter(lambda name: name.isprintable())
types = st.recursive(
    scalars,
    lambda inner: inner.map(pl.List) | st.dictionaries(names, inner, min_size=1).map(pl.Struct),
    max_leaves=4,
)
schemas = st.dictionaries(names | st.sampled_from(sorted(RESERVED)), types).map(Schema)


@given(positions)
def test_positions_round_trip(position: Position) -> None:
    again = Position.from_json(position.to_json())
    assert again == position
    assert hash(again) == hash(position)
    assert list(again) == sorted(again)


def test_a_position_cannot_be_negative() -> None:
    with pytest.raises(ValueError, match="negative: bank 0:-1"):
        Position({("bank", 0): -1})


def test_offsets_beyond_javascript_numbers_are_text() -> None:
    assert json.loads(Position({("t", 0): 2**60}).to_json()) == {"t": {"0": str(2**60)}}


@given(schemas)
def test_schemas_round_trip(schema: Schema) -> None:
    again = Schema.from_json(schema.to_json())
    assert again == schema
    assert list(again) == list(schema)
    assert again.fingerprint == schema.fingerprint


@given(schemas)
def test_column_names_are_unique_and_free(schema: Schema) -> None:
    columns = list(schema.columns.values())
    assert len(set(columns)) == len(columns)
    assert not RESERVED & set(columns)


def test_a_field_that_collides_is_renamed() -> None:
    schema = Schema({"offset": int, "value_offset": int, "value": float})
    assert schema.columns == {
        "offset": "value_value_offset",
        "value_offset": "value_offset",
        "value": "value",
    }


@pytest.mark.parametrize("dtype", [pl.Datetime("ms"), pl.Object, pl.Duration("ms"), pl.Time, 7])
def test_a_type_that_no_decoder_offers_is_refused(dtype: object) -> None:
    with pytest.raises(SchemaError, match="field 'x'"):
        Schema({"x": dtype})


addresses = st.builds(
    lambda start, length, times, keys, schema: Address(
        log_id="log-1",
        log_kind="embedded",
        hint="recordings/bank",
        topic_ids=(("bank", "id-1"),),
        start=Position({("bank", 0): start}),
        end=Position({("bank", 0): start + length}),
        times=times,
        keys=keys,
        decoding=Decoding(schemas=(("bank", schema),), time="at"),
    ),
    st.integers(0, 2**62),
    st.integers(0, 2**61),
    st.none()
    | st.builds(TimeFilter, st.none() | offsets, st.none() | offsets, st.none() | offsets),
    st.none() | st.lists(st.binary(max_size=4), max_size=3).map(tuple),
    schemas,
)


@given(addresses)
def test_addresses_round_trip(address: Address) -> None:
    assert Address.from_json(address.to_json()) == address


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', '{"version":1,"log":{}}', "7"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRange, match="not a slice address"):
        Address.from_json(text)


def test_a_schema_that_does_not_fit_its_fingerprint_is_refused() -> None:
    schema = Schema({"a": int})
    address = Address(
        "id", "embedded", "x", (("t", "i"),), Position(), Position(),
        decoding=Decoding(schemas=(("t", schema),)),
    )  # fmt: skip
    data = address.to_dict()
    data["decoding"]["schemas"]["t"]["fields"]["a"] = "String"
    with pytest.raises(InvalidRange, match="fingerprint"):
        Address.from_dict(data)


def test_the_types_of_python_are_taken() -> None:
    schema = Schema({"n": int, "on": date, "at": datetime})
    assert schema["on"] == pl.Date()
    # What `datetime.now(UTC)` gives fits.
    assert schema["at"] == pl.Datetime("us", "UTC")
