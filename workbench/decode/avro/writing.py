"""Rows to Avro values in a registry's frame, for appending.  By fastavro."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from workbench.decode.avro.nodes import Node, parse_avro
from workbench.decode.decimals import scale_and_bytes
from workbench.decode.framing import frame_of
from workbench.decode.registry import Registered
from workbench.decode.row_loop import Rows, each_row
from workbench.errors import SchemaError


def avro_encoder(schema: Registered) -> Callable[[Rows], pl.Series]:
    """What encodes rows by a schema that has an id; None in place of a row is a null value.

    Every field has to be given, or have a default, and no other field: nothing is left out.
    Raises SchemaError where the schema is not Avro, or fastavro is not installed.
    """
    try:
        import fastavro
    except ModuleNotFoundError:
        raise SchemaError(
            "writing Avro needs fastavro", hint='pip install "stream-workbench[formats]"'
        ) from None
    if schema.kind != "AVRO" or schema.id is None:
        raise SchemaError(f"rows are not encoded by a schema of the type {schema.kind}")
    known: dict[str, Any] = {}
    broken = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
    try:
        for text in schema.references.values():
            fastavro.parse_schema(json.loads(text), named_schemas=known)
        parsed = fastavro.parse_schema(json.loads(schema.text), named_schemas=known)
    except (*broken, fastavro.schema.SchemaParseException) as error:
        raise SchemaError(f"nothing can be written by the schema {schema.id}: {error!r}") from error
    head = frame_of(schema.id)
    scaled = _scaled(parse_avro(schema.text, schema.references))

    def write(row: Mapping[str, Any]) -> bytes:
        buffer = io.BytesIO(head)
        buffer.seek(len(head))
        given = row if scaled is None else scaled(row)
        fastavro.schemaless_writer(buffer, parsed, given, strict_allow_default=True)
        return buffer.getvalue()

    return each_row(
        write, f"of the schema {schema.id}", "every field is given, of its type, and no other"
    )


def _scaled(node: Node) -> Callable[[Any], Any] | None:
    """What sets decimals of any scale, which are read as text, as the records that they are.

    None where a schema has no such decimals.
    """
    if node.kind == "record" and node.logical == "decimal":
        return lambda value: scale_and_bytes(value) if isinstance(value, str | Decimal) else value
    within = [_scaled(part) for part in node.parts]
    if not any(within):
        return None
    if node.kind == "record":
        fields = {n: one for n, one in zip(node.names, within, strict=True) if one is not None}
        return lambda row: (
            {name: fields[name](one) if name in fields else one for name, one in row.items()}
            if isinstance(row, Mapping)
            else row
        )
    inner = [one for one in within if one is not None]
    if node.kind == "array":
        return lambda items: (
            list(map(inner[0], items)) if isinstance(items, list | tuple) else items
        )
    if node.kind == "union" and len(inner) == 1:
        return inner[0]
    return None
