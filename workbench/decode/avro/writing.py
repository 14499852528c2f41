"""Rows to Avro values in a registry's frame, for appending.  By fastavro."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from workbench.decode.framing import frame_of
from workbench.decode.registry import Registered
from workbench.errors import AppendRejected, SchemaError

Rows = pl.DataFrame | Iterable[Mapping[str, Any] | None]


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
    for text in schema.references.values():
        fastavro.parse_schema(json.loads(text), named_schemas=known)
    parsed = fastavro.parse_schema(json.loads(schema.text), named_schemas=known)
    head = frame_of(schema.id)

    def encode(rows: Rows) -> pl.Series:
        given = rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows
        values: list[bytes | None] = []
        for number, row in enumerate(given):
            if row is None:
                values.append(None)
                continue
            buffer = io.BytesIO(head)
            buffer.seek(len(head))
            try:
                fastavro.schemaless_writer(buffer, parsed, row, strict_allow_default=True)
            except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
                raise AppendRejected(
                    f"row {number} is not of the schema {schema.id}: {error}",
                    hint="every field is given, of its type, and no other",
                ) from error
            values.append(buffer.getvalue())
        return pl.Series("value", values, dtype=pl.Binary)

    return encode
