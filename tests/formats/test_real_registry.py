"""A real registry and a real broker, with Confluent's own serialisers on the other side."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.message_factory import GetMessageClass

import workbench as wb
from tests.formats.apicurio import resolve, running
from tests.formats.test_registry import MONEY, ORDER, V1, V2, V3
from tests.kafka.broker import Broker, BrokerUnavailable
from workbench.decode.protobuf.schemas import ProtobufSchema

pytestmark = pytest.mark.kafka

PROTO = """syntax = "proto3"; package shop;
message Other { int32 x = 1; }
message Order { int64 id = 1; optional string note = 2; repeated Line lines = 3;
  message Line { string sku = 1; } }"""


@pytest.fixture(scope="module")
def url(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        resolve()
    except BrokerUnavailable as reason:
        pytest.skip(str(reason))
    with running(tmp_path_factory.mktemp("registry")) as place:
        yield place


@pytest.fixture(scope="module")
def log(kafka: Broker, url: str) -> Iterator[wb.Log]:
    with wb.connect(f"kafka://{kafka.bootstrap}", write=True, registry=url) as log:
        yield log


@pytest.fixture(scope="module")
def client(url: str) -> SchemaRegistryClient:
    # It has no patience of its own: an answer that is lost would be waited for without end.
    return SchemaRegistryClient({"url": url, "timeout": 20})


def value_of(topic: str) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE)


def put(log: wb.Log, topic: str, values: list[Any]) -> None:
    log.create(topic)
    log.append(topic, [{"value": value} for value in values], encode="bytes")


def newest(log: wb.Log, topic: str) -> bytes:
    value = log.stream(topic, decode="bytes").all().frame()["value"][-1]
    assert isinstance(value, bytes)
    return value


def test_avro_of_three_versions_both_ways(log: wb.Log, client: SchemaRegistryClient) -> None:
    rows = [
        ({"id": 1, "note": "a"}, V1),
        ({"id": 1 << 40, "note": None, "amount": Decimal("1.50")}, V2),
        ({"id": 3, "note": "c", "amount": Decimal(2), "tags": ["x"]}, V3),
    ]
    topic, context = "registry-avro", value_of("registry-avro")
    put(log, topic, [AvroSerializer(client, json.dumps(s))(row, context) for row, s in rows])
    stream = log.stream(topic)
    assert stream.decided[topic].startswith("avro, since 3 of 3")
    frame = stream.all().frame()
    assert frame["id"].to_list() == [1, 1 << 40, 3]
    assert frame["amount"].to_list() == [None, Decimal("1.50"), Decimal("2.00")]
    last = int(frame["schema_id"][2])
    assert stream.all().where(schema=last).frame()["tags"].to_list() == [["x"]]
    row = {"id": 4, "note": "w", "amount": Decimal("9.00"), "tags": []}
    log.append(topic, [row], encode="avro")
    assert AvroDeserializer(client)(newest(log, topic), context) == row


def test_protobuf_both_ways(log: wb.Log, client: SchemaRegistryClient) -> None:
    topic, context = "registry-protobuf", value_of("registry-protobuf")
    order = GetMessageClass(ProtobufSchema(PROTO).named("shop.Order"))
    conf = {"use.deprecated.format": False}
    serialise = ProtobufSerializer(order, client, conf)
    put(
        log,
        topic,
        [serialise(order(id=n, note="x", lines=[{"sku": "s"}]), context) for n in range(300)],
    )
    frame = log.stream(topic).all().frame()
    assert frame["id"].to_list() == list(range(300))
    assert frame["lines"][299].to_list() == [{"sku": "s"}]
    assert "decode_error" not in frame.columns
    log.append(topic, [{"id": 7, "lines": [{"sku": "q"}]}], encode="protobuf:shop.Order")
    theirs = ProtobufDeserializer(order, conf)(newest(log, topic), context)
    assert theirs == order(id=7, lines=[{"sku": "q"}])
    # By a text that is registered from here.
    log.create("registry-text")
    log.append("registry-text", [{"id": 8}], encode="protobuf:shop.Order", register=PROTO)
    assert ProtobufDeserializer(order, conf)(newest(log, "registry-text"), context) == order(id=8)


def test_references(log: wb.Log, client: SchemaRegistryClient) -> None:
    client.register_schema("registry-money", Schema(MONEY, "PROTOBUF"))
    refers = [SchemaReference("money.proto", "registry-money", 1)]
    number = client.register_schema("registry-refers-value", Schema(ORDER % "", "PROTOBUF", refers))
    body = b"\0" + number.to_bytes(4, "big") + b"\0\x4a\x02\x08\x05"
    put(log, "registry-refers", [body])
    assert log.stream("registry-refers").all().frame()["total"].to_list() == [{"cents": 5}]


def test_json_schema_both_ways(log: wb.Log, client: SchemaRegistryClient) -> None:
    topic, context = "registry-json", value_of("registry-json")
    at = {"type": "string", "format": "date-time"}
    properties = {"id": {"type": "integer"}, "at": at}
    schema = json.dumps({"title": "Order", "type": "object", "properties": properties})
    row = {"id": 1, "at": "2026-01-01T00:00:00Z"}
    put(log, topic, [JSONSerializer(schema, client)(row, context)])
    frame = log.stream(topic).all().frame()
    assert frame.select("id", "at").row(0) == (1, datetime(2026, 1, 1, tzinfo=UTC))
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    log.append(topic, [{"id": 5}], encode="jsonschema")
    assert JSONDeserializer(schema)(newest(log, topic), context) == {"id": 5}


KEY = json.dumps({"type": "record", "name": "Key", "fields": [{"name": "n", "type": "int"}]})
JSON = json.dumps({"title": "O", "type": "object", "required": ["id"]})
IN_PLACE = {"use.deprecated.format": False}


def avro_pair(theirs: SchemaRegistryClient) -> tuple[Any, Any]:
    return AvroSerializer(theirs, json.dumps(V3)), AvroDeserializer(theirs)


def protobuf_pair(theirs: SchemaRegistryClient) -> tuple[Any, Any]:
    order = GetMessageClass(ProtobufSchema(PROTO).named("shop.Order"))
    write, read = ProtobufSerializer(order, theirs, IN_PLACE), ProtobufDeserializer(order, IN_PLACE)

    def as_row(body: bytes, context: SerializationContext) -> dict[str, Any]:
        found = read(body, context)
        lines = [{"sku": line.sku} for line in found.lines]
        return {"id": found.id, "note": found.note, "lines": lines}

    return lambda row, context: write(order(**row), context), as_row


def json_pair(theirs: SchemaRegistryClient) -> tuple[Any, Any]:
    return JSONSerializer(JSON, theirs), JSONDeserializer(JSON)


@pytest.mark.parametrize(
    ("encode", "schema", "pair", "row"),
    [
        (
            "avro",
            json.dumps(V3),
            avro_pair,
            {"id": 1 << 40, "note": None, "amount": Decimal("-0.05"), "tags": ["ä", ""]},
        ),
        (
            "protobuf:shop.Order",
            PROTO,
            protobuf_pair,
            {"id": -7, "note": "", "lines": [{"sku": "q"}]},
        ),
        ("jsonschema", JSON, json_pair, {"id": 7, "nested": {"a": [1, 2]}}),
    ],
    ids=["avro", "protobuf", "jsonschema"],
)
def test_a_folder_of_schemas_on_a_cluster(
    kafka: Broker, tmp_path: Path, encode: str, schema: str, pair: Any, row: dict[str, Any]
) -> None:
    """Written here and read by Confluent's clients, and the other way round; keys too."""
    topic = f"folder-{encode.partition(':')[0]}"
    (tmp_path / "schemas").mkdir()
    with wb.connect(f"kafka://{kafka.bootstrap}", write=True, registry=tmp_path / "schemas") as log:
        log.create(topic)
        more: dict[str, Any] = {"register": schema, "encode_key": "avro", "register_key": KEY}
        log.append(topic, [row, None], encode=encode, key=lambda _: {"n": 5}, **more)

        # Their registry, in memory, gives the ids that the folder has.
        theirs = SchemaRegistryClient.new_client({"url": "mock://"})
        kind = {"protobuf:shop.Order": "PROTOBUF", "jsonschema": "JSON"}.get(encode, "AVRO")
        if kind == "PROTOBUF":  # they name a schema by its descriptor
            file = ProtobufSchema(PROTO).named("shop.Order").file
            schema = base64.standard_b64encode(file.serialized_pb).decode()
        assert theirs.register_schema(f"{topic}-value", Schema(schema, kind)) == 1
        assert theirs.register_schema(f"{topic}-key", Schema(KEY, "AVRO")) == 2
        write, read = pair(theirs)
        key_context = SerializationContext(topic, MessageField.KEY)
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        key = AvroSerializer(theirs, KEY)({"n": 6}, key_context)
        producer.produce(topic, write(row, value_of(topic)), key, partition=0)
        producer.flush()

        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "none"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = [message for message in consumer.consume(3, timeout=30) if not message.error()]
        consumer.close()
        keys, values = AvroDeserializer(theirs), [message.value() for message in found]
        assert [keys(message.key(), key_context) for message in found] == [
            {"n": n} for n in (5, 5, 6)
        ]
        assert values[1] is None
        assert [read(value, value_of(topic)) for value in (values[0], values[2])] == [row, row]

        stream = log.stream(topic)
        frame = stream.all().frame()
        assert frame["key"].to_list() == ['{"n":5}', '{"n":5}', '{"n":6}']
        assert frame.select(list(row)).row(0, named=True) == row
        assert frame.select(list(row)).row(2, named=True) == row
        assert "decode_error" not in frame.columns
