"""Records as the tools that people run write them, each with the rows that they are, by hand.

The shapes follow the documents of Debezium 3 ("Data change events" of each connector), CloudEvents
1.0 ("JSON Event Format", "Kafka Protocol Binding"), and Confluent's converters and serialisers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from google.protobuf.message_factory import GetMessageClass

from tests.formats.support import Served, framed
from workbench.decode.framing import frame_of
from workbench.decode.protobuf.schemas import ProtobufSchema

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Shape:
    """Values (or values with headers) of one topic, what they are decoded as, and the rows."""

    name: str
    decode: str
    decided: str
    values: Sequence[Any]
    rows: Sequence[Mapping[str, Any]]
    #: Called with a registry before the values are made, where they need one.
    make: Any = None
    types: Mapping[str, str] = field(default_factory=dict)


def text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# -- Debezium, MySQL, schemas.enable=false, decimal.handling.mode=string

_MYSQL = {
    "version": "3.0.0.Final",
    "connector": "mysql",
    "name": "shop",
    "ts_ms": 1762149600000,
    "snapshot": "false",
    "db": "inventory",
    "sequence": None,
    "ts_us": 1762149600000000,
    "ts_ns": 1762149600000000000,
    "table": "orders",
    "server_id": 223344,
    "gtid": None,
    "file": "mysql-bin.000003",
    "pos": 484,
    "row": 0,
    "thread": 7,
    "query": None,
}
_ORDER = {
    "id": 10001,
    "price": "199.95",
    "big": "12345678901234567890123456.78",
    "vat": 0.2,
    "paid": 1,
    "state": "open",
    "tags": "a,b",
    "doc": '{"k": [1, 2.50]}',
    "day": 20395,
    "at": 1762149600123,
    "at6": 1762149600123456,
    "zoned": "2025-11-03T06:00:00.123456Z",
    "bits": "AQ==",
    "note": None,
    "unsigned": 9223372036854775807,
}


def _mysql(op: str, before: Any, after: Any, **source: Any) -> dict[str, Any]:
    times = {"ts_ms": 1762149600500, "ts_us": 1762149600500123, "ts_ns": 1762149600500123456}
    event = {"before": before, "after": after, "source": {**_MYSQL, **source}}
    return {**event, "transaction": None, "op": op, **times}


_PAID = {**_ORDER, "price": "0.00", "state": "paid", "note": "übergeben"}
_MYSQL_CHANGES = [
    _mysql("r", None, _ORDER, snapshot="first", pos=154),
    _mysql("u", _ORDER, _PAID),
    _mysql("d", _PAID, None, pos=900),
]
_MYSQL_ROWS = [
    {"op": "r", "id": 10001, "price": "199.95", "note": None, "source.snapshot": "first"},
    {"op": "u", "id": 10001, "price": "0.00", "note": "übergeben", "before.price": "199.95"},
    {"op": "d", "id": 10001, "price": "0.00", "after": None, "source.pos": 900},
]
_WHOLE = {
    "big": "12345678901234567890123456.78",
    "vat": 0.2,
    "paid": 1,
    "doc": '{"k": [1, 2.50]}',
    "day": 20395,
    "at6": 1762149600123456,
    "zoned": "2025-11-03T06:00:00.123456Z",
    "bits": "AQ==",
    "unsigned": 9223372036854775807,
    "ts_ns": 1762149600500123456,
    "source.file": "mysql-bin.000003",
    "transaction": None,
}

#: What JsonConverter encloses with each value where schemas.enable=true.
_DECIMAL = {
    "type": "bytes",
    "optional": False,
    "name": "org.apache.kafka.connect.data.Decimal",
    "version": 1,
    "parameters": {"scale": "2", "connect.decimal.precision": "10"},
    "field": "price",
}
_ENCLOSED = {
    "type": "struct",
    "fields": [
        {
            "type": "struct",
            "fields": [{"type": "int32", "optional": False, "field": "id"}, _DECIMAL],
            "optional": True,
            "name": f"shop.inventory.orders.{name}",
            "field": name,
        }
        for name in ("before", "after")
    ],
    "optional": False,
    "name": "shop.inventory.orders.Envelope",
    "version": 2,
}

# -- Debezium, PostgreSQL: REPLICA IDENTITY DEFAULT, a value that was not read, a numeric without
# scale, a transaction, a truncation, a message

_POSTGRES = {
    "version": "3.0.0.Final",
    "connector": "postgresql",
    "name": "shop",
    "ts_ms": 1762149600000,
    "snapshot": "false",
    "db": "shop",
    "sequence": '["24023119","24023128"]',
    "schema": "public",
    "table": "parts",
    "txId": 555,
    "lsn": 24023128,
    "xmin": None,
}
_PART = {
    "id": 7,
    "uid": "6f1c0c6a-6b6f-4e0e-9f5e-3f0a6d1b2c3d",
    "n": {"scale": 3, "value": "AeJA"},
    "list": ["a", None, "ä"],
    "span": "[2025-01-01,2025-02-01)",
    "attributes": {"colour": "red"},
    "toast": "__debezium_unavailable_value",
}


def _postgres(op: str, **more: Any) -> dict[str, Any]:
    return {"before": None, "after": None, "source": _POSTGRES, "op": op, "ts_ms": 1, **more}


_IN_TRANSACTION = {"id": "571:53195829", "total_order": 2, "data_collection_order": 1}

# -- Debezium in Avro, as Confluent's converter names it

_VALUE = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "int"},
        {
            "name": "price",
            "type": {
                "type": "bytes",
                "scale": 2,
                "precision": 10,
                "connect.version": 1,
                "connect.parameters": {"scale": "2", "connect.decimal.precision": "10"},
                "connect.name": "org.apache.kafka.connect.data.Decimal",
                "logicalType": "decimal",
            },
        },
        {
            "name": "at",
            "type": [
                "null",
                {
                    "type": "long",
                    "connect.version": 1,
                    "connect.name": "io.debezium.time.MicroTimestamp",
                },
            ],
            "default": None,
        },
    ],
    "connect.name": "shop.public.orders.Value",
}
_ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "namespace": "shop.public.orders",
    "fields": [
        {"name": "before", "type": ["null", _VALUE], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {
            "name": "source",
            "type": {
                "type": "record",
                "name": "Source",
                "namespace": "io.debezium.connector.postgresql",
                "fields": [
                    {"name": "table", "type": "string"},
                    {"name": "lsn", "type": ["null", "long"], "default": None},
                ],
            },
        },
        {
            "name": "transaction",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "block",
                    "namespace": "event",
                    "fields": [
                        {"name": "id", "type": "string"},
                        {"name": "total_order", "type": "long"},
                        {"name": "data_collection_order", "type": "long"},
                    ],
                },
            ],
            "default": None,
        },
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": None},
    ],
}


def _avro_changes(registry: Served) -> list[bytes]:
    number = registry.add("t-value", _ENVELOPE)
    first = {"id": 1, "price": Decimal("-10.50"), "at": 1762149600123456}
    second = {"id": 1, "price": Decimal("99999999.99"), "at": None}
    source = {"table": "orders", "lsn": 5}
    return [
        framed(number, _ENVELOPE, {"source": source, "ts_ms": 1, **change})
        for change in (
            {"op": "c", "after": first, "transaction": _IN_TRANSACTION},
            {"op": "u", "before": first, "after": second},
            {"op": "d", "before": second},
        )
    ]


# -- CloudEvents

_EVENT = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/mycontext/4",
    "type": "com.example.order.created",
}


def _binary(**more: str) -> Headers:
    return [(f"ce_{name}", value.encode()) for name, value in {**_EVENT, **more}.items()]


# -- Avro with unions of records, and every logical type

_PAYMENT = {
    "type": "record",
    "name": "Payment",
    "namespace": "pay.v1",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {
            "name": "method",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Card",
                    "fields": [
                        {"name": "last4", "type": "string"},
                        {
                            "name": "brand",
                            "type": {"type": "enum", "name": "Brand", "symbols": ["VISA", "AMEX"]},
                        },
                    ],
                },
                {
                    "type": "record",
                    "name": "Iban",
                    "fields": [{"name": "iban", "type": "string"}],
                },
                "string",
            ],
        },
        {
            "name": "amount",
            "type": {
                "type": "fixed",
                "name": "Money",
                "size": 8,
                "logicalType": "decimal",
                "precision": 18,
                "scale": 4,
            },
        },
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "labels", "type": {"type": "map", "values": ["null", "string"]}},
        {"name": "steps", "type": {"type": "array", "items": ["null", "long", "double"]}},
        {"name": "parent", "type": ["null", "Payment"], "default": None},
    ],
}


def _payments(registry: Served) -> list[bytes]:
    number = registry.add("t-value", _PAYMENT)
    base = {
        "id": UUID("6f1c0c6a-6b6f-4e0e-9f5e-3f0a6d1b2c3d"),
        "amount": Decimal("-12345678901234.5678"),
        "day": date(2025, 11, 3),
        "clock": time(23, 59, 59, 999000),
        "at": datetime(2025, 11, 3, 12, 0, 0, 123456, tzinfo=UTC),
        "local": datetime(2025, 11, 3, 12, 0, 0, 5000),
        "labels": {},
        "steps": [],
    }
    card = ("pay.v1.Card", {"last4": "4242", "brand": "VISA"})
    first = {**base, "method": card, "labels": {"a": None, "b": "x"}, "steps": [None, 1, 2.5]}
    second = {
        **base,
        "method": ("pay.v1.Iban", {"iban": "DE02"}),
        "parent": {**base, "method": None},
    }
    return [framed(number, _PAYMENT, one) for one in (first, second, {**base, "method": "cash"})]


_PLAIN = {
    "id": "6f1c0c6a-6b6f-4e0e-9f5e-3f0a6d1b2c3d",
    "amount": Decimal("-12345678901234.5678"),
    "day": date(2025, 11, 3),
    "clock": time(23, 59, 59, 999000),
    "at": datetime(2025, 11, 3, 12, 0, 0, 123456, tzinfo=UTC),
    "local": datetime(2025, 11, 3, 12, 0, 0, 5000),
}

# -- Protobuf with a oneof, maps, well-known types

_PROTO = """syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/any.proto";
message Order {
  string id = 1;
  oneof payment { Card card = 2; string voucher = 3; }
  map<string, Line> lines = 4;
  map<int32, State> history = 5;
  google.protobuf.Timestamp at = 6;
  google.protobuf.Duration took = 7;
  google.protobuf.Int64Value points = 8;
  google.protobuf.Struct extra = 9;
  repeated sint32 deltas = 10;
  optional bool gift = 11;
  State state = 12;
  bytes blob = 13;
  fixed64 big = 14;
  google.protobuf.Any any = 15;
  message Card { string last4 = 1; }
  message Line { uint32 count = 1; double price = 2; }
}
enum State { STATE_UNSPECIFIED = 0; STATE_OPEN = 1; STATE_PAID = 2; }
"""


def _protobuf(registry: Served) -> list[bytes]:
    number = registry.add("t-value", _PROTO, kind="PROTOBUF")
    order = GetMessageClass(ProtobufSchema(_PROTO).named("shop.v1.Order"))
    full = order(
        id="A-1",
        card={"last4": "4242"},
        lines={"b": {"count": 2, "price": 0.1}, "a": {"count": 4294967295}},
        history={-1: 1, 7: 2},
        at=datetime(2025, 11, 3, 12, 0, 0, 123456, tzinfo=UTC),
        took={"seconds": -1, "nanos": -500_000_001},
        points={"value": 0},
        deltas=[-1, 2147483647],
        gift=False,
        state=2,
        blob=b"\0\xff",
        big=18446744073709551615,
    )
    full.extra.update({"k": [1, "x", None], "n": {"m": True}, **dict.fromkeys("zyxa", "")})
    bodies = [full, order(id="A-2", voucher=""), order()]
    return [frame_of(number) + b"\0" + one.SerializeToString() for one in bodies]


# -- JSON Schema as Confluent's converter writes it of a table

_CONNECT = {
    "type": "object",
    "title": "orders",
    "properties": {
        "id": {"type": "integer", "title": "id", "connect.index": 0, "connect.type": "int32"},
        "n": {
            "oneOf": [{"type": "null"}, {"type": "integer", "connect.type": "int64"}],
            "connect.index": 1,
        },
        "rate": {"type": "number", "connect.type": "float64", "connect.index": 2},
        "address": {
            "connect.index": 3,
            "oneOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "title": "address",
                    "properties": {"city": {"type": "string"}, "zip": {"type": ["string", "null"]}},
                },
            ],
        },
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def _connect(registry: Served) -> list[bytes]:
    number = registry.add("t-value", _CONNECT, kind="JSON")
    full = {"id": 1, "n": 9007199254740993, "rate": 1, "address": {"city": "Köln", "zip": None}}
    bodies = [{**full, "tags": ["a", "b"]}, {"id": 2, "n": None, "rate": 1.5e300, "address": None}]
    return [frame_of(number) + text(one) for one in [*bodies, {"id": 2147483648}]]


SHAPES = [
    Shape(
        "Debezium, MySQL, without schemas",
        "debezium",
        "as asked; its envelopes are json",
        [text(one) for one in _MYSQL_CHANGES],
        [{**row, **_WHOLE} for row in _MYSQL_ROWS],
        types={"price": "String", "at6": "Int64", "vat": "Float64"},
    ),
    Shape(
        "Debezium, MySQL, each value with its schema",
        "debezium",
        "as asked; its envelopes are json",
        [
            text({"schema": _ENCLOSED, "payload": _mysql("c", None, {"id": 1, "price": "Tn8="})}),
            text({"schema": _ENCLOSED, "payload": _mysql("u", None, {"id": 1, "price": "/w=="})}),
            None,
        ],
        [
            {"op": "c", "id": 1, "price": Decimal("200.95")},
            {"op": "u", "id": 1, "price": Decimal("-0.01"), "before": None},
            {"op": None, "id": None, "after": None},
        ],
    ),
    Shape(
        "Debezium, PostgreSQL",
        "debezium",
        "as asked; its envelopes are json",
        [
            text(_postgres("c", after=_PART, transaction=_IN_TRANSACTION)),
            text(_postgres("d", before={**_PART, "uid": None, "n": None, "list": None})),
            text(_postgres("m", message={"prefix": "p", "content": "aGk="})),
            text(_postgres("t")),
        ],
        [
            {"op": "c", "n.value": "AeJA", "list": ["a", None, "ä"], "transaction.total_order": 2},
            {"op": "d", "id": 7, "uid": None, "after": None, "transaction": None},
            {"op": "m", "id": None, "before": None, "message.content": "aGk="},
            {"op": "t", "id": None, "before": None, "after": None},
        ],
    ),
    Shape(
        "Debezium, in Avro",
        "debezium",
        "as asked; its envelopes are avro, since {0} of {0}",
        (),
        [
            {
                "op": "c",
                "price": Decimal("-10.50"),
                "at": datetime(2025, 11, 3, 6, 0, 0, 123456),
                "transaction.id": "571:53195829",
            },
            {
                "op": "u",
                "price": Decimal("99999999.99"),
                "before.price": Decimal("-10.50"),
                "at": None,
            },
            {"op": "d", "price": Decimal("99999999.99"), "after": None, "source.lsn": 5},
        ],
        make=_avro_changes,
        types={"price": "Decimal(precision=10, scale=2)"},
    ),
    Shape(
        "Debezium, flattened by the connector",
        "auto",
        "json, since {0} of {0}",
        [
            text({**_ORDER, "__op": "u", "__deleted": "false", "__source_ts_ms": 5}),
            text({**_ORDER, "__op": "d", "__deleted": "true", "__source_ts_ms": 6}),
        ],
        [
            # A field that never has a value has no type, and so no column.
            {"id": 10001, "__op": "u", "__deleted": "false", "_rest": '{"note":null}'},
            {"id": 10001, "__op": "d", "__source_ts_ms": 6, "_rest": '{"note":null}'},
        ],
    ),
    Shape(
        "CloudEvents, structured",
        "cloudevents",
        "as asked",
        [
            text({**_EVENT, "time": "2025-11-03T12:00:00+01:00", "data": {"n": 1, "s": ["x"]}}),
            text(
                {**_EVENT, "time": "2025-11-03T12:00:00.123456789Z", "traceparent": "00-ab-cd-01"}
            ),
            text({**_EVENT, "datacontenttype": "application/octet-stream", "data_base64": "AAE="}),
            text({**_EVENT, "subject": "o/1", "dataschema": "https://x/y", "data": {"n": None}}),
            text({**_EVENT, "id": 5}),
        ],
        [
            {"id": "A234-1234-1234", "time": datetime(2025, 11, 3, 11, tzinfo=UTC), "data.n": 1},
            {
                "time": datetime(2025, 11, 3, 12, 0, 0, 123456, tzinfo=UTC),
                "time_text": "2025-11-03T12:00:00.123456789Z",
                "traceparent": "00-ab-cd-01",
                "data": None,
            },
            {"data_base64": "AAE=", "data": None, "time": None},
            {"subject": "o/1", "dataschema": "https://x/y", "data.n": None},
            {"id": None, "decode_error": "id: a number where String takes a string"},
        ],
    ),
    Shape(
        "CloudEvents, binary",
        "cloudevents",
        "as asked",
        [
            (
                text({"n": 1}),
                [*_binary(time="2025-11-03T12:00:00Z"), ("content-type", b"application/json")],
            ),
            (b"", [*_binary(subject="none"), ("content-type", b"text/plain")]),
            ("gr\u00fcn".encode(), [*_binary(), ("Content-Type", b"text/plain; charset=utf-8")]),
            (b"\0\xff", [*_binary(), ("content-type", b"application/octet-stream")]),
            (None, _binary(type="gone")),
            (text({"n": 2}), [*_binary(partitionkey="7"), ("other", b"x")]),
        ],
        [
            # No type holds all their data: each keeps its own.
            {
                "time": datetime(2025, 11, 3, 12, tzinfo=UTC),
                "datacontenttype": "application/json",
                "_rest": '{"data":{"n":1}}',
            },
            {"subject": "none", "datacontenttype": "text/plain", "_rest": '{"data":""}'},
            {"datacontenttype": "text/plain; charset=utf-8", "_rest": '{"data":"grün"}'},
            {"data_base64": "AP8=", "datacontenttype": "application/octet-stream"},
            {"type": "gone", "data_base64": None, "datacontenttype": None},
            {"partitionkey": "7", "id": "A234-1234-1234", "_rest": '{"data":{"n":2}}'},
        ],
    ),
    Shape(
        "Avro, unions of records and every logical type",
        "auto",
        "avro, since {0} of {0}",
        (),
        [
            {
                **_PLAIN,
                "method": {
                    "Card": {"last4": "4242", "brand": "VISA"},
                    "Iban": None,
                    "string": None,
                },
                "labels": [{"key": "a", "value": None}, {"key": "b", "value": "x"}],
                "steps": [None, {"long": 1, "double": None}, {"long": None, "double": 2.5}],
                "parent": None,
            },
            {
                **_PLAIN,
                "method": {"Card": None, "Iban": {"iban": "DE02"}, "string": None},
                "labels": [],
                "steps": [],
                # A type within itself is JSON text, its decimals as text and its times as counted.
                "parent": (
                    '{"id":"6f1c0c6a-6b6f-4e0e-9f5e-3f0a6d1b2c3d","method":null,'
                    '"amount":"-12345678901234.5678","day":20395,"clock":86399999,'
                    '"at":1762171200123456,"local":1762171200005,"labels":{},"steps":[],'
                    '"parent":null}'
                ),
            },
            {**_PLAIN, "method": {"Card": None, "Iban": None, "string": "cash"}},
        ],
        make=_payments,
        types={"amount": "Decimal(precision=18, scale=4)", "clock": "Time", "day": "Date"},
    ),
    Shape(
        "Protobuf, a oneof, maps, well-known types",
        "auto",
        "protobuf, since {0} of {0}",
        (),
        [
            {
                "id": "A-1",
                "card": {"last4": "4242"},
                "voucher": None,
                "lines": [
                    {"key": "a", "value": {"count": 4294967295, "price": 0.0}},
                    {"key": "b", "value": {"count": 2, "price": 0.1}},
                ],
                "history": [
                    {"key": -1, "value": "STATE_OPEN"},
                    {"key": 7, "value": "STATE_PAID"},
                ],
                "at": datetime(2025, 11, 3, 12, 0, 0, 123456, tzinfo=UTC),
                "took": Decimal("-1.500000001"),
                "points": 0,
                "extra": '{"a":"","k":[1.0,"x",null],"n":{"m":true},"x":"","y":"","z":""}',
                "deltas": [-1, 2147483647],
                "gift": False,
                "state": "STATE_PAID",
                "blob": b"\0\xff",
                "big": 18446744073709551615,
                "any": None,
            },
            {"id": "A-2", "card": None, "voucher": "", "lines": [], "at": None, "gift": None},
            {
                "id": "",
                "card": None,
                "voucher": None,
                "points": None,
                "state": "STATE_UNSPECIFIED",
                "blob": b"",
                "big": 0,
            },
        ],
        make=_protobuf,
    ),
    Shape(
        "JSON Schema of a table, by Kafka Connect",
        "auto",
        "jsonschema, since {0} of {0}",
        (),
        [
            {
                "id": 1,
                "n": 9007199254740993,
                "rate": 1.0,
                "address": {"city": "Köln", "zip": None},
                "tags": ["a", "b"],
            },
            {"id": 2, "n": None, "rate": 1.5e300, "address": None, "tags": None},
            # Wider than Connect says, and valid all the same.
            {"id": 2147483648, "n": None, "rate": None},
        ],
        make=_connect,
        types={"n": "Int64", "rate": "Float64"},
    ),
]
