"""JSON in a registry's frame: by the types of its JSON Schemas, else as it is found."""

from __future__ import annotations

import polars as pl

from workbench.decode.codebook import SCHEMA_ID, Codebook
from workbench.decode.fit import merge_fields
from workbench.decode.framing import unframe
from workbench.decode.infer import infer_schema
from workbench.decode.json import decode_json
from workbench.decode.jsonschema import json_schema_fields
from workbench.decode.protocol import Decoded
from workbench.schema import Schema


def framed_json_schema(values: pl.Series, codebook: Codebook) -> Schema:
    """The properties of all schemas that some values name, and what else the values have.

    A schema's `date-time` and `date` become times where the values are such that a column holds
    them: a `format` is a remark, and those with nanoseconds are not.
    """
    frames = unframe(values)
    inferred = {n: t for n, t in (infer_schema(frames.bodies) or {}).items() if n != SCHEMA_ID}
    made: list[Schema] = []
    for times in (True, False):
        said: dict[str, pl.DataType] = {}
        for schema_id in sorted(frames.ids.drop_nulls().unique(), reverse=True):
            found = codebook.registry.by_id(schema_id) if codebook.registry else None
            if found is not None:
                fields = json_schema_fields(found.text, found.references, times=times)
                said = merge_fields(said, fields) if said else fields
        both = {name: t for name, t in merge_fields(said, inferred).items() if name != SCHEMA_ID}
        made.append(Schema({SCHEMA_ID: pl.Int64(), **both}))
    timed, plain = made
    if timed == plain:
        return timed
    wrong = [decode_framed_json(values, each).error.drop_nulls().len() for each in made]
    return timed if wrong[0] <= wrong[1] else plain


def decode_framed_json(values: pl.Series, schema: Schema) -> Decoded:
    """Decode JSON in a registry's frame by the columns of a schema."""
    frames = unframe(values)
    inner = Schema({name: dtype for name, dtype in schema.items() if name != SCHEMA_ID})
    decoded = decode_json(frames.bodies, inner)
    bare = values.is_not_null() & frames.ids.is_null()
    error = decoded.error.zip_with(
        ~bare, pl.Series(["no schema id before the JSON"]).new_from_index(0, len(values))
    )
    fields = decoded.fields
    if SCHEMA_ID in schema:
        fields = fields.with_columns(frames.ids.cast(schema[SCHEMA_ID]).alias(SCHEMA_ID))
    return Decoded(
        fields.select(schema.columns.values()), error.alias("decode_error"), decoded.rest
    )
