"""Damaged records and schemas, by the hundred: an error of each, and nobody else's.

The seed is drawn anew for every run and told when a test fails.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import fastavro
import polars as pl
import pytest
from google.protobuf.message_factory import GetMessageClass

from tests.conftest import SOAK
from tests.formats.avro_schemas import expected as avro_expected
from tests.formats.damage import damaged
from tests.formats.protobuf_schemas import expected as protobuf_expected
from tests.formats.support import avro_body
from tests.formats.test_protobuf import SHOP, message_of
from workbench.decode.avro import AvroReader
from workbench.decode.avro.columns import decode_by_column as avro_by_column
from workbench.decode.avro.nodes import parse_avro
from workbench.decode.avro.records import decode_one_by_one as avro_one_by_one
from workbench.decode.codebook import Codebook
from workbench.decode.framed import decode_framed
from workbench.decode.framed_json import decode_framed_json
from workbench.decode.framing import frame_of
from workbench.decode.jsonschema import json_schema_fields
from workbench.decode.protobuf import SET_MARK, ProtobufMessages
from workbench.decode.protobuf.columns import decode_by_column as protobuf_by_column
from workbench.decode.protobuf.columns import handler
from workbench.decode.protobuf.messages import decode_one_by_one as protobuf_one_by_one
from workbench.decode.protobuf.schemas import ProtobufSchema
from workbench.decode.registry import Kind, Registered
from workbench.errors import SchemaError
from workbench.schema import Schema

COUNT = 60_000 if SOAK else 600

AVRO: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "ratio", "type": "float"},
        {"name": "share", "type": "double"},
        {"name": "paid", "type": "boolean"},
        {"name": "photo", "type": "bytes"},
        {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 4}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {
            "name": "amount",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2},
        },
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Line",
                    "fields": [
                        {"name": "sku", "type": "string"},
                        {"name": "more", "type": ["null", {"type": "array", "items": "Code"}]},
                    ],
                },
            },
        },
    ],
}
PLAIN = """
syntax = "proto3";
message Order {
  int64 id = 1; optional string note = 2; State state = 3; repeated Line lines = 4;
  map<string, int32> counts = 5; oneof paid { string card = 6; Line cash = 7; }
  uint64 big = 8; double ratio = 9; bytes photo = 10; repeated sint32 deltas = 11;
  message Line { string sku = 1; fixed64 cents = 2; Part part = 3; }
  message Part { string x = 1; }
  enum State { NEW = 0; PAID = 1; }
}
"""
JSON_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "ratio": {"type": "number"},
        "on": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def avro_bodies() -> list[bytes]:
    row = {
        "id": 1 << 40,
        "note": "Zoë",
        "ratio": 0.5,
        "share": 0.25,
        "paid": True,
        "photo": b"\x00\xff",
        "code": b"abcd",
        "state": "PAID",
        "amount": Decimal("123456789012345.67"),
        "day": date(2026, 11, 3),
        "at": datetime(2026, 11, 3, 12, tzinfo=UTC),
        "tags": ["a", "bc"],
        "counts": {"x": 1, "y": -2},
        "lines": [{"sku": "s", "more": None}, {"sku": "", "more": [b"1234", b"5678"]}],
    }
    small = {**row, "note": None, "amount": Decimal("-0.01"), "tags": [], "counts": {}, "lines": []}
    return [avro_body(AVRO, row), avro_body(AVRO, small)]


def protobuf_bodies(text: str, name: str) -> list[bytes]:
    made = message_of(name, text)
    line = {"sku": "a", "cents": 1 << 60}
    full = made(
        id=1, note="é", state=1, lines=[line, {}], counts={"b": 2}, cash=line, big=1 << 63,
        ratio=0.5, photo=b"\xff",
    )  # fmt: skip
    return [full.SerializeToString(), made(id=-1, card="x").SerializeToString()]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A new one each time; pytest prints it beside a failure."""
    number = int(os.environ.get("WORKBENCH_FUZZ_SEED") or SystemRandom().randrange(1 << 32))
    request.node.add_report_section("call", "seed", f"WORKBENCH_FUZZ_SEED={number}")
    return number


def frame_of_columns(read: Iterable[Any]) -> pl.DataFrame:
    columns, errors, *rest = read
    frame = pl.DataFrame([*columns, errors.alias("!")])
    return frame.with_columns(rest[0].alias("?")) if rest else frame


def check(frame: pl.DataFrame, exact: pl.DataFrame, bodies: list[bytes]) -> None:
    """Both paths agree, and a record with an error holds nothing else."""
    if not frame.equals(exact):
        [at, *_] = [n for n in range(len(bodies)) if not frame[n].equals(exact[n])]
        raise AssertionError(f"{bodies[at]!r}: {frame.row(at)} by column, {exact.row(at)} alone")
    wrong = frame.filter(pl.col("!").is_not_null()).drop("!")
    assert wrong.null_count().row(0) == (wrong.height,) * wrong.width


def same(one: Any, other: Any) -> bool:
    """Where NaN is itself, UTC is UTC, and a key that is in a map twice has its last value."""
    return repr(_plain(one)) == repr(_plain(other))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        if all(isinstance(one, dict) and one.keys() == {"key", "value"} for one in value):
            return {one["key"]: one["value"] for one in value}
        return [_plain(one) for one in value]
    return value


def test_damaged_avro_is_read_as_fastavro_reads_it_or_not_at_all(seed: int) -> None:
    random, good = Random(seed), avro_bodies()
    bodies = [damaged(random, good) for _ in range(COUNT)] + good
    node, column = parse_avro(json.dumps(AVRO)), pl.Series(bodies, dtype=pl.Binary)
    exactly = frame_of_columns(avro_one_by_one(column, node))
    check(frame_of_columns(avro_by_column(column, node)), exactly, bodies)
    assert exactly["!"][-2:].to_list() == [None, None]
    parsed, sound = fastavro.parse_schema(AVRO), 0
    for body, row in zip(bodies, exactly.iter_rows(named=True), strict=True):
        if row.pop("!") is None:
            sound += 1
            theirs = fastavro.schemaless_reader(io.BytesIO(body), parsed, None)
            assert same(row, avro_expected(AVRO, theirs)), body
    assert sound > COUNT / 50


@pytest.mark.parametrize(("text", "name"), [(PLAIN, "Order"), (SHOP, "shop.Order")])
def test_damaged_protobuf_is_read_as_google_reads_it_or_not_at_all(
    seed: int, text: str, name: str
) -> None:
    random, good = Random(seed), protobuf_bodies(PLAIN, "Order") if text == PLAIN else SHOP_BODIES
    bodies = [damaged(random, good) for _ in range(COUNT)] + good
    schema = ProtobufSchema(text)
    node = ProtobufMessages(text).message(name).node
    by = handler(schema.files, node)
    assert by is not None
    column = pl.Series(bodies, dtype=pl.Binary)
    exactly = frame_of_columns(protobuf_one_by_one(column, node))
    check(frame_of_columns(protobuf_by_column(column, by)), exactly, bodies)
    assert exactly["!"][-2:].to_list() == [None, None]
    made, sound = GetMessageClass(schema.named(name)), 0
    for body, row in zip(bodies, exactly.iter_rows(named=True), strict=True):
        error, _ = row.pop("!"), row.pop("?")
        if error is None:
            sound += 1
            message = made.FromString(body)
            if text == PLAIN:
                assert same(row, protobuf_expected(message)), body
    assert sound > COUNT / 50


SHOP_BODIES = [
    b"\x08\x01\x12\x01x\x18\x01" b"\x22\x06\x08\x80\x8a\x95\xc9\x06" b"\x2a\x02\x10\x05"
    b"\x32\x02\x08\x07" b"\x3a\x0c\x0a\x0a\x0a\x01k\x12\x05\x1a\x03abc" b"\x42\x00"
    b"\x4a\x05\x0a\x01a\x10\x05" b"\x52\x05\x0a\x01k\x10\x02"
    b"\x92\x01\x07\x0a\x01c\x12\x02\x0a\x00",
    b"\x08\x02\x18\x09\x8a\x01\x02\x00\x01",
]  # fmt: skip


def test_damaged_json_in_a_frame_is_read_as_the_exact_path_reads_it(seed: int) -> None:
    random = Random(seed)
    row = {
        "id": 5,
        "name": "Zoë",
        "ratio": 1.5,
        "on": "2026-11-03",
        "at": "2026-11-03T12:00:00.000001Z",
        "tags": ["a", ""],
        "place": {"city": "x", "new": 1},
    }
    good = [frame_of(1) + json.dumps(row, ensure_ascii=False).encode(), frame_of(1) + b"{}"]
    bodies = [damaged(random, good) for _ in range(COUNT)] + good
    schema = Schema({"schema_id": pl.Int64(), **json_schema_fields(json.dumps(JSON_SCHEMA))})
    column = pl.Series(bodies, dtype=pl.Binary)
    codebook: Any = Codebook(Held(json.dumps(JSON_SCHEMA), "JSON"))  # type: ignore[arg-type]
    many = decode_framed_json(column, schema, codebook)
    alone = [
        decode_framed_json(column[n : n + 1], schema, codebook) for n in range(0, len(bodies), 7)
    ]
    for at, one in zip(range(0, len(bodies), 7), alone, strict=True):
        mine = many.fields[at : at + 1], many.error[at], many.rest[at]
        assert one.fields.equals(mine[0]), bodies[at]
        assert (one.error[0], one.rest[0]) == mine[1:], bodies[at]
    assert many.error[-2:].to_list() == [None, None]
    rows = many.fields.iter_rows(named=True)
    for body, error, found in zip(bodies, many.error, rows, strict=True):
        if error is None:
            assert found["schema_id"] == int.from_bytes(body[1:5])
            theirs = json.loads(body[5:], parse_int=Decimal)
            assert found["name"] == theirs.get("name")
            assert found["id"] == theirs.get("id")


class Held:
    """A registry in which every id has one schema."""

    hint = "memory"

    def __init__(self, text: str, kind: Kind) -> None:
        self._one = Registered(text, kind, 1)

    def by_id(self, schema_id: int) -> Registered | None:
        return self._one if schema_id == 1 else None


@pytest.mark.parametrize("kind", ["AVRO", "PROTOBUF"])
def test_damaged_frames_are_errors_of_their_records(seed: int, kind: Kind) -> None:
    random = Random(seed)
    text = json.dumps(AVRO) if kind == "AVRO" else PLAIN
    bodies = avro_bodies() if kind == "AVRO" else protobuf_bodies(PLAIN, "Order")
    head = frame_of(1) + (b"" if kind == "AVRO" else b"\0")
    good = [head + body for body in bodies]
    # Where the frame is, a damage is seldom.
    values = [damaged(random, [one[:9] for one in good]) + one[9:] for one in good * (COUNT // 8)]
    codebook: Any = Codebook(Held(text, kind))  # type: ignore[arg-type]
    schema = Schema.of_columns({"schema_id": pl.Int64(), "id": pl.Int64(), "note": pl.String()})
    decoded = decode_framed(pl.Series([*values, *good], dtype=pl.Binary), schema, codebook)
    assert decoded.error[-2:].to_list() == [None, None]
    for error, row in zip(decoded.error, decoded.fields.iter_rows(named=True), strict=True):
        assert error is None or (row["id"], row["note"]) == (None, None)


def made_or_refused(make: Callable[[], object]) -> bool:
    try:
        make()
    except SchemaError:
        return False
    return True


def test_descriptors_that_no_compiler_makes_are_refused() -> None:
    name = b"\x0a\x03\x0a\x01\xff"
    files = ProtobufSchema(PLAIN).files
    [entry] = [one for one in files.file[0].message_type[0].nested_type if one.options.map_entry]
    entry.field[0].name = "kex"
    for packed, said in ((name, "not UTF-8"), (files.SerializeToString(), "no key or no value")):
        text = SET_MARK + base64.b64encode(packed).decode()
        with pytest.raises(SchemaError, match=said):
            ProtobufMessages(text).message(None)


def test_damaged_schemas_are_refused_or_work(seed: int) -> None:
    random = Random(seed)
    avro = [json.dumps(AVRO).encode()]
    said = [json.dumps(JSON_SCHEMA).encode()]
    files = [ProtobufSchema(text).files.SerializeToString() for text in (PLAIN, SHOP)]
    worked = []
    for _ in range(COUNT // 2):
        text = damaged(random, avro).decode("utf-8", "replace")
        worked.append(made_or_refused(lambda: AvroReader(text).read(pl.Series([b""]))))  # noqa: B023
        text = damaged(random, said).decode("utf-8", "replace")
        worked.append(made_or_refused(lambda: json_schema_fields(text)))  # noqa: B023
        packed = SET_MARK + base64.b64encode(damaged(random, files)).decode()
        worked.append(made_or_refused(lambda: ProtobufMessages(packed).message(None)))  # noqa: B023
    assert 0 < sum(worked) < len(worked)


def bombs() -> list[tuple[str, Callable[[pl.Series], pl.Series], pl.Series]]:
    """Small records that want to become large or take long, 300 of each kind."""
    nested = b""
    for _ in range(2_000):
        nested = b"\x12" + _varint(len(nested)) + nested
    items = {"type": "array", "items": {"type": "array", "items": "null"}}
    tree = {
        "type": "record",
        "name": "Tree",
        "fields": [{"name": "parts", "type": {"type": "array", "items": "Tree"}}],
    }
    huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    avro = {
        "avro lengths": (AVRO, [b"\x02\x02" + huge + b"x" * 50, huge * 10]),
        "avro empty items": (items, [b"\x02" + huge, (b"\xfe\x9a\x01" * 5_000), huge + huge]),
        "avro depth": (tree, [b"\x02" * 200_000, huge]),
    }
    made: list[tuple[str, Callable[[pl.Series], pl.Series], pl.Series]] = []
    for name, (schema, bodies) in avro.items():
        reader = AvroReader(json.dumps(schema))
        made.append((name, lambda v, r=reader: r.read(v)[1], _times(bodies)))  # type: ignore[misc]
    category = ProtobufMessages(SHOP).message("shop.Category")
    order = ProtobufMessages(SHOP).message("shop.Order")
    made.append(("protobuf depth", lambda v: category.read(v)[1], _times([nested])))
    lengths = [
        b"\x12\xff\xff\xff\xff\x07x",
        b"\x4a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 9,
    ]
    made.append(("protobuf lengths", lambda v: order.read(v)[1], _times(lengths)))
    fields = json_schema_fields(json.dumps(JSON_SCHEMA))
    columns = Schema({"schema_id": pl.Int64(), **fields, "money": pl.Decimal(18, 2)})
    texts = [
        b'{"tags":' + b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"money":1e999999999}',
        b'{"money":' + b"9" * 200_000 + b"}",
        b'{"id":' + b"1" * 200_000 + b"}",
        b'{"ratio":1e' + b"9" * 100_000 + b"}",
        b'{"name":"' + b"\\" * 200_001,
    ]
    framed = [frame_of(1) + text for text in texts]
    codebook: Any = Codebook(Held(json.dumps(JSON_SCHEMA), "JSON"))  # type: ignore[arg-type]
    read_json = partial(decode_framed_json, schema=columns, codebook=codebook)
    made.append(("json", lambda v: read_json(v).error, _times(framed)))
    return made


def _times(bodies: list[bytes]) -> pl.Series:
    return pl.Series((bodies * 300)[:300], dtype=pl.Binary)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def peak(*, anew: bool = False) -> int:
    """The most bytes that this process has held, or holds from here on (Linux, `man 5 proc`)."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
    return int(line.split()[1]) << 10


def test_bombs_take_neither_memory_nor_time() -> None:
    for name, read, values in bombs():
        read(values[:1])
        before, began = peak(anew=True), time.process_time()
        errors = read(values)
        took, grown = time.process_time() - began, peak() - before
        assert errors.null_count() == 0, name
        assert grown < 200 << 20, name
        assert took < 5, name
