"""Values whose schemas a registry holds, from end to end on an embedded log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from google.protobuf.message_factory import GetMessageClass

import workbench as wb
from tests.formats.support import Served, framed
from workbench.decode.framing import frame_of
from workbench.decode.protobuf.schemas import ProtobufSchema
from workbench.errors import (
    AccessDenied,
    AppendRejected,
    ProfileError,
    SchemaError,
    UnknownFields,
    Unreachable,
)

V1 = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [{"name": "id", "type": "int"}, {"name": "note", "type": "string"}],
}
V2 = {
    **V1,
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
        {
            "name": "amount",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
    ],
}
V3 = {
    **V1,
    "fields": [*V2["fields"], {"name": "tags", "type": {"type": "array", "items": "string"}}],
}  # type: ignore[misc]


def filled(log: wb.Log, values: list[bytes | None], topic: str = "orders", **how: Any) -> None:
    log.create(topic)
    log.append(topic, [{"value": value} for value in values], encode="bytes", **how)


def test_the_log_of_a_slice_knows_the_same_registry(tmp_path: Path, registry: Served) -> None:
    number = registry.add("orders-value", V1)
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        filled(log, [framed(number, V1, {"id": 1, "note": "a"})])
        again = log.stream("orders").all().log.stream("orders").all()
        assert again.frame()["note"].to_list() == ["a"]


def test_three_versions_of_a_schema_are_one_frame(tmp_path: Path, registry: Served) -> None:
    ids = [registry.add("orders-value", schema) for schema in (V1, V2, V3)]
    values = [
        framed(ids[0], V1, {"id": 1, "note": "a"}),
        framed(ids[1], V2, {"id": 1 << 40, "note": None, "amount": Decimal("12.50")}),
        None,
        framed(ids[2], V3, {"id": 3, "note": "c", "amount": Decimal("-1"), "tags": ["x", "y"]}),
    ]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        filled(log, values)
        stream = log.stream("orders")
        assert stream.decided == {
            "orders": f"avro, since 3 of 3 sampled values name AVRO schemas of {registry.url}"
        }
        frame = stream.all().frame()
        assert frame.select("schema_id", "id", "note", "amount", "tags").to_dict(
            as_series=False
        ) == {
            "schema_id": [1, 2, None, 3],
            "id": [1, 1 << 40, None, 3],
            "note": ["a", None, None, "c"],
            "amount": [None, Decimal("12.50"), None, Decimal("-1.00")],
            "tags": [None, None, None, ["x", "y"]],
        }
        assert "decode_error" not in frame.columns
        # Each schema was asked for once.
        assert sorted(registry.asked) == [f"/schemas/ids/{n}" for n in ids]
        again = wb.open_slice(stream.all().address.to_json(), log)
        assert again.frame().equals(frame)


def test_what_the_sample_did_not_hold_fits_or_says_why(tmp_path: Path, registry: Served) -> None:
    first, second = registry.add("orders-value", V1), registry.add("orders-value", V3)
    third = registry.add("orders-value", {**V1, "fields": [{"name": "id", "type": "string"}]})
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        filled(log, [framed(first, V1, {"id": 1, "note": "a"})])
        stream = log.stream("orders")
        assert stream.schema["id"] == pl.Int32
        later = [
            framed(second, V3, {"id": 2, "note": "b", "amount": Decimal(1), "tags": ["t"]}),
            framed(
                third,
                {**V1, "fields": [{"name": "id", "type": "string"}]},
                {"id": "x"},
            ),
            b"\0\0\0\0\x63...",
            b"not framed",
            framed(first, V1, {"id": 3, "note": "c"})[:-1],
        ]
        log.append("orders", [{"value": value} for value in later], encode="bytes")
        frame = stream.all().frame(rest=True)
    assert frame["id"].to_list() == [1, None, None, None, None, None]
    assert frame["schema_id"].to_list() == [1, 2, 3, 99, None, 1]
    errors = frame["decode_error"].to_list()
    assert errors[0] is None
    assert errors[1] == "id: Int64 in schema 2, which Int32 does not hold"
    assert errors[2] == "id: String in schema 3, which Int32 does not hold"
    assert errors[3] == f"the registry {registry.url} has no schema 99"
    assert "no schema id" in errors[4]
    assert errors[5] == "not Avro of its schema: note: 1 bytes are announced at byte 2, 0 are left"


def test_fields_that_came_later_are_counted_and_kept(tmp_path: Path, registry: Served) -> None:
    first, later = registry.add("orders-value", V2), registry.add("orders-value", V3)
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        row = {"id": 1, "note": None, "amount": Decimal("1.5")}
        filled(log, [framed(first, V2, row)])
        stream = log.stream("orders")
        assert "tags" not in stream.schema
        log.append("orders", [{"value": framed(later, V3, {**row, "tags": ["t"]})}], encode="bytes")
        with pytest.warns(UnknownFields, match=r"tags \(1\)"):
            stream.all().frame()
        assert stream.all().frame(rest=True)["_rest"].to_list() == [None, '{"tags":["t"]}']


def test_a_missing_schema_is_looked_up_once(tmp_path: Path, registry: Served) -> None:
    known = registry.add("orders-value", V1)
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        filled(log, [framed(known, V1, {"id": 1, "note": "a"})] * 3)
        stream = log.stream("orders", decode="avro")
        assert stream.schema["id"] == pl.Int32
        log.append("orders", [{"value": b"\0\0\0\0\x2ax"}] * 500, encode="bytes")
        for _ in range(2):
            frame = stream.all().frame()
            assert frame["decode_error"].n_unique() == 2
        assert registry.asked.count("/schemas/ids/42") == 1


def test_without_a_registry_framed_values_say_so(log: wb.Log) -> None:
    filled(log, [framed(1, V1, {"id": 1, "note": "\x80"})])
    assert "none is given (registry=)" in log.stream("orders").decided["orders"]
    with pytest.raises(SchemaError, match="registry="):
        _ = log.stream("orders", decode="avro").schema


def test_a_folder_of_schemas_is_a_registry(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / "7.avsc").write_text(json.dumps(V1))
    (folder / "raw-value.avsc").write_text(json.dumps(V1))
    value = framed(7, V1, {"id": 1, "note": "a"})
    with wb.connect(tmp_path / "log", create=True, registry=folder) as log:
        filled(log, [value])
        assert log.stream("orders").all().frame()["note"].to_list() == ["a"]
        # Values without an id are read by the schema of their topic.
        filled(log, [value[5:], None, b"\xff"], topic="raw")
        raw = log.stream("raw", decode="avro")
        assert "topic's subject" in raw.decided["raw"]
        frame = raw.all().frame()
        assert frame["id"].to_list() == [1, None, None]
        assert frame["decode_error"].is_null().to_list() == [True, True, False]


def test_references_are_followed(tmp_path: Path, registry: Served) -> None:
    money = {
        "type": "record",
        "name": "Money",
        "namespace": "shop",
        "fields": [{"name": "cents", "type": "long"}],
    }
    line = {
        "type": "record",
        "name": "Line",
        "namespace": "shop",
        "fields": [{"name": "price", "type": "shop.Money"}],
    }
    order = {
        "type": "record",
        "name": "Order",
        "namespace": "shop",
        "fields": [
            {"name": "lines", "type": {"type": "array", "items": "Line"}},
            {"name": "total", "type": "Money"},
        ],
    }
    registry.add("money", money)
    registry.add(
        "line", line, references=[{"name": "shop.Money", "subject": "money", "version": 1}]
    )
    both = [
        {"name": "shop.Line", "subject": "line", "version": 1},
        {"name": "shop.Money", "subject": "money", "version": 1},
    ]
    order_id = registry.add("orders-value", order, references=both)
    body = framed(
        order_id, [money, line, order], {"lines": [{"price": {"cents": 5}}], "total": {"cents": 5}}
    )
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        # fastavro writes the branch of the union that stands for the three schemas.
        filled(log, [body[:5] + body[6:]])
        frame = log.stream("orders").all().frame()
    assert frame["lines"].to_list() == [[{"price": {"cents": 5}}]]
    assert frame["total"].to_list() == [{"cents": 5}]


def test_references_that_go_round_end(tmp_path: Path, registry: Served) -> None:
    registry.add("a", V1, references=[{"name": "b", "subject": "b", "version": 1}])
    registry.add("b", V1, references=[{"name": "a", "subject": "a", "version": 1}])
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        filled(log, [framed(1, V1, {"id": 1, "note": "a"})])
        assert log.stream("orders").all().frame()["id"].to_list() == [1]


def test_keys_in_a_frame_are_json_text(tmp_path: Path, registry: Served) -> None:
    key = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "int"}]}
    key_id, text_id, value_id = (
        registry.add(s, x) for s, x in (("k", key), ("t", "string"), ("v", V1))
    )
    value = framed(value_id, V1, {"id": 1, "note": "a"})
    keys = [
        framed(key_id, key, {"id": 300}),
        framed(text_id, "string", "A-1"),
        b"plain",
        None,
        b"\0\0\0\0\x63",
    ]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        log.append("orders", [{"key": one, "value": value} for one in keys], encode="bytes")
        frame = log.stream("orders").all().frame()
    assert frame["key"].to_list() == ['{"id":300}', "A-1", "plain", None, "\0\0\0\0c"]


def test_a_registry_wants_a_login(
    tmp_path: Path, registry: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.login = "Basic bWU6c2VjcmV0"
    value = framed(registry.add("orders-value", V1), V1, {"id": 1, "note": "a"})
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        filled(log, [value])
        with pytest.raises(AccessDenied, match="refuses GET /schemas/ids/1"):
            _ = log.stream("orders").schema
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGISTRY_PASSWORD", "secret")
    Path("workbench.toml").write_text(
        f'[profiles.shop]\nurl = "log"\n[profiles.shop.registry]\nurl = "{registry.url}"\n'
        'username = "me"\npassword = "${REGISTRY_PASSWORD}"\n'
    )
    with wb.connect("shop") as log:
        assert log.stream("orders").all().frame()["id"].to_list() == [1]
        assert "secret" not in repr(log) + str(log.stream("orders").all().address.to_json())


def test_registries_that_cannot_be(tmp_path: Path) -> None:
    for wrong in ("nowhere", {"url": "http://localhost", "pasword": "x"}, {}):
        with pytest.raises(ProfileError, match="registry"):
            wb.connect(tmp_path / "log", create=True, registry=wrong or {"token": "x"})
    with wb.connect(tmp_path / "log", create=True, registry="http://127.0.0.1:1") as log:
        filled(log, [framed(1, V1, {"id": 1, "note": "a"})])
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
            _ = log.stream("orders").schema


def test_rows_are_written_as_avro(tmp_path: Path, registry: Served) -> None:
    rows = [{"id": 1, "note": "a", "amount": Decimal("12.50")}, None, {"id": 2, "note": None}]
    rows[2]["amount"] = Decimal("-0.01")  # type: ignore[index]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        with pytest.raises(SchemaError, match="register="):
            log.append("orders", rows, encode="avro")
        assert registry.subjects == {}
        log.append("orders", rows, encode="avro", register=V2)
        # Once it is there it is the topic's own; a frame does as well.
        frame = log.stream("orders").all().frame()
        assert frame["amount"].to_list() == [Decimal("12.50"), None, Decimal("-0.01")]
        log.append("orders", frame.select("id", "note", "amount").drop_nulls("id"), encode="avro")
        assert log.stream("orders").all().frame()["id"].to_list() == [1, None, 2, 1, 2]
        assert list(registry.subjects) == ["orders-value"]
        for wrong in ({"id": 1}, {**rows[0], "more": 1}, {**rows[0], "id": "x"}):  # type: ignore[dict-item]
            with pytest.raises(AppendRejected, match="row 0 is not of the schema 1"):
                log.append("orders", [wrong], encode="avro")


def test_recordings_and_bags_keep_the_schemas(tmp_path: Path, registry: Served) -> None:
    key_id, value_id = registry.add("k", "string"), registry.add("orders-value", V1)
    key, value = framed(key_id, "string", "A-1"), framed(value_id, V1, {"id": 1, "note": "a"})
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        log.append("orders", [{"key": key, "value": value}] * 3, encode="bytes")
        orders = log.stream("orders").all()
        frame = orders.frame()
        orders.record(tmp_path / "recording")
        orders.seal(tmp_path / "bag", purpose="a test")
    for name in ("recording", "bag"):
        # Nobody names a registry, and the one that there was is not asked.
        asked = len(registry.asked)
        with wb.connect(tmp_path / name) as kept:
            assert kept.stream("orders").all().frame().equals(frame)
        assert len(registry.asked) == asked
    assert wb.verify(tmp_path / "bag").ok


ORDER = """
syntax = "proto3";
package shop;
import "money.proto";
message Order { int64 id = 1; %s Money total = 9; }
message Refund { int64 id = 1; string why = 2; }
"""
MONEY = 'syntax = "proto3"; package shop; message Money { int64 cents = 1; }'


def protobuf(text: str, name: str, place: bytes, schema_id: int, **fields: Any) -> bytes:
    made = GetMessageClass(ProtobufSchema(text, {"money.proto": MONEY}).named(name))
    return frame_of(schema_id) + place + bytes(made(**fields).SerializeToString())


def test_versions_and_messages_of_protobuf_are_one_frame(tmp_path: Path, registry: Served) -> None:
    texts = [ORDER % "", ORDER % "optional string note = 2;"]
    registry.add("money", MONEY, kind="PROTOBUF")
    refers = [{"name": "money.proto", "subject": "money", "version": 1}]
    one, two = (
        registry.add("orders-value", text, kind="PROTOBUF", references=refers) for text in texts
    )
    values = [
        protobuf(texts[0], "shop.Order", b"\0", one, id=1, total={"cents": 5}),
        protobuf(texts[1], "shop.Order", b"\0", two, id=2, note="n"),
        protobuf(texts[1], "shop.Refund", b"\x02\x02", two, id=3, why="broken"),
        None,
        # A producer that is ahead of its schema.
        protobuf(texts[0], "shop.Order", b"\0", one, id=4) + b"\x3a\x01z",
        protobuf(texts[0], "shop.Order", b"\0", one, id=5)[:-1],
        b"\0\0\0\0\x63\0",
    ]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        filled(log, values)
        stream = log.stream("orders")
        assert stream.decided["orders"].startswith("protobuf, since 5 of 6 sampled values name")
        every = stream.all()
        with pytest.warns(UnknownFields, match=r"7 \(1\)"):
            frame = every.frame()
        assert frame["schema_id"].to_list() == [2, 3, 3, None, 2, 2, 99]
        assert frame["id"].to_list() == [1, 2, 3, None, 4, None, None]
        assert frame["why"].to_list() == [None, None, "broken", None, None, None, None]
        assert frame["total"].to_list()[:2] == [{"cents": 5}, None]
        assert frame["decode_error"].is_null().to_list() == [True] * 5 + [False] * 2
        assert every.frame(rest=True)["_rest"].to_list()[4] == '{"7":"eg=="}'
        # By schema, and with an address that says so.
        second = every.where(schema=two)
        assert second.frame()["id"].to_list() == [2, 3]
        assert "schema 3" in repr(second)
        again = wb.open_slice(second.address.to_json(), log)
        assert again.frame().equals(second.frame())
        assert every.where(schema=[one, 99]).where(schema=99).frame()["schema_id"].to_list() == [99]
        assert second.completeness().matches == 2
        assert second.lazy().collect().height == 2
        every.record(tmp_path / "recording")
        every.seal(tmp_path / "bag", purpose="a test")
        filled(log, [b"{}"], topic="plain")
        with pytest.raises(SchemaError, match="name no schemas"):
            log.stream("plain").all().where(schema=1)
    for name in ("recording", "bag"):
        asked = len(registry.asked)
        with wb.connect(tmp_path / name) as kept:
            assert kept.stream("orders").all().frame(rest=True)["id"].to_list()[:3] == [1, 2, 3]
        assert len(registry.asked) == asked


def test_rows_are_written_as_protobuf(tmp_path: Path, registry: Served) -> None:
    text = """syntax = "proto3"; package shop;
    import "google/protobuf/timestamp.proto"; import "google/protobuf/struct.proto";
    message Other { int32 x = 1; }
    message Order { int64 id = 1; optional string note = 2; repeated Line lines = 3;
      google.protobuf.Timestamp at = 4; map<string, int32> counts = 5; State state = 6;
      google.protobuf.Struct extra = 7;
      message Line { string sku = 1; } enum State { NEW = 0; PAID = 1; } }"""
    rows = [
        {"id": 1 << 60, "note": "n", "lines": [{"sku": "a"}], "state": "PAID"},
        None,
        {
            "at": datetime(2026, 11, 3, 12, tzinfo=UTC),
            "counts": {"b": 2, "a": 1},
            "extra": {"k": 1},
        },
    ]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        log.append("orders", rows, encode="protobuf:shop.Order", register=text)
        frame = log.stream("orders").all().frame()
        assert frame["id"].to_list() == [1 << 60, None, 0]
        assert frame["state"].to_list() == ["PAID", None, "NEW"]
        assert frame["counts"].to_list()[2] == [{"key": "a", "value": 1}, {"key": "b", "value": 2}]
        assert frame["extra"].to_list()[2] == '{"k":1.0}'
        # What was read can be written.
        same = frame.drop("topic", "partition", "offset", "timestamp", "key", "schema_id")
        log.append("orders", same.filter(pl.col("id").is_not_null()), encode="protobuf:shop.Order")
        last = log.stream("orders").all().frame().tail(2).select(same.columns)
        assert last.equals(same.filter(pl.col("id").is_not_null()))
        assert list(registry.subjects) == ["orders-value"]
        for wrong, why in (({"id": "x"}, "row 0"), ({"idd": 1}, "no field 'idd'")):
            with pytest.raises(AppendRejected, match=why):
                log.append("orders", [wrong], encode="protobuf:shop.Order")
        with pytest.raises(SchemaError, match="type PROTOBUF"):
            log.append("orders", [{"id": 1}], encode="avro")


def test_values_without_a_frame_by_a_descriptor_set(tmp_path: Path) -> None:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (schemas / "orders-value.desc").write_bytes(
        ProtobufSchema(ORDER % "", {"money.proto": MONEY}).files.SerializeToString()
    )
    bodies = [protobuf(ORDER % "", "shop.Refund", b"", 0, id=n, why="w")[5:] for n in range(3)]
    with wb.connect(tmp_path / "log", create=True, registry=schemas) as log:
        filled(log, bodies)
        stream = log.stream("orders", decode="protobuf:shop.Refund")
        assert stream.all().frame()["why"].to_list() == ["w"] * 3
        # Read as its first message, an order, it has a field of which that knows nothing.
        with pytest.warns(UnknownFields, match=r"2 \(3\)"):
            assert log.stream("orders", decode="protobuf").all().frame()["id"].sum() == 3
        with pytest.raises(SchemaError, match=r"shop\.Refund"):
            _ = log.stream("orders", decode="protobuf:shop.Nothing").schema
        stream.all().record(tmp_path / "recording")
    with wb.connect(tmp_path / "recording") as kept:
        again = kept.stream("orders", decode="protobuf:shop.Refund")
        assert again.all().frame()["why"].to_list() == ["w"] * 3


def test_json_schema_says_the_types(tmp_path: Path, registry: Served) -> None:
    schema = {
        "title": "Order",
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "price": {"oneOf": [{"type": "null"}, {"type": "number"}]},
            "at": {"type": "string", "format": "date-time"},
            "finer": {"type": "string", "format": "date-time"},
            "line": {"$ref": "#/definitions/line"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
            "anything": {},
            "round": {"$ref": "#"},
        },
        "definitions": {"line": {"type": "object", "properties": {"sku": {"type": "string"}}}},
    }
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        rows = [
            {"id": 1, "price": 2, "at": "2026-11-03T12:00:00Z", "line": {"sku": "x"}, "tags": []},
            {"id": 2, "anything": True},
        ]
        log.append("orders", rows, encode="jsonschema", register=schema)
        stream = log.stream("orders")
        assert stream.decided["orders"].startswith("jsonschema, since 2 of 2")
        assert stream.schema["price"] == pl.Float64
        assert stream.schema["at"] == pl.Datetime("us", "UTC")
        assert stream.schema["line"] == pl.Struct({"sku": pl.String})
        assert stream.schema["tags"] == pl.List(pl.String)
        assert stream.schema["anything"] == pl.Boolean
        assert stream.all().frame()["price"].to_list() == [2.0, None]
        # A column holds no nanoseconds: then a time is the text that it is.
        log.append("orders", [{"finer": "2026-11-03T12:00:00.123456789Z"}], encode="jsonschema")
        finer = log.stream("orders").all().frame()
        assert finer["finer"].to_list()[2] == "2026-11-03T12:00:00.123456789Z"
        wrong = frame_of(1) + b'{"id":"x"}'
        log.append("orders", [{"value": wrong}], encode="bytes")
        assert "id: a string" in log.stream("orders").all().frame()["decode_error"][3]


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [("topic", "orders-value"), ("record", "shop.Order"), ("topic-record", "orders-shop.Order")],
)
def test_subjects_go_by_the_strategy(
    tmp_path: Path, registry: Served, strategy: str, subject: str
) -> None:
    settings = {"url": registry.url, "strategy": strategy}
    with wb.connect(tmp_path / "log", create=True, registry=settings) as log:
        log.create("orders")
        log.append("orders", [{"id": 1, "note": "a"}], encode="avro", register=V1)
        log.append("orders", [{"id": 2, "note": "b"}], encode="avro:shop.Order")
        assert log.stream("orders").all().frame()["id"].to_list() == [1, 2]
    assert list(registry.subjects) == [subject]
    with pytest.raises(ProfileError, match="no strategy 'x'"):
        wb.connect(tmp_path / "log", registry={**settings, "strategy": "x"})


def test_keys_of_every_kind_of_schema(tmp_path: Path, registry: Served) -> None:
    proto = 'syntax = "proto3"; message Key { int32 id = 1; }'
    first = registry.add("a-key", proto, kind="PROTOBUF")
    second = registry.add("b-key", "{}", kind="JSON")
    keys = [frame_of(first) + b"\0\x08\x07", frame_of(second) + b'{"id":7}']
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("orders")
        log.append("orders", [{"key": key, "value": b"{}"} for key in keys], encode="bytes")
        assert log.stream("orders").all().frame()["key"].to_list() == ['{"id":7}'] * 2
