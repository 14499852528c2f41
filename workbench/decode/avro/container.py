"""Avro object container files as values: each brings its schema along, and holds one record.

Apache Avro 1.12, "Object Container Files".  Compression is none or deflate.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import polars as pl

from workbench.decode.avro.nodes import Node, parse_avro
from workbench.decode.avro.records import Cursor, column_reader, decode_one_by_one
from workbench.decode.document import Misfit
from workbench.decode.fit import merge_fields
from workbench.decode.framed import fitted
from workbench.decode.protocol import Decoded, empty_columns
from workbench.errors import SchemaError
from workbench.schema import Schema

MAGIC = b"Obj\x01"

#: A block that becomes larger than this when it is unpacked is refused.
MAX_UNPACKED = 64 << 20

_META = parse_avro('{"type": "map", "values": "bytes"}')


def schema_of(values: pl.Series) -> Schema:
    """The fields of the records in some values.  Raises SchemaError where there is none."""
    merged: dict[str, pl.DataType] = {}
    for text in dict.fromkeys(_text(value) for value in values.drop_nulls()):
        if text is not None:
            node = parse_avro(text)
            given = {n: part.dtype for n, part in zip(node.names, node.parts, strict=True)}
            merged = merge_fields(given, merged) if merged else given
    if not merged:
        raise SchemaError("none of the sampled values is an Avro object container")
    return Schema.of_columns(merged)


def decode(values: pl.Series, schema: Schema) -> Decoded:
    """Decode values that are containers of one record each."""
    nodes: dict[str, Node] = {}
    groups: dict[str | None, list[int]] = {}
    bodies: list[bytes | None] = []
    problems: list[str | None] = []
    for place, value in enumerate(values):
        text, body, problem = None, None, None
        if value is not None:
            try:
                text, body = _open(value)
                if text not in nodes:
                    nodes[text] = _node(text)
            except (Misfit, SchemaError) as error:
                text, problem = None, f"no Avro object container of one record: {error}"
        groups.setdefault(text, []).append(place)
        bodies.append(body)
        problems.append(problem)
    parts = []
    packed = pl.Series(bodies, dtype=pl.Binary)
    for text, places in groups.items():
        index = pl.Series("index", places, dtype=pl.UInt32)
        if text is None:
            errors = pl.Series([problems[place] for place in places], dtype=pl.String)
            made = fitted([], errors, schema, "")
        else:
            made = fitted(*decode_one_by_one(packed.gather(index), nodes[text]), schema, "a file")
        parts.append(made.insert_column(0, index))
    whole = (
        pl.concat(parts).sort("index") if parts else fitted([], packed.cast(pl.String), schema, "")
    )
    names = list(empty_columns(schema, 0).columns)
    return Decoded(whole.select(names), whole["decode_error"], whole["_rest"])


@lru_cache(maxsize=64)
def _node(text: str) -> Node:
    return parse_avro(text)


def _text(value: bytes) -> str | None:
    try:
        return _open(value)[0]
    except Misfit:
        return None


def _open(value: bytes) -> tuple[str, bytes]:
    """The schema's text, and the body of the only record.  Raises Misfit."""
    if not value.startswith(MAGIC):
        raise Misfit("it does not begin with Obj and a one")
    cursor = Cursor(value, len(MAGIC))
    entries = column_reader(_META)(cursor)["value"]
    meta = {entry["key"]: entry["value"] for entry in entries}
    mark = cursor.take(16)
    count, size = cursor.long(), cursor.long()
    if count != 1:
        raise Misfit(f"it holds {count:,} records in its first block")
    body = cursor.take(size)
    if cursor.take(16) != mark or cursor.pos != len(value):
        raise Misfit("its block does not end where the file does")
    codec = meta.get("avro.codec", b"null")
    if codec == b"deflate":
        body = _inflated(body)
    elif codec != b"null":
        raise Misfit(f"it is compressed by {codec[:20]!r}; read are null and deflate")
    return meta.get("avro.schema", b"").decode("utf-8", errors="replace"), body


def _inflated(body: bytes) -> bytes:
    unpacking = zlib.decompressobj(-15)
    try:
        data = unpacking.decompress(body, MAX_UNPACKED)
    except zlib.error as error:
        raise Misfit(f"it does not unpack: {error}") from None
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise Misfit(f"it unpacks to more than {MAX_UNPACKED:,} bytes, or is cut off")
    return data
