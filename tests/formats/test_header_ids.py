"""Schemas named in headers, as Confluent's own serialisers write them, on both logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    dual_schema_id_deserializer,
    header_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.message_factory import GetMessageClass

import workbench as wb
from tests.formats.support import Served, avro_body, framed, serving
from tests.formats.test_registry import V1, V2
from tests.kafka.broker import Broker
from workbench.decode.protobuf.schemas import ProtobufSchema
from workbench.errors import ProfileError, SchemaError

VALUE, KEY = "__value_schema_id", "__key_schema_id"
DUAL = {"schema.id.deserializer": dual_schema_id_deserializer}
IN_HEADER = {"schema.id.serializer": header_schema_id_serializer}
PROTO = """syntax = "proto3"; package shop;
message Other { int32 x = 1; }
message Order { int64 id = 1; message Line { string sku = 1; } }"""


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path, registry: Served) -> Iterator[wb.Log]:
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        made = wb.connect(f"kafka://{broker.bootstrap}", write=True, registry=registry.url)
    else:
        made = wb.connect(tmp_path / "log", create=True, registry=registry.url)
    with made:
        yield made


def sent(serialise: Any, topic: str, value: Any, part: str = MessageField.VALUE) -> dict[str, Any]:
    """What a producer with that serialiser sends: the columns value (or key) and headers."""
    headers: list[tuple[str, bytes]] = []
    made = serialise(value, SerializationContext(topic, part, headers))
    return {part: made, "headers": [{"name": n, "value": v} for n, v in headers]}


def put(log: wb.Log, topic: str, records: list[dict[str, Any]]) -> wb.Stream:
    log.create(topic)
    log.append(topic, pl.DataFrame(records, infer_schema_length=None), encode="bytes", key="key")
    return log.stream(topic)


def test_avro_of_two_versions_named_both_ways(log: wb.Log, registry: Served) -> None:
    client = SchemaRegistryClient({"url": registry.url})
    topic = f"both-{log.id[:8]}"
    rows = [
        ({"id": 1, "note": "a"}, V1, IN_HEADER),
        ({"id": 2, "note": "b"}, V1, {}),
        ({"id": 1 << 40, "note": None, "amount": Decimal("1.50")}, V2, IN_HEADER),
    ]
    records = [
        sent(AvroSerializer(client, json.dumps(schema), conf=conf), topic, row)
        for row, schema, conf in rows
    ]
    assert [one["value"][:1] == b"\0" for one in records] == [False, True, False]
    tombstone = {"value": None, "headers": []}
    stream = put(log, topic, [{"key": "k", **one} for one in [*records, tombstone]])
    assert stream.decided[topic].startswith("avro, since 3 of 3 sampled values name AVRO schemas")
    frame = stream.all().frame()
    assert "decode_error" not in frame.columns
    assert frame["id"].to_list() == [1, 2, 1 << 40, None]
    assert frame["amount"].to_list() == [None, None, Decimal("1.50"), None]
    first, again, second, _ = frame["schema_id"]
    assert first == again != second
    one = stream.all().where(schema=int(first))
    assert one.frame()["id"].to_list() == one.lazy().collect()["id"].to_list() == [1, 2]
    assert one.sql("SELECT sum(id) AS n FROM slice")["n"].to_list() == [3]
    assert one.completeness().records == 4
    asked = [path for path in registry.asked if "guids" in path]
    assert len(asked) == len(set(asked)) == 2


def test_a_message_within_another_and_json(log: wb.Log, registry: Served) -> None:
    client = SchemaRegistryClient({"url": registry.url})
    line = GetMessageClass(ProtobufSchema(PROTO).named("shop.Order.Line"))
    serialise = ProtobufSerializer(line, client, {"use.deprecated.format": False, **IN_HEADER})
    topic = f"lines-{log.id[:8]}"
    records = [sent(serialise, topic, line(sku=f"s{n}")) for n in range(3)]
    stream = put(log, topic, [{"key": "k", **one} for one in records])
    assert stream.decided[topic].startswith("protobuf, since 3 of 3")
    assert stream.all().frame()["sku"].to_list() == ["s0", "s1", "s2"]

    topic = f"rows-{log.id[:8]}"
    schema = json.dumps(
        {
            "title": "Row",
            "type": "object",
            "properties": {"at": {"type": "string", "format": "date"}},
        }
    )
    serialise = JSONSerializer(schema, client, conf=IN_HEADER)
    stream = put(log, topic, [{"key": "k", **sent(serialise, topic, {"at": "2026-01-02"})}])
    assert stream.decided[topic].startswith("jsonschema, since 1 of 1")
    assert stream.all().frame().schema["at"] == pl.Date()


def test_what_is_written_names_its_schema_in_headers(tmp_path: Path, registry: Served) -> None:
    """Confluent's deserialisers read it, and so do we; null has no schema."""
    nested = 'syntax = "proto3"; message A { message B { int64 id = 1; string note = 2; } }'
    said = {"type": "object", "properties": {"id": {"type": "integer"}, "note": {"type": "string"}}}
    settings = {"url": registry.url, "ids": "headers"}
    client = SchemaRegistryClient({"url": registry.url})
    with wb.connect(tmp_path / "log", create=True, registry=settings) as log:
        row = {"id": 7, "note": "a long note"}  # they take no body of less than six bytes
        for topic, how, schema in (
            ("a", "avro", V1),
            ("p", "protobuf:A.B", nested),
            ("j", "jsonschema", said),
        ):
            log.create(topic)
            more: dict[str, Any] = {"encode_key": "avro", "register_key": json.dumps("string")}
            more |= {"headers": [("via", b"x")], "encode": how, "register": schema}
            log.append(topic, [row, None], key=lambda row: row and row["note"], **more)
            stream = log.stream(topic)
            frame = stream.all().frame(raw=True)
            assert frame["id"].to_list() == [7, None], topic
            assert frame["key"].to_list() == ["a long note", None]
            first, second = frame["headers"].to_list()
            assert [one["name"] for one in first] == ["via", KEY, VALUE]
            assert [one["name"] for one in second] == ["via"]
            headers = [(one["name"], one["value"]) for one in first]
            context = SerializationContext(topic, MessageField.VALUE, headers)
            value = frame["value"][0]
            if how == "avro":
                assert AvroDeserializer(client, conf=DUAL)(value, context) == row
            elif how == "jsonschema":
                assert JSONDeserializer(json.dumps(said), conf=DUAL)(value, context) == row
                assert json.loads(value) == row
            else:
                made = GetMessageClass(ProtobufSchema(nested).named("A.B"))
                read = ProtobufDeserializer(made, {"use.deprecated.format": False, **DUAL})
                assert read(value, context) == made(**row)
        log.create("d")
        changes = [{"op": "c", "before": None, "after": {"id": 1}}]
        envelope = {
            "type": "record",
            "name": "E",
            "fields": [
                {"name": "op", "type": "string"},
                *(
                    {"name": name, "type": ["null", kind], "default": None}
                    for name, kind in (
                        ("before", {"type": "record", "name": "R", "fields": [*V1["fields"][:1]]}),
                        ("after", "R"),
                    )
                ),
            ],
        }
        log.append("d", changes, encode="debezium+avro", register=envelope)
        frame = log.stream("d", decode="debezium").all().frame(raw=True)
        assert frame["id"].to_list() == [1]
        assert [one["name"] for one in frame["headers"][0]] == [VALUE]
    with pytest.raises(ProfileError, match="ids cannot be in 'keys'"):
        wb.connect(tmp_path / "log", registry={**settings, "ids": "keys"})


def test_a_guid_of_a_context(tmp_path: Path, registry: Served) -> None:
    """A registry numbers the schemas of each context for itself; a number alone is of none."""
    plain, inner, other = (registry.add(f"{n}-value", {**V1, "name": f"R{n}"}) for n in range(3))
    registry.contexts = {inner: ".lab", other: ".lab"}
    named = {n: b"\1" + UUID(registry.guid(n)).bytes for n in (plain, inner, other)}
    body = avro_body(V1, {"id": 7, "note": "x"})
    rows = [{"value": body, "headers": [{"name": VALUE, "value": one}]} for one in named.values()]
    rows.append({"value": framed(inner, V1, {"id": 1, "note": ""}), "headers": []})
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        log.create("t")
        log.append("t", rows, encode="bytes")
        part = log.stream("t").all()
        frame = part.frame()
        assert frame["id"].to_list() == [7, 7, 7, None]
        assert frame["decode_error"].str.contains(f"has no schema {inner}$").to_list()[3]
        ids = frame["schema_id"].to_list()
        assert (ids[0], ids[3]) == (plain, inner)
        assert 1 << 31 < min(ids[1:3]) != max(ids[1:3])
        assert part.where(schema=ids[1]).frame()["offset"].to_list() == [1]
        log.record(tmp_path / "copy")
    # What is recorded has the same numbers, without the registry.
    with wb.connect(tmp_path / "copy") as copy:
        assert copy.stream("t").all().frame()["schema_id"].to_list() == ids


def test_keys(log: wb.Log, registry: Served) -> None:
    client = SchemaRegistryClient({"url": registry.url})
    topic = f"keys-{log.id[:8]}"
    text = AvroSerializer(client, '"string"', conf=IN_HEADER)
    whole = AvroSerializer(client, json.dumps(V1), conf=IN_HEADER)
    records = [
        sent(text, topic, "north", MessageField.KEY),
        sent(whole, topic, {"id": 7, "note": "x"}, MessageField.KEY),
        {"key": b"plain", "headers": [{"name": KEY, "value": b"\1" + b"?" * 16}]},
        {"key": b"none", "headers": [{"name": KEY, "value": None}]},
    ]
    stream = put(log, topic, [{"value": b'{"n":1}', **one} for one in records])
    frame = stream.all().frame()
    assert frame["key"].to_list() == ["north", '{"id":7,"note":"x"}', "plain", "none"]
    assert frame["n"].to_list() == [1] * 4
    [said] = frame["decode_error"].drop_nulls()
    assert said == (
        "key: its header __key_schema_id names schema 3f3f3f3f-3f3f-3f3f-3f3f-3f3f3f3f3f3f, which "
        f"{registry.url} does not have"
    )


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\1" + bytes(16), "names schema 00000000-0000-0000-0000-000000000000, which http"),
        (b"\1" + bytes(15), f"is no id of a schema: 01{'00' * 15}"),
        (b"\0\0\0\0", "is no id of a schema: 00000000"),
        (b"\7" * 99, f"is no id of a schema: {'07' * 17}"),
        (b"", "is no id of a schema: empty"),
        (b"\0\0\0\0\x63", "has no schema 99"),
    ],
)
def test_headers_that_name_no_schema(
    tmp_path: Path, registry: Served, head: bytes, said: str
) -> None:
    good = {"name": VALUE, "value": b"\0" + registry.add("orders-value", V1).to_bytes(4, "big")}
    body = avro_body(V1, {"id": 1, "note": "a"})
    bad = {"name": VALUE, "value": head}
    listed = [[good], [bad], [good], [bad], [bad, good], [good, bad], []]
    values = [
        *[body] * 5,
        framed(1, V1, {"id": 5, "note": "e"}),
        framed(1, V1, {"id": 6, "note": "f"}),
    ]
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        records = [
            {"key": "k", "value": v, "headers": h} for v, h in zip(values, listed, strict=True)
        ]
        whole = put(log, "orders", records).all()
        frame = whole.frame(raw=True)
        # The last header of a name is the one that counts, as Java's clients have it.
        assert frame["id"].to_list() == [1, None, 1, None, 1, None, 6]
        wrong = frame["decode_error"].drop_nulls()
        assert len(wrong) == 3
        assert wrong.n_unique() == 1
        assert said in wrong[0]
        assert frame["value"].to_list() == values
        assert len([path for path in registry.asked if "guids" in path]) <= 1


def test_no_schema_at_all(tmp_path: Path, registry: Served) -> None:
    body = avro_body(
        V1, {"id": 1, "note": "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")}
    )
    record = {"key": "k", "value": body, "headers": [{"name": VALUE, "value": b"\1" + bytes(16)}]}
    with wb.connect(tmp_path / "bare", create=True) as log:
        stream = put(log, "orders", [record])
        assert (
            "names schema 00000000-0000-0000-0000-000000000000, and no" in stream.decided["orders"]
        )
    with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
        stream = put(log, "orders", [record])
        assert f"which {registry.url} does not have" in stream.decided["orders"]
        with pytest.raises(
            SchemaError, match=r"its header __value_schema_id names schema 00000000"
        ):
            log.stream("orders", decode="avro").all().frame()


def test_recordings_and_bags_keep_what_guids_name(tmp_path: Path) -> None:
    with serving() as registry:
        schema_id = registry.add("orders-value", V1)
        head = b"\1" + UUID(registry.guid(schema_id)).bytes
        record = {
            "key": "k",
            "value": avro_body(V1, {"id": 1, "note": "a"}),
            "headers": [{"name": VALUE, "value": head}],
        }
        with wb.connect(tmp_path / "log", create=True, registry=registry.url) as log:
            whole = put(log, "orders", [record]).all()
            whole.record(tmp_path / "recording")
            whole.seal(tmp_path / "bag", purpose="a test")
            expected = whole.frame()
    for place in ("recording", "bag"):
        with wb.connect(tmp_path / place) as log:
            again = log.stream("orders").all().frame()
            assert again.select("id", "note", "schema_id").equals(
                expected.select("id", "note", "schema_id")
            )
