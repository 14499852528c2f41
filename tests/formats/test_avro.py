"""Avro bodies to columns, held against fastavro; and bodies that nobody should have sent."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from typing import Any

import fastavro
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SOAK
from tests.formats.avro_schemas import expected, records
from tests.formats.support import avro_body
from workbench.decode.avro import AvroReader
from workbench.decode.avro.container import decode as decode_files
from workbench.decode.avro.container import schema_of
from workbench.errors import SchemaError

#: On every path: few records are read one by one, many by column.
TIMES = [1, 400]


def read(schema: Any, bodies: list[bytes | None]) -> pl.DataFrame:
    reader = AvroReader(json.dumps(schema))
    columns, errors, rest = reader.read(pl.Series(bodies, dtype=pl.Binary))
    assert rest is None
    frame = pl.DataFrame(columns)
    assert dict(frame.schema) == dict(reader.fields)
    return frame.with_columns(errors.alias("!"))


@settings(max_examples=2_000 if SOAK else 25)
@given(st.data(), st.sampled_from(TIMES))
def test_what_fastavro_writes_is_read(data: st.DataObject, times: int) -> None:
    schema, values = data.draw(records())
    rows = data.draw(st.lists(st.none() | values, min_size=1, max_size=5))
    bodies = [None if row is None else avro_body(schema, row) for row in rows]
    frame = read(schema, bodies * times)
    assert frame["!"].null_count() == frame.height
    nothing = dict.fromkeys(f["name"] for f in schema["fields"])
    wanted = [nothing if row is None else expected(schema, row) for row in rows]
    assert frame.drop("!").head(len(rows)).to_dicts() == wanted
    assert frame.tail(len(rows)).equals(frame.head(len(rows)))


@settings(max_examples=2_000 if SOAK else 25)
@given(st.data(), st.sampled_from(TIMES))
def test_damage_is_an_error_of_its_record(data: st.DataObject, times: int) -> None:
    schema, values = data.draw(records())
    body = avro_body(schema, data.draw(values))
    damaged = data.draw(
        st.sampled_from([body[:-1], body + b"\0", body[: len(body) // 2]])
        | st.binary(max_size=30)
        | st.builds(
            lambda at, byte: body[:at] + byte + body[at + 1 :],
            st.integers(0, 40),
            st.binary(min_size=1, max_size=1),
        )
    )
    frame = read(schema, [body, damaged, body] * times)
    alone = read(schema, [damaged])
    assert frame["!"].gather_every(3).null_count() == times
    # Both paths agree on what is wrong.
    assert frame[1].equals(alone)
    if alone["!"][0] is None:
        return
    assert alone.drop("!").row(0) == (None,) * (alone.width - 1)
    assert frame[0].equals(read(schema, [body]))


@pytest.mark.parametrize("times", TIMES)
def test_unions_widen_numbers_and_name_other_branches(times: int) -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "n", "type": ["int", "long"]},
            {"name": "f", "type": ["null", "int", "double"]},
            {
                "name": "u",
                "type": [
                    "null",
                    "string",
                    {"type": "record", "name": "a.P", "fields": [{"name": "x", "type": "int"}]},
                ],
            },
        ],
    }
    bodies = [
        b"\x00\x02\x02\x04\x04\x06",
        b"\x02\x02\x04" + struct.pack("<d", 0.5) + b"\x02\x02z",
        b"\x00\x01\x00\x00",
    ]
    frame = read(schema, bodies * times)
    assert dict(frame.schema) == {
        "n": pl.Int64,
        "f": pl.Float64,
        "u": pl.Struct({"string": pl.String, "P": pl.Struct({"x": pl.Int32})}),
        "!": pl.String,
    }
    assert frame.head(3).drop("!").to_dicts() == [
        {"n": 1, "f": 2.0, "u": {"string": None, "P": {"x": 3}}},
        {"n": 1, "f": 0.5, "u": {"string": "z", "P": None}},
        {"n": -1, "f": None, "u": None},
    ]


@pytest.mark.parametrize("times", TIMES)
def test_a_float_that_is_no_number_on_purpose_is_read_without_a_warning(times: int) -> None:
    # NumPy warns where a signalling NaN becomes a double.
    frame = read("float", [b"\x01\x00\xa0\x7f"] * times)
    assert frame["value"].is_nan().all()
    assert frame["!"].null_count() == times


@pytest.mark.parametrize("times", TIMES)
def test_blocks_of_arrays_come_in_every_form(times: int) -> None:
    schema = {"type": "array", "items": "int"}
    # One block; two; one with its size in bytes; none.
    bodies = [b"\x04\x02\x04\x00", b"\x02\x02\x02\x04\x00", b"\x03\x04\x02\x04\x00", b"\x00"]
    frame = read(schema, bodies * times)
    assert frame["value"].head(4).to_list() == [[1, 2], [1, 2], [1, 2], []]
    assert frame["!"].null_count() == frame.height


@pytest.mark.parametrize("times", TIMES)
def test_every_float_is_read(times: int) -> None:
    # A NaN that signals, one that does not, infinity, a number below the normal ones.
    forms = [b"\x01\x00\x80\x7f", b"\x00\x00\xc0\xff", b"\x00\x00\x80\xff", b"\x01\x00\x00\x00"]
    frame = read("float", forms * times)
    assert frame["value"].is_nan().head(4).to_list() == [True, True, False, False]
    assert frame["value"].head(4).to_list()[2:] == [-float("inf"), 2.0**-149]


def test_types_within_themselves_are_json_text() -> None:
    schema = {
        "type": "record",
        "name": "Node",
        "fields": [
            {"name": "n", "type": "int"},
            {"name": "next", "type": ["null", "Node"]},
        ],
    }
    frame = read(schema, [avro_body(schema, {"n": 1, "next": {"n": 2, "next": None}})])
    assert frame["next"].to_list() == ['{"n":2,"next":null}']
    # As deep as a stack would not survive.
    frame = read(schema, [b"\x02\x02" * 1_000_000])
    assert "nested deeper than 128" in frame["!"][0]


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01abc"),
        ("bytes", b"\x01"),
        ("bytes", b"\xfe\xff\xff\xff\x0f"),
        ("long", b"\xff" * 10),
        ("long", b"\x80" * 100_000),
        ("int", b"\x80\x80\x80\x80\x20"),
        ("boolean", b"\x02"),
        ("string", b"\x04\xff\xfe"),
        ({"type": "array", "items": "int"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02"),
        ({"type": "array", "items": "int"}, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x02"),
        ({"type": "array", "items": "null"}, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"),
        ({"type": "map", "values": "long"}, b"\xfe\xff\xff\x0f\x00"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02"),
        (["null", "int"], b"\x04\x02"),
        (["null", "int"], b"\x01\x02"),
        ({"type": "fixed", "name": "F", "size": 1 << 29}, b"xy"),
        ({"type": "int", "logicalType": "date"}, b"\xfe\xff\xff\xff\x0f"),
        ({"type": "int", "logicalType": "time-millis"}, b"\x01"),
        ({"type": "long", "logicalType": "timestamp-millis"}, b"\xfe" + b"\xff" * 8 + b"\x01"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 0},
            b"\x04\x00\x64",
        ),
    ],
)
def test_hostile_bodies_are_errors_in_bounded_memory(schema: Any, body: bytes, times: int) -> None:
    tracemalloc.start()
    try:
        frame = read(schema, [body] * times)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frame["!"].null_count() == 0
    assert frame["value"].null_count() == frame.height
    assert peak < (20 << 20) + 4 * times * len(body)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '"unknown"',
        '{"type": "record", "name": "R"}',
        '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}'
        ', {"name": "a", "type": "int"}]}',
        '{"type": "fixed", "name": "F", "size": -1}',
        '{"type": "fixed", "name": "F", "size": Infinity}',
        '{"type": "fixed", "name": "F", "size": 1.5}',
        '{"type":"record","name":"R","fields":[{"name":"a\\ud800","type":"int"}]}',
        '{"type":"array","items":' * 500 + '"int"' + "}" * 500,
        '{"type":"array","items":' * 50_000 + '"int"' + "}" * 50_000,
    ],
)
def test_schemas_that_cannot_be(text: str) -> None:
    with pytest.raises(SchemaError, match="Avro schema"):
        AvroReader(text)


def test_a_schema_that_grows_when_it_is_written_out_is_refused() -> None:
    fields: list[Any] = [{"name": "f", "type": "int"}]
    levels = []
    for level in range(30):
        levels.append({"type": "record", "name": f"L{level}", "fields": fields})
        fields = [{"name": side, "type": f"L{level}"} for side in "ab"]
    references = {each["name"]: json.dumps(each) for each in levels}
    with pytest.raises(SchemaError, match="larger than"):
        AvroReader(json.dumps({"type": "record", "name": "Top", "fields": fields}), references)


SIMPLE = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}


def container(rows: list[Any], codec: str = "null") -> bytes:
    buffer = io.BytesIO()
    fastavro.writer(buffer, SIMPLE, rows, codec=codec)
    return buffer.getvalue()


def test_object_containers_bring_their_schema() -> None:
    good = [container([{"a": 7}]), container([{"a": 8}], "deflate")]
    bad = [container([{"a": 1}, {"a": 2}]), b"Obj\x01", good[0][:-1], b"", good[1][:-20] + good[0]]
    values = pl.Series([*good, None, *bad], dtype=pl.Binary)
    decoded = decode_files(values, schema_of(values))
    assert decoded.fields["a"].to_list() == [7, 8] + [None] * 6
    assert decoded.error.is_null().to_list() == [True] * 3 + [False] * 5
    assert "2 records" in decoded.error[3]
