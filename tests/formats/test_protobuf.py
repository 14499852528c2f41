"""Protobuf bodies to columns, held against Google's library; and bodies nobody should have sent."""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SOAK
from tests.formats.protobuf_schemas import Proto, compiled, expected, protos
from workbench.decode.protobuf import SET_MARK, ProtobufMessages
from workbench.decode.protobuf.schemas import ProtobufSchema
from workbench.errors import SchemaError

#: On every path: few records are read one by one, many by column.
TIMES = [1, 250]

SHOP = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/any.proto";
message Order {
  int64 id = 1;
  optional string note = 2;
  State state = 3;
  google.protobuf.Timestamp at = 4;
  google.protobuf.Duration took = 5;
  google.protobuf.Int64Value limit = 6;
  google.protobuf.Struct extra = 7;
  google.protobuf.Empty gift = 8;
  repeated Line lines = 9;
  map<string, int32> counts = 10;
  map<int32, Line> by_place = 11;
  oneof paid { string card = 12; Line cash = 13; }
  uint64 big = 14;
  float ratio = 15;
  bytes photo = 16;
  repeated State states = 17;
  Category category = 18;
  google.protobuf.Any any = 19;
  message Line { string sku = 1; sint32 quantity = 2; fixed64 cents = 3; bool free = 4; }
  enum State { NEW = 0; PAID = 1; }
}
message Category { string name = 1; Category parent = 2; }
message Other { int32 x = 1; message Inner { string y = 1; } }
"""


@cache
def messages(text: str = SHOP) -> ProtobufMessages:
    return ProtobufMessages(text)


@cache
def schema_of(text: str) -> ProtobufSchema:
    return ProtobufSchema(text)


def message_of(name: str, text: str = SHOP) -> Any:
    return GetMessageClass(schema_of(text).named(name))


def read(reader: Any, bodies: list[bytes | None]) -> pl.DataFrame:
    columns, errors, rest = reader.read(pl.Series(bodies, dtype=pl.Binary))
    assert {one.name: one.dtype for one in columns} == dict(reader.fields)
    return pl.DataFrame([*columns, errors.alias("!"), rest.alias("?")])


@settings(max_examples=1_000 if SOAK else 12)
@given(st.data())
def test_what_googles_library_writes_is_read(data: st.DataObject) -> None:
    proto: Proto = data.draw(protos())
    reader = ProtobufMessages(compiled(proto.text)).message(None)
    made = GetMessageClass(reader.node.message)
    rows = data.draw(st.lists(proto.values, min_size=1, max_size=4))
    written = [made(**row) for row in rows]
    bodies = [None, *(one.SerializeToString() for one in written)]
    wanted = [None, *(expected(one) for one in written)]
    for times in TIMES:
        frame = read(reader, bodies * times)
        assert frame["!"].null_count() == frame.height
        assert frame["?"].null_count() == frame.height
        assert frame.drop("!", "?").head(len(bodies)).to_dicts()[1:] == wanted[1:]
        assert frame.tail(len(bodies)).equals(frame.head(len(bodies)))


@settings(max_examples=1_000 if SOAK else 8)
@given(st.binary(max_size=60) | st.data(), st.sampled_from(TIMES))
def test_damage_is_an_error_of_its_record(given_bytes: Any, times: int) -> None:
    order = message_of("shop.Order")
    good = order(id=7, note="x", lines=[{"sku": "a"}], counts={"k": 1}).SerializeToString()
    if isinstance(given_bytes, bytes):
        damaged = given_bytes
    else:
        at = given_bytes.draw(st.integers(0, len(good) - 1))
        damaged = good[:at] + given_bytes.draw(st.binary(max_size=2)) + good[at + 1 :]
    frame = read(messages().message(None), [good, damaged, good] * times)
    alone = read(messages().message(None), [damaged])
    assert frame["!"].gather_every(3).null_count() == times
    assert frame["id"].gather_every(3).to_list() == [7] * times
    # Both paths agree on what is wrong, and on what is unknown.
    assert frame[1].equals(alone)
    if alone["!"][0] is not None:
        assert alone.drop("!").row(0) == (None,) * (alone.width - 1)


@pytest.mark.parametrize("times", TIMES)
def test_every_kind_of_field(times: int) -> None:
    order = message_of("shop.Order")
    full = order(
        id=1 << 60,
        note="",
        state=1,
        lines=[{"sku": "a", "quantity": -3, "cents": 1 << 63}, {}],
        counts={"b": 2, "a": 0},
        by_place={-1: {"sku": "z"}},
        cash={"free": True},
        big=(1 << 64) - 1,
        ratio=0.5,
        photo=b"\xff",
        states=[0, 1, 9],
        limit={"value": 0},
        category={"name": "c", "parent": {"name": "p", "parent": {}}},
    )
    full.at.FromJsonString("2026-11-03T12:00:00.000001Z")
    full.took.seconds, full.took.nanos = -1, -500_000_000
    full.extra.update({"k": [1, None, "x"]})
    full.gift.SetInParent()
    frame = read(messages().message(None), [full.SerializeToString(), b"", None] * times)
    line = {"sku": "", "quantity": 0, "cents": 0, "free": False}
    first, empty, tombstone = frame.head(3).to_dicts()
    assert first == {
        "id": 1 << 60,
        "note": "",
        "state": "PAID",
        "at": datetime(2026, 11, 3, 12, 0, 0, 1, tzinfo=UTC),
        "took": Decimal("-1.5"),
        "limit": 0,
        "extra": '{"k":[1.0,null,"x"]}',
        "gift": True,
        "lines": [{**line, "sku": "a", "quantity": -3, "cents": 1 << 63}, line],
        "counts": [{"key": "a", "value": 0}, {"key": "b", "value": 2}],
        "by_place": [{"key": -1, "value": {**line, "sku": "z"}}],
        "card": None,
        "cash": {**line, "free": True},
        "big": (1 << 64) - 1,
        "ratio": 0.5,
        "photo": b"\xff",
        "states": ["NEW", "PAID", "9"],
        "category": {"name": "c", "parent": '{"name":"p","parent":{}}'},
        "any": None,
        "!": None,
        "?": None,
    }
    assert empty["state"] == "NEW"
    assert empty["note"] is None
    assert empty["lines"] == []
    assert empty["big"] == 0
    assert set(tombstone.values()) == {None}


@pytest.mark.parametrize("times", TIMES)
def test_what_the_columns_do_not_hold_is_kept(times: int) -> None:
    order = message_of("shop.Order")
    fine = order(id=1)
    fine.at.seconds, fine.at.nanos = 5, 1_234
    late = order(id=2)
    late.at.seconds = 253_402_300_800
    bodies = [
        # A field 99 of text, one of a number twice, and one within a line.
        order(id=3).SerializeToString() + b"\x9a\x06\x01x" + b"\xa0\x06\x05\xa0\x06\x06",
        b"\x4a\x04\x0a\x00\x28\x07",
        fine.SerializeToString(),
        late.SerializeToString(),
        order(extra={}).SerializeToString() + b"\x3a\x02\x28\x07",
    ]
    frame = read(messages().message(None), bodies * times)
    assert frame["?"].head(5).to_list() == [
        '{"99":"eA==","100":[5,6]}',
        '{"lines":[{"5":7}]}',
        '{"at":"1970-01-01T00:00:05.000001234Z"}',
        None,
        '{"extra":{"5":7}}',
    ]
    assert frame["id"].head(5).to_list() == [3, 0, 1, None, 0]
    assert "at: a time outside the years 1 to 9999" in frame["!"][3]


def test_proto2_tells_what_is_not_set_and_closed_enums() -> None:
    text = """
    syntax = "proto2";
    message M {
      required int32 a = 1; optional int32 b = 2 [default = 7]; optional E e = 3;
      repeated int32 packed = 4 [packed = true]; repeated int32 loose = 5;
      optional group Part = 6 { optional string x = 1; }
      enum E { ONE = 1; TWO = 2; }
    }"""
    made = message_of("M", text)
    body = made(a=0, packed=[1, 300], loose=[2], part={"x": "y"}, e=2).SerializeToString()
    for times in TIMES:
        frame = read(messages(text).message(None), [body, b"\x08\x01\x18\x09"] * times)
        assert frame.head(2).to_dicts() == [
            {
                "a": 0,
                "b": None,
                "e": "TWO",
                "packed": [1, 300],
                "loose": [2],
                "part": {"x": "y"},
                "!": None,
                "?": None,
            },
            {
                "a": 1,
                "b": None,
                "e": None,
                "packed": [],
                "loose": [],
                "part": None,
                "!": None,
                "?": '{"3":9}',
            },
        ]


@pytest.mark.parametrize("times", TIMES)
def test_a_string_of_proto2_that_is_not_utf8_is_an_error_of_its_record(times: int) -> None:
    text = """
    syntax = "proto2";
    message M {
      optional string a = 1; repeated string b = 2; map<string, string> c = 3; optional M m = 4;
      optional N n = 5; oneof o { string p = 6; bytes q = 7; }
      message N { optional string s = 1; }
    }"""
    good = message_of("M", text)(a="x").SerializeToString()
    bad = {
        "a": b"\x0a\x02\xff\xfe",
        "b": b"\x12\x01y\x12\x01\xff",
        "c": b"\x1a\x06\x0a\x01a\x12\x01\xff",
        "c (a key)": b"\x1a\x06\x0a\x01\xff\x12\x01a\x1a\x06\x0a\x01b\x12\x01a",
        "m": b"\x22\x03\x12\x01\xff",
        "m (a key)": b"\x22\x08\x1a\x06\x0a\x01\xff\x12\x01a",
        "n.s": b"\x2a\x03\x0a\x01\xff",
        "p": b"\x32\x01\xff",
    }
    frame = read(messages(text).message(None), [good, *bad.values(), b"\x3a\x01\xff"] * times)
    told = frame["!"].head(len(bad) + 2).to_list()
    assert [told[0], told[-1]] == [None, None]
    for place, error in zip(bad, told[1:], strict=False):
        assert error.startswith("not Protobuf of its schema: ")
        assert (
            f"{place.split()[0]}: a string that is not UTF-8" in error or "'utf-8' codec" in error
        )
    assert frame["a"].head(2).to_list() == ["x", None]
    assert frame["q"].head(len(told)).to_list()[-1] == b"\xff"


def test_editions_and_sets_and_serialised_files() -> None:
    text = 'edition = "2023"; message M { int32 a = 1; repeated string b = 2; }'
    made = message_of("M", text)
    frame = read(messages(text).message(None), [made(b=["x"]).SerializeToString()] * 300)
    assert frame.row(299) == (None, ["x"], None, None)
    files = ProtobufSchema(SHOP).files
    packed = SET_MARK + base64.b64encode(files.SerializeToString()).decode()
    alone = base64.b64encode(files.file[-1].SerializeToString()).decode()
    for form in (packed, alone):
        body = message_of("shop.Other", form)(x=5).SerializeToString()
        assert read(messages(form).message("shop.Other"), [body])["x"].to_list() == [5]


def test_a_frame_names_its_message() -> None:
    other, inner = message_of("shop.Other")(x=5), message_of("shop.Other.Inner")(y="i")
    bodies = [
        b"\0" + message_of("shop.Order")(id=1).SerializeToString(),
        b"\x02\x04" + other.SerializeToString(),
        b"\x04\x04\x00" + inner.SerializeToString(),
        b"\x02\x14",
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"",
    ]
    seen = {}
    for part in messages().parts(pl.Series(bodies, dtype=pl.Binary)):
        for row in part.rows:
            seen[row] = part.reader.record if part.reader else part.problem
    assert [seen[row] for row in range(3)] == ["shop.Order", "shop.Other", "shop.Other.Inner"]
    assert "no message at [10]" in str(seen[3])
    assert "nested" in str(seen[4])
    assert "it ends within a number" in str(seen[5])


WIDE = "message W { " + "".join(f"optional int64 f{n} = {n};" for n in range(1, 200)) + " }"


@pytest.mark.parametrize("times", [1, 250])
@pytest.mark.parametrize(
    "body",
    [
        b"\x4a\xff\xff\xff\xff\x0f",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + b"x" * 10,
        b"\xff" * 30,
        b"\x0b" * 100_000,
        b"\x12\x02\xff\xfe",
        b"\x09",
        b"\x08",
        b"\x00",
    ],
)
def test_hostile_bodies_are_errors_in_bounded_memory(body: bytes, times: int) -> None:
    frame = read(messages().message(None), [body] * times)
    assert frame["!"].null_count() == 0
    assert frame["id"].null_count() == frame.height


def test_depth_and_bombs_end_no_process() -> None:
    body = b""
    for _ in range(1_000):
        body = b"\x12" + _length(len(body)) + body
    reader = messages().message("shop.Category")
    frame = read(reader, [body, b"\x0a\x01x"] * 150)
    assert frame["!"].null_count() == 150
    assert frame["name"].to_list()[1::2] == ["x"] * 150
    # Two bytes a message, each of which has 200 columns.
    bomb = 'syntax = "proto2"; message B { repeated W w = 1; optional int32 n = 2; }' + WIDE
    reader = messages(bomb).message(None)
    values = [b"\x0a\x00" * 500_000, b"\x10\x05"]
    assert weight(reader) > 1 << 30
    few, many = read(reader, values), read(reader, [*values, *values[1:] * 300])
    for frame in (few, many):
        assert "more than 33,554,432 bytes" in frame["!"][0]
        assert frame["n"][1:].unique().to_list() == [5]
    # Some messages are no bomb.
    assert len(read(reader, [b"\x0a\x00" * 2_000])["w"][0]) == 2_000


def weight(reader: Any) -> int:
    """What a bomb would take."""
    return 500_000 * 16 * int(reader.node.leaves)


def _length(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "schema"),
        ("{}", "Expected"),
        ('syntax = "proto3"; message M { Missing m = 1; }', "Missing"),
        ('syntax = "proto3"; import "other.proto"; message M {}', r"other\.proto"),
        ('syntax = "proto3"; import "/etc/passwd"; message M {}', "passwd"),
        ('syntax = "proto3";' + "message M {" * 5_000 + "}" * 5_000, "recursion"),
        ("AAAA", "schema"),
        (SET_MARK, "without a file"),
    ],
)
def test_schemas_that_cannot_be(text: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SchemaError, match=said):
        messages(text).message(None)
    assert capfd.readouterr() == ("", "")


def test_schemas_refer_to_each_other_but_not_round() -> None:
    money = 'syntax = "proto3"; package m; message Money { int64 cents = 1; }'
    order = 'syntax = "proto3"; import "shop/money.proto"; message O { m.Money total = 1; }'
    reader = ProtobufMessages(order, {"shop/money.proto": money}).message(None)
    assert reader.fields == {"total": pl.Struct({"cents": pl.Int64})}
    round_about = {"a.proto": 'syntax = "proto3"; import "b.proto";'}
    round_about["b.proto"] = 'syntax = "proto3"; import "a.proto";'
    with pytest.raises(SchemaError, match="recursively"):
        ProtobufSchema(
            'syntax = "proto3"; import "a.proto"; message M { int32 a = 1; }', round_about
        )
    for wrong in ("../x.proto", "/tmp/x.proto"):
        with pytest.raises(SchemaError, match="no name of a file"):
            ProtobufSchema(order, {wrong: money})


def test_a_schema_that_grows_when_it_is_written_out_is_refused() -> None:
    levels = ["message L0 { int32 f = 1; }"]
    levels += [f"message L{n} {{ L{n - 1} a = 1; L{n - 1} b = 2; }}" for n in range(1, 30)]
    text = 'syntax = "proto3";' + "".join(levels)
    with pytest.raises(SchemaError, match="more than"):
        messages(text).message("L29")


def test_json_text_is_what_googles_library_says() -> None:
    category = message_of("shop.Category")(name="a", parent={"name": "b", "parent": {"name": "c"}})
    frame = read(messages().message("shop.Category"), [category.SerializeToString()] * 300)
    assert json.loads(frame["parent"][299]) == MessageToDict(category.parent)


@pytest.mark.parametrize(
    ("module", "package"), [("google.protobuf", "protobuf"), ("grpc_tools", "grpcio-tools")]
)
def test_what_is_not_installed_is_told_by_the_name_it_is_installed_by(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SchemaError, match=rf"needs {package} \(pip install"):
        ProtobufSchema(SHOP)
