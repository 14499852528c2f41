"""JSON in a registry's frame: by the types of its JSON Schemas, else as it is found."""

from __future__ import annotations

import polars as pl

from workbench.decode import logical
from workbench.decode.codebook import SCHEMA_ID, Codebook
from workbench.decode.fit import merge_fields
from workbench.decode.framed import lost_schemas
from workbench.decode.framing import Frames, unframe
from workbench.decode.infer import infer_schema
from workbench.decode.json import decode_json
from workbench.decode.jsonschema import json_schema_fields
from workbench.decode.protocol import Decoded
from workbench.errors import SchemaError
from workbench.schema import Schema


def framed_json_schema(values: pl.Series, codebook: Codebook) -> Schema:
    """The properties of all schemas that some values name, and what else the values have.

    A schema's `date-time` and `date` become times where the values are such that a column holds
    them: a `format` is a remark, and those with nanoseconds are not.
    """
    frames = _rewritten(unframe(values), codebook)
    inferred = {n: t for n, t in (infer_schema(frames.bodies) or {}).items() if n != SCHEMA_ID}
    made: list[Schema] = []
    for times in (True, False):
        said: dict[str, pl.DataType] = {}
        for schema_id in sorted(frames.ids.drop_nulls().unique(), reverse=True):
            found = codebook.known(schema_id)
            if found is not None and found.kind == "JSON":
                try:
                    fields = json_schema_fields(found.text, found.references, times=times)
                except SchemaError:
                    continue  # nothing is checked by it either, which the choice says
                said = merge_fields(said, fields) if said else fields
        both = {name: t for name, t in merge_fields(said, inferred).items() if name != SCHEMA_ID}
        made.append(Schema({SCHEMA_ID: pl.Int64(), **both}))
    timed, plain = made
    if timed == plain:
        return timed
    wrong = [_typed(frames, each)[1].null_count() for each in made]
    return timed if wrong[0] >= wrong[1] else plain


def decode_framed_json(values: pl.Series, schema: Schema, codebook: Codebook) -> Decoded:
    """Decode JSON in a registry's frame by the columns of a schema, where its own finds it valid.

    Raises only for a registry that cannot be asked.
    """
    frames = unframe(values)
    decoded = _typed(_rewritten(frames, codebook), schema)
    error = decoded.error.rename("decode_error")
    lost = lost_schemas(frames.ids, codebook)
    error = error.zip_with(lost.is_null(), lost)
    for schema_id in frames.ids.filter(lost.is_null()).drop_nulls().unique():
        mine = ((frames.ids == schema_id) & error.is_null()).fill_null(False).arg_true()
        bodies = frames.bodies.gather(mine)
        try:
            problem = codebook.checker(schema_id)
        except SchemaError as missing:
            found: list[str | None] = [str(missing)] * len(bodies)
        else:
            found = [said and f"not of schema {schema_id}: {said}" for said in map(problem, bodies)]
        error = error.scatter(mine, pl.Series(found, dtype=pl.String))
    failed = error.is_not_null()
    fields, rest = decoded.fields, decoded.rest
    if fields.width and error.null_count() < decoded.error.null_count():
        fields = fields.select(pl.when(~failed).then(pl.all()))
        rest = rest.zip_with(~failed, pl.Series([None], dtype=pl.String))
    bare = values.is_not_null() & frames.ids.is_null()
    said = pl.Series(["no schema id before the JSON"]).new_from_index(0, len(values))
    error = error.zip_with(~bare, said)
    if SCHEMA_ID in schema:
        named = frames.ids.cast(schema[SCHEMA_ID]).alias(SCHEMA_ID)
        fields = pl.DataFrame([named, *fields.get_columns()])
    return Decoded(fields.select(schema.columns.values()), error, rest)


def _rewritten(frames: Frames, codebook: Codebook) -> Frames:
    """With what JSON has no form for written as it is decoded, where a schema says what it is."""
    bodies = frames.bodies.clone()  # which scatter changes
    for schema_id in frames.ids.drop_nulls().unique():
        plan = codebook.rewriting(schema_id)
        if plan is not None:
            mine = (frames.ids == schema_id).fill_null(False).arg_true()
            texts = [logical.typed(body, plan) for body in bodies.gather(mine)]
            bodies = bodies.scatter(mine, pl.Series(texts, dtype=pl.Binary))
    return Frames(frames.ids, bodies)


def _typed(frames: Frames, schema: Schema) -> Decoded:
    """What the bodies are by the columns of a schema, valid or not."""
    return decode_json(
        frames.bodies, Schema({name: t for name, t in schema.items() if name != SCHEMA_ID})
    )
