"""Rows to the values of a format, for appending, by a schema where the format has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from workbench.decode.codebook import Codebook
from workbench.decode.encode import encode_rows
from workbench.decode.framing import frame_of
from workbench.decode.registry import Kind, Registered
from workbench.errors import SchemaError

_KINDS: dict[str, Kind] = {"avro": "AVRO", "protobuf": "PROTOBUF", "jsonschema": "JSON"}

Encoder = Callable[[Any], pl.Series]


def encoder(
    encode: str,
    codebook: Codebook,
    topic: str,
    register: Mapping[str, Any] | str | None = None,
) -> str | Encoder:
    """What encodes rows: `json` and `bytes` as they are, else by a schema of the registry.

    `avro`, `protobuf` and `jsonschema` may name a record after a colon: the message to write, and
    the subject where the registry's `strategy` goes by records.  Raises SchemaError where there is
    no schema, and for one of another type.
    """
    name, _, record = encode.partition(":")
    if name not in _KINDS:
        return encode
    schema = codebook.writable(_KINDS[name], topic, register, record or None)
    if schema.kind != _KINDS[name]:
        raise SchemaError(
            f"the newest schema of {topic} is of the type {schema.kind}",
            hint=f"encode={name!r} writes {_KINDS[name]}",
        )
    if name == "avro":
        from workbench.decode.avro.writing import avro_encoder

        return avro_encoder(schema)
    if name == "protobuf":
        from workbench.decode.protobuf.writing import protobuf_encoder

        return protobuf_encoder(schema, record or None)
    return _json_encoder(schema)


def _json_encoder(schema: Registered) -> Encoder:
    head = frame_of(schema.id or 0)

    def encode(rows: Any) -> pl.Series:
        made = encode_rows(rows).alias("value")
        return made.to_frame().select(pl.lit(head) + pl.col("value")).to_series().alias("value")

    return encode
