"""Debezium's change events, CloudEvents, and functions, on an embedded log."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import workbench as wb
from tests.formats.support import Served, avro_body, framed
from workbench.decode.avro.nodes import parse_avro
from workbench.decode.avro.records import decode_one_by_one
from workbench.decode.decimals import scale_and_bytes
from workbench.decode.framing import frame_of
from workbench.errors import SchemaError, Truncated, UnknownFields


def change(op: str, before: Any, after: Any, lsn: int = 0) -> dict[str, Any]:
    source = {"connector": "postgresql", "table": "people", "lsn": lsn}
    return {"op": op, "before": before, "after": after, "source": source, "ts_ms": 1_000 + lsn}


ADA, ADA_2 = {"id": 1, "name": "Ada", "op": "x"}, {"id": 1, "name": "Ada L.", "op": "x"}
BOB = {"id": 2, "name": "Bob", "op": "y"}
CHANGES = [
    change("r", None, ADA, 1),
    change("c", None, BOB, 2),
    change("u", ADA, ADA_2, 3),
    change("d", BOB, None, 4),
]
KEYS = ['{"id":1}', '{"id":2}', '{"id":1}', '{"id":2}']


def filled(log: wb.Log, rows: list[tuple[str, bytes | None]]) -> None:
    log.create("people")
    log.append("people", [{"key": k.encode(), "value": v} for k, v in rows], encode="bytes")


@pytest.mark.parametrize("enclosed", [False, True])
def test_changes_are_a_table(log: wb.Log, enclosed: bool) -> None:
    values = [
        {"schema": {"type": "struct"}, "payload": one} if enclosed else one for one in CHANGES
    ]
    rows: list[tuple[str, bytes | None]] = [
        (key, json.dumps(value).encode()) for key, value in zip(KEYS, values, strict=True)
    ]
    filled(log, [*rows, ('{"id":2}', None)])
    stream = log.stream("people", decode="debezium")
    assert "json" in stream.decided["people"]
    frame = stream.all().frame()
    assert frame["op"].to_list() == ["r", "c", "u", "d", None]
    assert frame["id"].to_list() == [1, 2, 1, 2, None]
    assert frame["name"].to_list() == ["Ada", "Bob", "Ada L.", "Bob", None]
    assert frame["row_op"].to_list() == ["x", "y", "x", "y", None]
    assert frame["before"].to_list()[2] == ADA
    assert frame["after"].to_list()[3] is None
    assert frame["source"].struct.field("lsn").to_list() == [1, 2, 3, 4, None]
    names = stream.table(by="key", name=pl.col("name").last())
    assert names.now().frame.to_dicts() == [{"key": '{"id":1}', "name": "Ada L."}]
    assert names.at({0: 2}).frame["name"].to_list() == ["Ada", "Bob"]
    # The deletion alone ends the row; the tombstone that follows it changes nothing.
    assert names.at({0: 4}).frame["name"].to_list() == ["Ada L."]


#: As the PostgreSQL connector writes it: most of what there could be is null.
SOURCE = {
    "version": "3.0.0.Final",
    "connector": "postgresql",
    "name": "fulfillment",
    "ts_ms": 1_730_000_000_000,
    "snapshot": "false",
    "db": "postgres",
    "sequence": '["24023119","24023128"]',
    "schema": "public",
    "table": "people",
    "txId": 555,
    "lsn": 24_023_128,
    "xmin": None,
}


def whole(op: str, before: Any, after: Any, transaction: Any = None, **more: Any) -> bytes:
    """An envelope with all that a connector puts into one."""
    event = {"before": before, "after": after, "source": SOURCE, "transaction": transaction}
    return json.dumps({**event, "op": op, "ts_ms": 1, "ts_us": 1, "ts_ns": 1, **more}).encode()


def test_envelopes_as_a_connector_writes_them(log: wb.Log) -> None:
    order = {"id": "571:53195829", "total_order": 1, "data_collection_order": 1}
    key = {"schema": {"type": "struct", "optional": False}, "payload": {"id": 1}}
    message = {"prefix": "foo", "content": "aGk="}
    rows = [
        (key, whole("r", None, ADA)),
        (key, whole("u", None, ADA_2, order)),
        ({"prefix": "foo"}, whole("m", None, None, message=message)),
        (None, whole("t", None, None)),
        ({"id": 2}, whole("c", None, BOB)),
    ]
    keyed = [(None if k is None else json.dumps(k, separators=(",", ":")), v) for k, v in rows]
    log.create("people")
    log.append(
        "people",
        [{"key": None if k is None else k.encode(), "value": value} for k, value in keyed],
        encode="bytes",
    )
    stream = log.stream("people", decode="debezium")
    # A field that is always null tells nothing, and is not warned of.
    frame = stream.all().frame()
    assert frame["key"].to_list() == ['{"id":1}', '{"id":1}', '{"prefix":"foo"}', None, '{"id":2}']
    assert frame["transaction"].to_list() == [None, order, None, None, None]
    assert frame["message"].to_list()[2] == message
    assert frame["op"].to_list() == ["r", "u", "m", "t", "c"]
    # A message and a truncation are of no row; the second is told.
    with pytest.warns(Truncated, match="emptied its table 1 time"):
        latest = stream.table(by="key").now().frame
    assert latest.select("key", "name").rows() == [('{"id":1}', "Ada L."), ('{"id":2}', "Bob")]
    with pytest.warns(Truncated):
        assert stream.table(by="id", n=pl.len()).now().frame.rows() == [(1, 2), (2, 1)]
    # What is there and not known is told, its numbers as they were written.
    more = whole("c", None, BOB, new={"a": 12345678901234567890, "b": None})
    log.append("people", [{"key": b'{"id":2}', "value": more}], encode="bytes")
    with pytest.warns(UnknownFields, match=r"new \(1\)"):
        stream.all().frame()
    rest = stream.all().frame(rest=True)["_rest"]
    assert rest.to_list()[-1] == '{"new":{"a":12345678901234567890}}'


def test_changes_of_mongodb_have_their_documents_as_text(log: wb.Log) -> None:
    document = '{"_id": {"$numberLong": "1004"},"first_name": "Anne"}'
    update = {"removedFields": None, "updatedFields": '{"first_name": "Anne"}'}
    filled(
        log,
        [
            ('{"id":"1004"}', whole("c", None, document)),
            ('{"id":"1005"}', whole("u", None, document, updateDescription=update)),
            ('{"id":"1005"}', whole("d", None, None)),
        ],
    )
    stream = log.stream("people", decode="debezium")
    assert stream.all().frame()["after"].to_list() == [document, document, None]
    assert stream.table(by="key").now().frame["after"].to_list() == [document]


def test_changes_in_avro(tmp_path: Path, registry: Served) -> None:
    row = {
        "type": "record",
        "name": "Value",
        "fields": [
            {"name": "id", "type": "int"},
            {"name": "since", "type": {"type": "int", "connect.name": "io.debezium.time.Date"}},
        ],
    }
    key_schema = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "int"}]}
    envelope = {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "before", "type": ["null", row]},
            {"name": "after", "type": ["null", "Value"]},
            {"name": "op", "type": "string"},
            {"name": "ts_ms", "type": ["null", "long"]},
        ],
    }
    value_id, key_id = registry.add("v", envelope), registry.add("k", key_schema)
    ada = {"id": 1, "since": 20_000}
    changes = [("c", None, ada), ("u", ada, {**ada, "since": 20_001}), ("d", ada, None)]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("people")
        values = [
            {"op": op, "before": before, "after": after, "ts_ms": 5}
            for op, before, after in changes
        ]
        key = framed(key_id, key_schema, {"id": 1})
        rows = [{"key": key, "value": framed(value_id, envelope, one)} for one in values]
        log.append("people", rows, encode="bytes")
        stream = log.stream("people", decode="debezium")
        frame = stream.all().frame()
        assert frame["since"].dtype == pl.Date
        assert frame["key"].to_list() == ['{"id":1}'] * 3
        table = stream.table(by="key", since=pl.col("since").last())
        assert table.at({0: 2}).frame.rows() == [('{"id":1}', frame["since"][1])]
        assert table.now().frame.is_empty()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


#: A column by each name that Kafka Connect or Debezium gives to what JSON has no form for.
NAMED = {
    "on": ("io.debezium.time.Date", 20_000, date(2024, 10, 4)),
    "day": ("org.apache.kafka.connect.data.Date", -1, date(1969, 12, 31)),
    "clock": ("io.debezium.time.Time", 45_000_500, "12:30:00.5"),
    "micro": ("io.debezium.time.MicroTime", 1, "00:00:00.000001"),
    "span": ("io.debezium.time.MicroTime", -362_439_000_000, "-100:40:39"),
    "time": ("org.apache.kafka.connect.data.Time", 86_399_000, "23:59:59"),
    "at": ("io.debezium.time.Timestamp", 1_700_000_000_123, utc("2023-11-14T22:13:20.123")),
    "fine": ("io.debezium.time.MicroTimestamp", -1, utc("1969-12-31T23:59:59.999999")),
    "stamp": ("org.apache.kafka.connect.data.Timestamp", 0, utc("1970-01-01T00:00:00")),
    "nano": ("io.debezium.time.NanoTimestamp", 1_700_000_000_000_000_001, 17 * 10**17 + 1),
    "zoned": ("io.debezium.time.ZonedTimestamp", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    "sum": (
        "org.apache.kafka.connect.data.Decimal",
        base64.b64encode((10**37 + 1).to_bytes(16, "big")).decode(),
        Decimal("100000000000000000000000000000000000.01"),
    ),
    "price": ("io.debezium.data.VariableScaleDecimal", {"scale": 3, "value": "AeJA"}, "123.456"),
    "large": ("io.debezium.data.VariableScaleDecimal", {"scale": -2, "value": "/w=="}, "-100"),
}  # fmt: skip


def test_types_that_json_has_no_form_for(log: wb.Log) -> None:
    """As a converter encloses the schema of each value, of a row and of rows in a list."""

    def event(row: dict[str, Any]) -> bytes:
        fields: list[dict[str, Any]] = [
            {"field": name, "name": kind, "parameters": {"scale": "2"}}
            for name, (kind, _, _) in NAMED.items()
        ]
        item = {"type": "struct", "fields": [{"field": "on", "name": NAMED["on"][0]}]}
        fields.append({"field": "list", "type": "array", "items": item})
        schema = {"fields": [{"field": name, "fields": fields} for name in ("before", "after")]}
        payload = {"op": "c", "before": None, "after": row}
        return json.dumps({"schema": schema, "payload": payload}).encode()

    whole = {name: given for name, (_, given, _) in NAMED.items()}
    nothing = dict.fromkeys(whole)
    log.create("t")
    rows = [{**whole, "list": [{"on": 1}, None]}, {**nothing, "list": None}, {**whole, "on": "x"}]
    rows += [{**whole, "price": {"scale": 1 << 30, "value": "AA=="}}, {**whole, "day": 10**15}]
    log.append("t", [{"value": event(row)} for row in rows], encode="bytes")
    frame = log.stream("t", decode="debezium").all().frame()
    for name, (_, _, expected) in NAMED.items():
        assert frame[name].to_list()[:2] == [expected, None], name
    assert frame["list"].to_list()[:2] == [[{"on": date(1970, 1, 2)}, None], None]
    assert frame["decode_error"].is_null().to_list() == [True, True, False, False, False]


def test_types_that_json_has_no_form_for_by_json_schema(tmp_path: Path) -> None:
    """As a converter registers the schema of a table, optional columns and rows in a list too."""
    shapes: dict[type, Any] = {
        int: {"type": "integer", "connect.type": "int64"},
        str: {"type": "string"},
        dict: {"type": "object", "properties": {"scale": {"type": "integer"}}},
    }
    columns: dict[str, Any] = {
        name: {"oneOf": [{"type": "null"}, {**shapes[type(given)], "title": kind}]}
        for name, (kind, given, _) in NAMED.items()
    }
    decimal = {"type": "number", "title": NAMED["sum"][0], "connect.type": "bytes"}
    decimal["connect.parameters"] = {"scale": "2", "connect.decimal.precision": "38"}
    columns["sum"] = columns["plain"] = {"oneOf": [{"type": "null"}, decimal]}
    columns["list"] = {"type": "array", "items": {"$ref": "#/definitions/item"}}
    row = {"oneOf": [{"type": "null"}, {"type": "object", "properties": columns}]}
    schema = {
        "type": "object",
        "properties": {"op": {"type": "string"}, "before": row, "after": row},
        "definitions": {"item": {"type": "object", "properties": {"on": columns["on"]}}},
    }
    whole = {name: given for name, (_, given, _) in NAMED.items()}
    whole |= {"plain": 1.5, "list": [{"on": 1}]}
    rows = [whole, {**dict.fromkeys(columns), "list": []}, {**whole, "on": "x"}]
    rows.append({**whole, "sum": "?"})
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "1.schema.json").write_text(json.dumps(schema))
    with wb.connect(tmp_path / "log", create=True, registry=tmp_path / "schemas") as other:
        other.create("t")
        events = [{"op": "c", "before": None, "after": one} for one in rows]
        values = [frame_of(1) + json.dumps(one).encode() for one in events]
        other.append("t", [{"value": value} for value in values], encode="bytes")
        frame = other.stream("t", decode="debezium").all().frame()
    for name, (_, _, expected) in NAMED.items():
        assert frame[name].to_list()[:2] == [expected, None], name
    assert frame["plain"].to_list()[:2] == [Decimal("1.50"), None]
    assert frame["list"].to_list()[:2] == [[{"on": date(1970, 1, 2)}], []]
    assert frame["decode_error"].is_null().to_list() == [True, True, False, False]


def test_a_decimal_of_any_scale_in_avro(log: wb.Log, tmp_path: Path) -> None:
    """It is text, and written again as what it was; a bomb is an error of its record."""
    number = {
        "type": "record",
        "name": "VariableScaleDecimal",
        "namespace": "io.debezium.data",
        "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    }
    items = {"type": "array", "items": "io.debezium.data.VariableScaleDecimal"}
    fields = [{"name": "n", "type": ["null", number]}, {"name": "items", "type": items}]
    schema = {"type": "record", "name": "R", "fields": fields}
    texts = ["123.456", "-0.01", "0", "1" + "0" * 60, None]
    rows = [{"n": one, "items": [one, "7"] if one else []} for one in texts]
    (tmp_path / "schemas").mkdir()
    with wb.connect(tmp_path / "avro", create=True, registry=tmp_path / "schemas") as avro:
        avro.create("t")
        avro.append("t", rows, encode="avro", register=schema)
        bomb = {"n": {"scale": 1 << 30, "value": b"\1"}, "items": []}
        avro.append("t", [{"value": framed(1, schema, bomb)}], encode="bytes")
        frame = avro.stream("t").all().frame()
        assert frame["n"].to_list() == [*texts, None]
        assert frame.select("n", "items").to_dicts()[:-1] == rows
        assert frame["decode_error"].is_null().to_list() == [True] * 5 + [False]
        # One by one, as what cannot be read by column is, and within a type within itself.
        node = parse_avro(json.dumps(schema))
        bodies = pl.Series([avro_body(schema, {"n": None, "items": []})], dtype=pl.Binary)
        assert decode_one_by_one(bodies, node)[0][0].to_list() == [None]
        tree = {
            "type": "record",
            "name": "T",
            "fields": [*fields, {"name": "in", "type": ["null", "T"]}],
        }
        inner = {"n": scale_and_bytes("1.5"), "items": [], "in": None}
        value = framed(2, tree, {**inner, "in": {**inner, "in": inner}})
        avro.create("u")
        avro.append("u", [{"n": None, "items": [], "in": None}], encode="avro", register=tree)
        avro.append("u", [{"value": value}], encode="bytes")
        last = avro.stream("u").all().frame()
        assert last["n"].to_list() == [None, "1.5"]
        assert json.loads(last["in"][1])["in"]["n"] == "1.5"


def test_what_is_no_change_is_said(log: wb.Log) -> None:
    filled(log, [("a", json.dumps(change("c", None, ADA)).encode())] * 3)
    stream = log.stream("people", decode="debezium")
    assert stream.schema["name"] == pl.String
    other = json.dumps(change("zap", None, ADA)).encode()
    log.append("people", [{"value": other}, {"value": b"{}"}, {"value": b"?"}], encode="bytes")
    errors = stream.all().frame()["decode_error"].to_list()
    assert errors[:3] == [None] * 3
    assert "no Debezium envelope" in errors[3]
    assert "no Debezium envelope" in errors[4]
    assert "not JSON" in errors[5]
    log.create("plain")
    log.append("plain", [{"a": 1}])
    with pytest.raises(SchemaError, match="no Debezium envelopes"):
        _ = log.stream("plain", decode="debezium").schema


def test_cloudevents_of_both_modes_are_one_frame(log: wb.Log) -> None:
    log.create("events")
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/shop",
        "type": "order.placed",
        "time": "2026-11-03T12:00:00.123456789Z",
        "data": {"total": 5},
    }
    binary = {
        "ce_specversion": b"1.0",
        "ce_id": b"2",
        "ce_source": b"/shop",
        "ce_type": b"order.paid",
    }
    binary |= {"ce_time": b"2026-11-03T13:00:00Z", "ce_subject": b"o-1"}
    headers = [{"name": name, "value": value} for name, value in binary.items()]
    kind = {"name": "content-type", "value": b"application/json; charset=utf-8"}
    image = [*headers, {"name": "content-type", "value": b"image/png"}]
    rows = [
        {"value": json.dumps(event).encode(), "headers": []},
        {"value": b'{"total":7}', "headers": [*headers, kind]},
        {"value": b"\x89PNG", "headers": image},
        {"value": b'1,"id":"forged"', "headers": [*headers, kind]},
        {"value": None, "headers": []},
    ]
    log.append("events", rows, encode="bytes")
    frame = log.stream("events", decode="cloudevents", time="time").all().frame(rest=True)
    assert frame["id"].to_list() == ["1", "2", "2", None, None]
    assert frame["type"].to_list() == ["order.placed", "order.paid", "order.paid", None, None]
    assert frame["subject"].to_list() == [None, "o-1", "o-1", None, None]
    assert frame["data"].struct.field("total").to_list() == [5, 7, None, None, None]
    assert frame["data_base64"].to_list()[2] == "iVBORw=="
    assert frame["time"].dtype == pl.Datetime("us", "UTC")
    assert frame["time"][1] == datetime(2026, 11, 3, 13, tzinfo=UTC)
    # A finer time than a column holds is kept as it was written.
    assert frame["time"][0] == datetime(2026, 11, 3, 12, 0, 0, 123456, tzinfo=UTC)
    assert frame["time_text"][0] == "2026-11-03T12:00:00.123456789Z"
    assert frame["decode_error"].is_null().to_list() == [True, True, True, False, True]


def by_column(values: pl.Series) -> pl.DataFrame:
    """A function over a column: it fails as a whole where one value does."""
    return values.alias("n").cast(pl.String).cast(pl.Int64).to_frame()


def by_value(value: bytes) -> dict[str, Any]:
    return {"n": int(value)}


@pytest.mark.parametrize("function", [by_column, by_value])
def test_any_function_decodes(log: wb.Log, function: Any) -> None:
    log.create("numbers")
    values = [b"1", None, b"3", b"poison", b"5"]
    log.append("numbers", [{"value": value} for value in values], encode="bytes")
    numbers = log.stream("numbers", decode=function).all()
    frame = numbers.frame()
    assert frame["n"].to_list() == [1, None, 3, None, 5]
    assert frame["decode_error"].is_null().to_list() == [True, True, True, False, True]
    # An address names the function, and does not hold it.
    with pytest.raises(SchemaError, match=function.__name__):
        wb.open_slice(numbers.address, log).frame()


def test_the_topic_of_schema_changes_is_no_changelog_and_reads_as_json(log: wb.Log) -> None:
    change = {
        "source": {"connector": "mysql", "server": "shop"},
        "databaseName": "shop",
        "ddl": "ALTER TABLE orders ADD note VARCHAR(20)",
        "tableChanges": [{"type": "ALTER", "id": '"shop"."orders"'}],
    }
    log.create("shop")
    log.append("shop", [change], key=lambda row: row["databaseName"])
    assert log.stream("shop").all().frame()["ddl"].to_list() == [change["ddl"]]
    with pytest.raises(SchemaError, match="no Debezium envelopes"):
        _ = log.stream("shop", decode="debezium").schema


def test_a_batch_of_cloudevents_is_refused_with_a_sentence(log: wb.Log) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "made", "subject": "o-1"}
    log.create("events")
    batch = {"content-type": b"application/cloudevents-batch+json; charset=UTF-8"}
    structured = {"content-type": b"application/cloudevents+json"}
    for headers, body in ((structured, event), (batch, [event, event])):
        listed = [{"name": name, "value": value} for name, value in headers.items()]
        row = {"value": json.dumps(body).encode(), "headers": listed}
        log.append("events", [row], encode="bytes")
    frame = log.stream("events", decode="cloudevents").all().frame()
    assert frame["subject"].to_list() == ["o-1", None]
    assert "a batch of CloudEvents" in frame["decode_error"][1]
