"""Rows written in every format: read back by us, and by the reference libraries."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.conftest import SOAK
from tests.formats.avro_schemas import records
from tests.formats.protobuf_schemas import Proto, compiled, expected, protos
from tests.formats.support import Served
from workbench.decode.avro import AvroReader
from workbench.decode.avro.writing import avro_encoder
from workbench.decode.framing import frame_of
from workbench.decode.protobuf import ProtobufMessages
from workbench.decode.protobuf.writing import protobuf_encoder
from workbench.decode.registry import Registered
from workbench.errors import AppendRejected, SchemaError

KEY = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}


@settings(max_examples=1_000 if SOAK else 40)
@given(st.data())
def test_fastavro_reads_the_avro_that_is_written(data: st.DataObject) -> None:
    schema, values = data.draw(records())
    rows = data.draw(st.lists(values, min_size=1, max_size=4))
    written = avro_encoder(Registered(json.dumps(schema), id=258))([*rows, None])
    assert written[-1] is None
    parsed = fastavro.parse_schema(schema, named_schemas={})
    for value, row in zip(written, rows, strict=False):
        assert value.startswith(b"\0\0\0\1\2")
        body = io.BytesIO(value[5:])
        read: Any = fastavro.schemaless_reader(body, parsed, None)
        assert not body.read()
        # By what fastavro itself makes of the row: it has types for what it reads.
        again = io.BytesIO()
        fastavro.schemaless_writer(again, parsed, row)
        again.seek(0)
        assert read == fastavro.schemaless_reader(again, parsed, None)
        assert set(read) == set(row)


@settings(max_examples=1_000 if SOAK else 25)
@given(st.data())
def test_googles_library_reads_the_protobuf_that_is_written(data: st.DataObject) -> None:
    proto: Proto = data.draw(protos())
    text = compiled(proto.text)
    made = GetMessageClass(ProtobufMessages(text).message(None).node.message)
    rows = data.draw(st.lists(proto.values, min_size=1, max_size=4))
    write, size = protobuf_encoder(Registered(text, "PROTOBUF", 258))
    assert size == 6
    written = write([*rows, None])
    assert written[-1] is None
    for value, row in zip(written, rows, strict=False):
        assert value.startswith(b"\0\0\0\1\2\0")
        assert expected(made.FromString(value[6:])) == expected(made(**row))


def newest(log: wb.Log, topic: str) -> dict[str, Any]:
    [row] = (
        log.stream(topic, decode="bytes", decode_key="bytes").all().frame(raw=True)[-1].to_dicts()
    )
    return row


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ({"type": "enum", "name": "E", "symbols": ["a", "a"]}, {}),
        ({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 5}, {}),
        ("int", {"default": "x"}),
    ],
    ids=["a symbol twice", "a scale beyond the precision", "a default of another type"],
)
def test_a_schema_that_fastavro_refuses(tmp_path: Path, kind: Any, default: Any) -> None:
    fields = [{"name": "a", "type": kind, **default}]
    (tmp_path / "schemas").mkdir()
    with wb.connect(tmp_path / "log", create=True, registry=tmp_path / "schemas") as log:
        log.create("t")
        with pytest.raises(SchemaError, match="nothing can be written by the schema"):
            log.append("t", [{"a": 1}], encode="avro", register={**KEY, "fields": fields})
        assert log.stream("t").all().frame().is_empty()


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DATE = {"type": "int", "logicalType": "date"}
CLOCK = {"type": "int", "logicalType": "time-millis"}
NOON = datetime(2026, 1, 2, 12, 0, 0, 1_000)
EAST = timezone(timedelta(hours=12))
INNER = {
    "type": "record",
    "name": "In",
    "fields": [{"name": "n", "type": "int"}, {"name": "x", "type": ["null", "R"]}],
}


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("int", 1.5, None),
        ("int", True, None),
        ("int", 1 << 31, None),
        ("long", -(1 << 63) - 1, None),
        ("long", np.int16(5), 5),
        ("double", (1 << 53) + 1, None),
        ("double", True, None),
        ("double", 2, 2.0),
        ("boolean", 1, None),
        ("string", b"x", None),
        (MILLIS, NOON, NOON.replace(tzinfo=UTC)),
        (MILLIS, NOON.replace(tzinfo=EAST), NOON.replace(hour=0, tzinfo=UTC)),
        (MILLIS, NOON.replace(microsecond=1, tzinfo=UTC), None),
        (MILLIS, 5, datetime(1970, 1, 1, 0, 0, 0, 5_000, UTC)),
        (LOCAL, NOON, NOON),
        (LOCAL, NOON.replace(tzinfo=UTC), None),
        (DATE, NOON.date(), NOON.date()),
        (DATE, NOON, None),
        (CLOCK, NOON.time(), NOON.time()),
        (CLOCK, NOON.time().replace(microsecond=999), None),
        ({"type": "int", "connect.name": "io.debezium.time.Date"}, NOON.date(), NOON.date()),
        ({"type": "array", "items": ["null", "int"]}, [1, None, 1.5], None),
        ({"type": "map", "values": "int"}, {"a": 1.5}, None),
        (["null", INNER], {"n": 1, "x": {"v": {"n": 1.5, "x": None}}}, None),
    ],
    ids=str,
)  # fmt: skip
def test_avro_is_exactly_the_row_or_refused(
    monkeypatch: pytest.MonkeyPatch, kind: Any, value: Any, read: Any
) -> None:
    """By itself fastavro writes 1 for 1.5 and for true, and takes noon for noon in Tokyo."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    text = json.dumps({"type": "record", "name": "R", "fields": [{"name": "v", "type": kind}]})
    encode = avro_encoder(Registered(text, id=1))
    if read is None:
        with pytest.raises(AppendRejected, match="row 0 is not of the schema 1"):
            encode([{"v": value}])
    else:
        found = AvroReader(text).read(encode([{"v": value}]).bin.slice(5))
        assert found.columns[0].to_list() == [read]


PROTO = """syntax = "proto3"; import "google/protobuf/wrappers.proto";
enum E { A = 0; B = 1; }
message M { int32 i = 1; bool b = 2; double d = 3; float f = 4; E e = 5; repeated bool l = 6;
  google.protobuf.DoubleValue w = 7; oneof one { int32 p = 8; string q = 9; } }"""


#: Rows that would be something else as messages, and what is said of them.
NO_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"i": True}, "got a boolean"),
    ({"b": 2}, "2 is neither true nor false"),
    ({"l": [True, 1]}, "1 is neither"),
    ({"d": (1 << 53) + 1}, "is no double"),
    ({"w": True}, "True is no double"),
    ({"f": 1e300}, "1e.300 is no float"),
    ({"e": 1.5}, "'float' object"),
    ({"p": 1, "q": "x"}, "of one it has p and q, not one"),
]


def test_a_message_is_exactly_the_row_or_refused() -> None:
    encode, size = protobuf_encoder(Registered(PROTO, "PROTOBUF", 1))
    good = {"i": 1, "b": True, "d": 2, "f": 0.5, "e": "B", "l": [False], "p": 1, "q": None}
    bodies = encode([good, {"e": 0, "q": "x"}]).bin.slice(size)
    columns = ProtobufMessages(PROTO).message(None).read(bodies).columns
    found = {one.name: one.to_list() for one in columns}
    assert (found["p"], found["q"], found["e"]) == ([1, None], [None, "x"], ["B", "A"])
    for row, said in NO_MESSAGES:
        with pytest.raises(AppendRejected, match=said):
            encode([row])


def test_nanoseconds_of_a_frame_are_refused(tmp_path: Path, registry: Served) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "v", "type": LOCAL}]}
    frame = pl.DataFrame({"v": pl.Series([1_000, 1]).cast(pl.Datetime("ns"))})
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("t")
        with pytest.raises(AppendRejected, match="row 1, field 'v': a time finer"):
            log.append("t", frame, encode="avro", register=schema)


def test_text(log: wb.Log) -> None:
    log.create("lines")
    log.append("lines", ["eins", "", "zwei ä", None], encode="text")
    log.append("lines", pl.DataFrame({"value": ["drei"], "who": ["k"]}), encode="text", key="who")
    frame = log.stream("lines").all().frame()
    assert frame["value"].to_list() == ["eins", "", "zwei ä", None, "drei"]
    assert frame["key"].to_list()[-1] == "k"
    for wrong in ({"value": 5}, {"text": "x"}, 7):
        with pytest.raises(AppendRejected, match="row 1 is not a text"):
            log.append("lines", ["a", wrong], encode="text")
    with pytest.raises(AppendRejected, match="not a str"):
        log.append("lines", "abc", encode="text")
    assert log.stream("lines").all().frame().height == 5


def test_a_function_of_the_row(log: wb.Log) -> None:
    log.create("numbers")
    log.append("numbers", [{"n": 1}, None, {"n": 3}], encode=lambda row: b"%d" % row["n"])
    assert log.stream("numbers", decode="text").all().frame()["value"].to_list() == ["1", None, "3"]
    with pytest.raises(AppendRejected, match=r"row 0.* a str, not bytes"):
        log.append("numbers", [{"n": 1}], encode=lambda row: "1")  # type: ignore[arg-type, return-value]
    with pytest.raises(AppendRejected, match="no encoding 'xml'"):
        log.append("numbers", [{"n": 1}], encode="xml")


def test_keys_by_a_schema(tmp_path: Path, registry: Served) -> None:
    proto = 'syntax = "proto3"; message Key { int32 id = 1; }'
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        for topic, how, schema in (
            ("a", "avro", KEY),
            ("p", "protobuf", proto),
            ("j", "jsonschema", {"type": "object", "required": ["id"]}),
        ):
            log.create(topic)
            more: dict[str, Any] = {"encode_key": how, "register_key": schema}
            log.append(topic, [{"k": {"id": 7}, "n": 1}, {"k": None}], key="k", **more)
            log.append(topic, [None], key=lambda row: {"id": 8}, encode_key=how)
            keys = log.stream(topic).all().frame()["key"].to_list()
            assert keys == ['{"id":7}', None, '{"id":8}'], topic
        assert registry.subjects == {"a-key": [1], "p-key": [2], "j-key": [3]}
        assert newest(log, "a")["key"] == frame_of(1) + b"\x10"
        log.append("a", pl.DataFrame({"k": ["x"]}), key="k", encode_key=str.encode)
        assert newest(log, "a")["key"] == b"x"
        log.append("a", [{"k": {"id": 9}}], key="k", encode_key="json")
        assert newest(log, "a")["key"] == b'{"id":9}'
        # A text is a key of its own.
        log.create("s")
        log.append("s", [{"k": "A-1"}], key="k", encode_key="avro", register_key='"string"')
        assert log.stream("s").all().frame()["key"].to_list() == ["A-1"]
        log.create("x")
        with pytest.raises(SchemaError, match="no subject x-key"):
            log.append("x", [{"k": {"id": 1}}], key="k", encode_key="avro")
        with pytest.raises(AppendRejected, match="row 0 is not of the schema 1"):
            log.append("a", [{"k": {"no": 1}}], key="k", encode_key="avro")
        with pytest.raises(AppendRejected, match="key= does not say which"):
            log.append("a", [{"k": {"id": 1}}], encode_key="avro")
        with pytest.raises(AppendRejected, match="keys are not written as 'debezium'"):
            log.append("a", [{"k": {"id": 1}}], key="k", encode_key="debezium")


def test_what_is_no_json_of_its_schema_is_refused(tmp_path: Path, registry: Served) -> None:
    money = {"$id": "money", "type": "object", "properties": {"cents": {"type": "integer"}}}
    registry.add("money", money, kind="JSON")
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "integer", "minimum": 1},
            "kind": {"enum": ["a", "b"]},
            "price": {"$ref": "money.json"},
        },
    }
    links = [{"name": "money.json", "subject": "money", "version": 1}]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        asked = {"schema": json.dumps(schema), "references": links}
        log.append(
            "orders", [{"id": 1, "price": {"cents": 5}}], encode="jsonschema", register=asked
        )
        assert registry.schemas[2]["references"] == links
        for row, said in (
            ({"id": 0}, "id: 0 is less than the minimum of 1"),
            ({"kind": "a"}, "'id' is a required property"),
            ({"id": 1, "kind": "c"}, r"kind: 'c' is not one of \['a', 'b'\]"),
            ({"id": 1, "price": {"cents": "x"}}, "price.cents: 'x' is not of type 'integer'"),
            ({"id": float("nan")}, "no JSON form"),
        ):
            with pytest.raises(AppendRejected, match=f"row 1 is not of the schema 2: .*{said}"):
                log.append("orders", [{"id": 1}, row], encode="jsonschema")
        assert log.stream("orders").all().frame()["id"].to_list() == [1]
        before = len(registry.schemas)
        for bad, said in (
            ("[]", "not a JSON Schema"),
            ({"type": "objekt"}, "not a JSON Schema"),
            ({"schema": "{}", "references": [{"name": "x"}]}, "cannot be followed"),
            ({"schema": "{}", "references": [7]}, "cannot be followed"),
            ({"schema": "{}", "references": [{**links[0], "version": 9}]}, "no version 9"),
        ):
            with pytest.raises(SchemaError, match=said):
                log.append("orders", [{"id": 1}], encode="jsonschema", register=bad)
        assert len(registry.schemas) == before


def test_avro_and_protobuf_are_registered_with_what_they_refer_to(
    tmp_path: Path, registry: Served
) -> None:
    money = {"type": "record", "name": "shop.Money", "fields": [{"name": "c", "type": "long"}]}
    order = {"type": "record", "name": "Order", "fields": [{"name": "t", "type": "shop.Money"}]}
    registry.add("money", money)
    text = 'syntax = "proto3"; message Money { int64 c = 1; }'
    registry.add("money-proto", text, kind="PROTOBUF")
    outer = 'syntax = "proto3"; import "money.proto"; message Order { Money t = 1; }'
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        for topic, how, schema, name, subject in (
            ("a", "avro", json.dumps(order), "shop.Money", "money"),
            ("p", "protobuf", outer, "money.proto", "money-proto"),
        ):
            links = [{"name": name, "subject": subject, "version": 1}]
            log.create(topic)
            row = {"t": {"c": 5}}
            asked = {"schema": schema, "references": links}
            log.append(topic, [row], encode=how, register=asked)
            log.append(topic, [row], encode=how)
            assert log.stream(topic).all().frame()["t"].to_list() == [{"c": 5}] * 2
            assert registry.schemas[registry.subjects[f"{topic}-value"][0]]["references"] == links
    # A folder keeps them too.
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "money.avsc").write_text(json.dumps(money))
    links = [{"name": "shop.Money", "subject": "money", "version": 1}]
    with wb.connect(tmp_path / "log", registry=tmp_path / "schemas") as log:
        log.create("f")
        asked = {"schema": json.dumps(order), "references": links}
        log.append("f", [{"t": {"c": 6}}], encode="avro", register=asked)
        assert log.stream("f").all().frame()["t"].to_list() == [{"c": 6}]


ADA, BOB = {"id": 1, "name": "Ada", "op": "x"}, {"id": 2, "name": "Bob", "op": "y"}
CHANGES: list[Any] = [
    {"op": "r", "before": None, "after": ADA, "source": {"lsn": 1}, "ts_ms": 5},
    {"op": "c", "after": BOB, "source": {"lsn": 2}, "ts_ms": 6},
    {"op": "u", "before": BOB, "after": {**BOB, "name": "Bo"}, "ts_ms": 7},
    {"op": "d", "before": ADA, "ts_ms": 8},
    None,
]


def test_changes_are_written_and_written_again(log: wb.Log) -> None:
    log.create("people")
    ids = iter([1, 2, 2, 1, 1])
    log.append("people", CHANGES, encode="debezium", key=lambda row: next(ids))
    stream = log.stream("people", decode="debezium")
    table = stream.table(by="key", name=pl.col("name").last())
    assert table.now().frame.rows() == [("2", "Bo")]
    assert table.at({0: 2}).frame["name"].sort().to_list() == ["Ada", "Bob"]
    frame = stream.all().frame()
    log.create("again")
    columns = frame.drop("topic", "partition", "offset", "timestamp")
    log.append("again", columns.drop("key"), encode="debezium")
    again = log.stream("again", decode="debezium").all().frame()
    assert again.drop("topic", "partition", "offset", "timestamp", "key").equals(
        columns.drop("key")
    )
    for wrong, said in (
        ({"op": "q", "after": ADA}, "its op is 'q', none of c, u"),
        ({"op": "c"}, "with op 'c' it has no after"),
        ({"op": "d", "after": ADA}, "with op 'd' it has after"),
        ({"op": "c", "before": ADA, "after": ADA}, "it has before"),
        ({"op": "c", "after": ADA, "name": "Eve"}, "'name' is neither"),
        ({"op": "c", "after": ADA, "extra": 1}, "'extra' is neither"),
        ({"id": 1}, "its op is None"),
    ):
        with pytest.raises(AppendRejected, match=f"row 0 is not a Debezium change: .*{said}"):
            log.append("people", [wrong], encode="debezium")


def test_changes_are_written_by_a_schema(tmp_path: Path, registry: Served) -> None:
    row = {
        "type": "record",
        "name": "Value",
        "fields": [{"name": "id", "type": "int"}, {"name": "name", "type": "string"}],
    }
    fields = [
        {"name": "before", "type": ["null", row], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": None},
    ]
    envelope = {"type": "record", "name": "Envelope", "fields": fields}
    changes = [
        {"op": "c", "after": {"id": 1, "name": "Ada"}, "ts_ms": 1},
        {"op": "d", "before": {"id": 1, "name": "Ada"}, "ts_ms": 2},
    ]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("people")
        more: dict[str, Any] = {"encode_key": "avro", "register_key": KEY}
        log.append(
            "people",
            changes,
            encode="debezium+avro",
            register=envelope,
            key=lambda row: {"id": 1},
            **more,
        )
        stream = log.stream("people", decode="debezium")
        frame = stream.all().frame()
        assert frame.select("key", "op", "id", "name").rows() == [
            ('{"id":1}', "c", 1, "Ada"),
            ('{"id":1}', "d", 1, "Ada"),
        ]
        assert stream.table(by="key").now().frame.is_empty()
        columns = frame.drop("topic", "partition", "offset", "timestamp", "key", "schema_id")
        log.append("people", columns, encode="debezium+avro")
        assert stream.all().frame()["name"].to_list() == ["Ada"] * 4


EVENTS: list[Any] = [
    {
        "id": "1",
        "source": "/shop",
        "type": "order.placed",
        "time": datetime(2026, 11, 3, 12, tzinfo=UTC),
        "subject": "o-ä",
        "traceparent": "00-0af7",
        "data": {"total": 5},
    },
    {
        "id": "2",
        "source": "/shop",
        "type": "photo",
        "data": b"\x89PNG",
        "datacontenttype": "image/png",
    },
    {"specversion": "1.0", "id": "3", "source": "/shop", "type": "order.gone"},
    None,
]


@pytest.mark.parametrize("how", ["cloudevents", "cloudevents:binary"])
def test_events_are_written_and_written_again(log: wb.Log, how: str) -> None:
    log.create("events")
    log.append("events", EVENTS, encode=how, headers=[("mine", b"1")], timestamp=lambda row: 5)
    stream = log.stream("events", decode="cloudevents", time="time")
    frame = stream.all().frame()
    assert "decode_error" not in frame.columns or frame["decode_error"].null_count() == 4
    assert frame["id"].to_list() == ["1", "2", "3", None]
    assert frame["specversion"].to_list() == ["1.0"] * 3 + [None]
    assert frame["time"][0] == datetime(2026, 11, 3, 12, tzinfo=UTC)
    assert frame["subject"][0] == "o-ä"
    assert frame["traceparent"][0] == "00-0af7"
    assert frame["data"].struct.field("total").to_list() == [5, None, None, None]
    assert frame["data_base64"].to_list() == [None, "iVBORw==", None, None]
    raw = stream.all().frame(raw=True)["headers"].to_list()
    assert raw[0][0] == {"name": "mine", "value": b"1"}
    names = [one["name"] for one in raw[0]]
    kinds = [one["value"] for one in raw[0] if one["name"] == "content-type"]
    if how == "cloudevents":
        assert names == ["mine", "content-type"]
        assert kinds == [b"application/cloudevents+json; charset=UTF-8"]
    else:
        assert {"ce_id", "ce_specversion", "ce_time"} <= set(names)
        assert kinds == [b"application/json"]
        assert newest(log, "events")["value"] is None
    columns = frame.drop("topic", "partition", "offset", "timestamp", "key")
    log.append("events", columns.drop_nulls("id"), encode=how)
    again = stream.all().frame()[4:]
    assert again.select(columns.columns).equals(columns[:3])


def test_what_is_no_event_is_refused(log: wb.Log) -> None:
    log.create("events")
    good = {"id": "1", "source": "/s", "type": "t"}
    for wrong, said in (
        ({"source": "/s", "type": "t"}, "its id is None"),
        ({**good, "id": ""}, "its id is ''"),
        ({**good, "specversion": "0.3"}, "specversion is '0.3'"),
        ({**good, "Trace-Id": "x"}, "no attribute can be called 'Trace-Id'"),
        ({**good, "trace": {"a": 1}}, "trace is a dict"),
        ({**good, "data": 1, "data_base64": "aGk="}, "data and data_base64"),
    ):
        for how in ("cloudevents", "cloudevents:binary"):
            with pytest.raises(AppendRejected, match=f"row 0 is not a CloudEvent: .*{said}"):
                log.append("events", [wrong], encode=how)
    with pytest.raises(AppendRejected, match="neither bytes nor text"):
        log.append(
            "events",
            [{**good, "datacontenttype": "image/png", "data": {"a": 1}}],
            encode="cloudevents:binary",
        )
