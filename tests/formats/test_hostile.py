"""What records, registries and folders may hold: at most an error of the record, or a sentence."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import workbench as wb
from tests.formats.support import Served, framed
from tests.formats.test_registry import V1
from workbench.decode import registry as asked_of
from workbench.decode.framing import frame_of
from workbench.errors import SchemaError, Unreachable

GOOD = framed(1, V1, {"id": 1, "note": "a"})
DEEP = b"[" * 300_000
PROTO = 'syntax = "proto3"; message A { int32 x = 1; }'
CE = [{"name": f"ce_{n}", "value": v} for n, v in (("id", b"1"), ("source", b"s"), ("type", b"t"))]
CE.append({"name": "ce_specversion", "value": b"1.0"})


def read(tmp_path: Path, registry: Any, values: list[Any], decode: str = "auto") -> pl.DataFrame:
    """Records of values, or of rows with key, value and headers, decoded."""
    rows = [one if isinstance(one, dict) else {"value": one} for one in values]
    with wb.connect(tmp_path / "log", create=True, registry=registry) as log:
        log.create("t")
        log.append("t", rows, encode="bytes")
        return log.stream("t", decode=decode).all().frame(raw=True, rest=True)


def errors(frame: pl.DataFrame) -> list[str]:
    return frame["decode_error"].drop_nulls().to_list()


@pytest.mark.parametrize(
    ("decode", "good", "bad"),
    [
        ("debezium", b'{"op":"c","after":{"id":1}}', b'{"schema":1,"payload":' + DEEP),
        ("debezium", b'{"op":"c","after":{"id":1}}', b'{"schema":' + DEEP + b',"payload":{}}'),
        ("cloudevents", {"value": b"{}", "headers": CE}, {"value": DEEP, "headers": CE}),
        ("cloudevents", {"value": b"{}", "headers": CE}, b'{"time":"","data":' + DEEP + b"}"),
    ],
    ids=["payload", "schema", "binary", "structured"],
)
def test_one_deep_record_among_others(tmp_path: Path, decode: str, good: Any, bad: Any) -> None:
    frame = read(tmp_path, None, [good, bad, good], decode)
    assert len(errors(frame)) == 1
    assert frame["decode_error"].is_null().to_list() == [True, False, True]
    assert frame["value"][1] == (bad["value"] if isinstance(bad, dict) else bad)


def test_a_deep_key_is_shown_as_it_is(tmp_path: Path) -> None:
    row = {"key": b'{"payload":' + DEEP, "value": b'{"op":"c","after":{"id":1}}'}
    assert read(tmp_path, None, [row], "debezium")["id"].to_list() == [1]


@pytest.mark.parametrize(
    "body",
    [b'{"id":1,"x":%s}' % (b"1" * 5_000), b'{"id":1,"x":"\\ud800"}', b'{"id":1,"x":1e999}'],
    ids=["a long number", "half a character", "a large exponent"],
)
def test_json_that_a_checker_may_not_take(tmp_path: Path, registry: Served, body: bytes) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "x": {"maximum": 5}}}
    number = registry.add("t-value", schema, kind="JSON")
    values = [frame_of(number) + one for one in (b'{"id":1}', body, b'{"id":2}')]
    frame = read(tmp_path, registry.url, values)
    assert frame["id"].to_list() in ([1, None, 2], [1, 1, 2])
    assert frame["value"].to_list() == values


@pytest.mark.parametrize(
    "answer",
    [
        {"schema": 5},
        {"schema": None},
        {"schema": {"type": "string"}},
        {"schema": '"string"', "schemaType": ["AVRO"]},
        {"schema": DEEP.decode()},
        {"schema": DEEP.decode(), "schemaType": "JSON"},
        {"schema": '{"items":' * 90_000 + "{}" + "}" * 90_000, "schemaType": "JSON"},
        {"schema": "x", "schemaType": "THRIFT"},
    ],
    ids=["number", "null", "object", "type", "avro", "json", "closed", "thrift"],
)
@pytest.mark.parametrize("decode", ["auto", "avro", "jsonschema", "protobuf"])
def test_what_a_registry_may_answer(
    tmp_path: Path, registry: Served, answer: dict[str, Any], decode: str
) -> None:
    registry.schemas[1] = answer
    registry.schemas[2] = {"schema": json.dumps(V1)}
    values = [{"key": GOOD, "value": GOOD}, {"value": frame_of(2) + GOOD[5:]}]
    # Where no value can be read as asked, a sentence says why.
    with contextlib.suppress(SchemaError if decode != "auto" else ()):
        frame = read(tmp_path, registry.url, values, decode)
        assert frame["value"].to_list() == [GOOD, values[1]["value"]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("1.json", DEEP, "holds no schema"),
        ("1.json", b'{"schema":"\\"string\\"","schemaType":["A"]}', "not what a registry keeps"),
        ("1.json", b'{"schema":"\\"string\\"","references":{"a":5}}', "not what a registry keeps"),
        ("1.avsc", DEEP, "not an Avro schema"),
        ("1.avsc", b"\xff", "holds no schema"),
    ],
)
def test_what_a_folder_may_hold(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / name).write_bytes(content)
    with pytest.raises(SchemaError, match=said):
        read(tmp_path, tmp_path / "schemas", [GOOD], "avro")


def test_a_schema_in_a_folder_may_be_an_object(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "1.json").write_text(json.dumps({"id": 1, "schema": V1}))
    assert read(tmp_path, tmp_path / "schemas", [GOOD])["id"].to_list() == [1]


def test_a_guid_in_a_folder_names_a_number(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    guid = "00000000-0000-0000-0000-000000000000"
    text = json.dumps({"id": "x", "schema": V1})
    (tmp_path / "schemas" / f"{guid}.json").write_text(text)
    head = {"name": "__value_schema_id", "value": b"\1" + bytes(16)}
    row = {"value": GOOD[5:], "headers": [head]}
    assert read(tmp_path, tmp_path / "schemas", [row]).height == 1


@pytest.mark.parametrize("kind", ["avro", "json", "keys", "guids"])
def test_ids_at_random_are_not_all_asked_for(
    tmp_path: Path, registry: Served, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("t-value", V1)
    registry.add("u-value", {"type": "object"}, kind="JSON")
    good = frame_of(2) + b'{"id":1}' if kind == "json" else GOOD
    monkeypatch.setattr(asked_of, "MAX_MISSES", most := 100)
    count = 400
    values: list[Any] = [good] * (count + 1_000)
    if kind == "keys":
        values += [{"key": frame_of(10 + n) + b"\2", "value": good} for n in range(count)]
    elif kind == "guids":
        for n in range(count):
            head = {"name": "__value_schema_id", "value": b"\1" + n.to_bytes(16, "big")}
            values.append({"value": GOOD[5:], "headers": [head]})
    else:
        values += [frame_of(10 + n) + good[5:] for n in range(count)]
    frame = read(tmp_path, registry.url, values)
    assert len(registry.asked) <= most + 10
    if kind != "keys":
        assert len(errors(frame)) == count
        assert sum("is not asked for schema" in one for one in errors(frame)) == count - most
        assert frame["id"].sum() == count + 1_000
    if kind in ("avro", "json"):
        assert frame["schema_id"].to_list()[-count:] == list(range(10, 10 + count))


def test_places_of_messages_at_random(tmp_path: Path, registry: Served) -> None:
    number = registry.add("t-value", PROTO, kind="PROTOBUF")
    head = frame_of(number)
    good = head + b"\0\x08\x01"
    bad = [
        head + b"\2" + bytes([0x80 | n & 0x7F, 0x80 | n >> 7 & 0x7F, n >> 14 | 1]) + b"\x08\x01"
        for n in range(1_000)
    ]
    frame = read(tmp_path, registry.url, [good] * 1_001 + bad)
    assert frame["x"].to_list() == [1] * 1_001 + [None] * 1_000
    assert frame["decode_error"].n_unique() < 70


@contextlib.contextmanager
def answering(body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client has had enough
                super().handle()

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_registry_that_answers_with_a_bomb(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(70)) + packer.flush()
    with answering(body) as url, pytest.raises(Unreachable, match="more than 64 MiB"):
        read(tmp_path, url, [GOOD])


@pytest.mark.parametrize(
    ("price", "scale"),
    [
        (base64.b64encode(b"\x7f" * 3_000_000).decode(), "2"),
        ("ä", "2"),
        ({"a": 1}, "2"),
        ("AA==", "-5"),
        ("AA==", "999999999999"),
        ("AA==", "x"),
        ("", "2"),
    ],
)
def test_decimals_that_are_none(tmp_path: Path, price: Any, scale: str) -> None:
    def event(price: Any, scale: str) -> bytes:
        decimal = {"name": "org.apache.kafka.connect.data.Decimal", "field": "p"}
        decimal["parameters"] = {"scale": scale}  # type: ignore[assignment]
        schema = {"fields": [{"field": "after", "fields": [decimal]}]}
        payload = {"op": "c", "before": None, "after": {"id": 1, "p": price}}
        return json.dumps({"schema": schema, "payload": payload}).encode()

    good = event("AfQ=", "2")
    frame = read(tmp_path, None, [good, event(price, scale), good], "debezium")
    assert frame["p"].cast(pl.String).to_list() == ["5.00", None, "5.00"]
    assert len(errors(frame)) == 1
