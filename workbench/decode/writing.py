"""Rows to the values of a format, for appending, by a schema where the format has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from workbench.decode import cloudevents, debezium
from workbench.decode.codebook import Codebook
from workbench.decode.encode import encode_json, encode_rows
from workbench.decode.framing import HEAD, frame_of
from workbench.decode.headed import HEADERS
from workbench.decode.registry import Kind, Part, Registered
from workbench.decode.row_loop import each_row
from workbench.errors import AppendRejected, SchemaError

_KINDS: dict[str, Kind] = {"avro": "AVRO", "protobuf": "PROTOBUF", "jsonschema": "JSON"}

#: What `encode=` takes beside a function.
ENCODERS = ("json", "bytes", "text", *_KINDS, "debezium", "cloudevents", "cloudevents:binary")

_HEADERS = pl.List(pl.Struct({"name": pl.String, "value": pl.Binary}))

#: Makes a Binary column of rows, or the columns value and headers.
Encoder = Callable[[Any], pl.Series | pl.DataFrame]


def encoder(
    encode: str | Callable[[Any], bytes],
    codebook: Codebook,
    topic: str,
    register: Mapping[str, Any] | str | None = None,
    part: Part = "value",
) -> str | Encoder:
    """What encodes rows: `json` and `bytes` as they are, else by a format or a function of the row.

    `avro`, `protobuf` and `jsonschema` are written by a schema of the registry and may name a
    record after a colon: the message to write, and the subject where the registry's `strategy` goes
    by records; its `ids` says where values name their schema.  `debezium+avro` (and the others)
    writes envelopes so.  Raises SchemaError where there is no schema, and for one of another type;
    AppendRejected for a name that is no format.
    """
    if callable(encode):
        return each_row(_checked(encode), "what its function writes", None)
    outer, _, inner = str(encode).partition("+")
    if outer == "debezium" and part == "value":
        within = encoder(inner or "json", codebook, topic, register)
        return lambda rows: _by(within, debezium.envelopes(rows))
    name, _, record = str(encode).partition(":")
    if name in _KINDS:
        schema = codebook.writable(_KINDS[name], topic, register, record or None, part)
        made, size = _by_schema(name, schema, record or None, topic)
        if codebook.named_registry(name).strategy.ids == "values":
            return made
        return lambda rows: _in_headers(made(rows), size, HEADERS[part])
    if register is not None:
        raise SchemaError(f"encode={encode!r} is written by no schema, and one is to be registered")
    match encode:
        case "json" | "bytes":
            return encode
        case "text":
            return each_row(_text, "a text", "a row is a string, or has one as `value`")
        case "cloudevents":
            return cloudevents.written
        case "cloudevents:binary":
            return lambda rows: cloudevents.written(rows, binary=True)
    raise AppendRejected(
        f"there is no encoding {encode!r}", hint=f"there are {', '.join(ENCODERS)}, or a function"
    )


def key_encoder(
    encode: str | Callable[[Any], bytes],
    codebook: Codebook,
    topic: str,
    register: Mapping[str, Any] | str | None = None,
) -> Encoder | None:
    """What encodes keys; None for text, which a log writes as it is.

    By the schema of the subject `topic-key`, unless the registry's strategy goes by records.
    Raises as `encoder` does.
    """
    if encode == "text" and register is None:
        return None
    if encode == "json" and register is None:
        return each_row(encode_json, "JSON", None)
    if callable(encode) or str(encode).partition(":")[0] in _KINDS:
        made = encoder(encode, codebook, topic, register, "key")
        assert callable(made)
        return made
    raise AppendRejected(
        f"keys are not written as {encode!r}",
        hint=f"there are text, json, {', '.join(_KINDS)}, or a function",
    )


def _by(within: str | Encoder, rows: Any) -> pl.Series | pl.DataFrame:
    return within(rows) if callable(within) else encode_rows(rows)


def _checked(function: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def write(row: Any) -> bytes:
        made = function(row)
        if not isinstance(made, bytes):
            raise TypeError(f"{function!r} gives a {type(made).__name__}, not bytes")
        return made

    return write


def _text(row: Any) -> bytes:
    text = row["value"] if isinstance(row, Mapping) else row
    if not isinstance(text, str):
        raise TypeError(f"a {type(text).__name__}")
    return text.encode()


def _in_headers(framed: pl.Series, size: int, name: str) -> pl.DataFrame:
    """Values with what names their schema in a header, which null has not."""
    heads = framed.bin.slice(0, size)
    listed = [[] if head is None else [{"name": name, "value": head}] for head in heads]
    return pl.DataFrame(
        {"value": framed.bin.slice(size), "headers": pl.Series(listed, dtype=_HEADERS)}
    )


def _by_schema(
    name: str, schema: Registered, record: str | None, topic: str
) -> tuple[Callable[[Any], pl.Series], int]:
    """What encodes, and how many bytes before each value name the schema."""
    if schema.kind != _KINDS[name]:
        raise SchemaError(
            f"the newest schema of {topic} is of the type {schema.kind}",
            hint=f"encode={name!r} writes {_KINDS[name]}",
        )
    if name == "avro":
        from workbench.decode.avro.writing import avro_encoder

        return avro_encoder(schema), HEAD
    if name == "protobuf":
        from workbench.decode.protobuf.writing import protobuf_encoder

        return protobuf_encoder(schema, record)
    return _json_encoder(schema), HEAD


def _json_encoder(schema: Registered) -> Callable[[Any], pl.Series]:
    from workbench.decode.validity import validator

    head, problem = frame_of(schema.id or 0), validator(schema.text, schema.references)

    def write(row: Any) -> bytes:
        made = encode_json(row)
        said = problem(made)
        if said is not None:
            raise ValueError(said)
        return head + made

    hint = "what is written by a JSON Schema has to be valid"
    return each_row(write, f"of the schema {schema.id}", hint)
