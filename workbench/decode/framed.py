"""Values whose schemas are elsewhere: each is read by its own, and fitted into one frame."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from workbench.decode.codebook import SCHEMA_ID, Codebook, field_names
from workbench.decode.fit import as_json, fit, holds, merge_fields, unknown
from workbench.decode.framing import unframe
from workbench.decode.protocol import Columns, Decoded, Part, Reader, empty_columns
from workbench.errors import SchemaError
from workbench.schema import Schema

_NO_FRAME = "no schema id: a value in a registry's frame begins with a zero byte and four of its id"


def framed_schema(values: pl.Series, codebook: Codebook) -> Schema:
    """The fields of all schemas that some values were written by: the newest first.

    Raises SchemaError where not one of them can be had.
    """
    frames = unframe(values)
    merged: dict[str, pl.DataType] | None = None
    problem = SchemaError("none of the sampled values names a schema", hint=_NO_FRAME)
    missing = codebook.missing(frames.ids)
    if missing:
        problem = SchemaError(missing[max(missing)])
    for schema_id in sorted(set(frames.ids.drop_nulls().unique()) - missing.keys(), reverse=True):
        mine = frames.bodies.filter((frames.ids == schema_id).fill_null(False))
        try:
            readers = [part.reader for part in codebook.parts(schema_id, mine) if part.reader]
        except SchemaError as error:
            problem = error
            continue
        for reader in readers:
            fields = reader.fields
            merged = dict(fields) if merged is None else merge_fields(merged, fields)
    if merged is None:
        raise problem
    return Schema.of_columns({SCHEMA_ID: pl.Int64(), **_renamed(merged)})


def reader_schema(reader: Reader) -> Schema:
    """The fields of one schema."""
    return Schema.of_columns(_renamed(reader.fields))


def decode_framed(values: pl.Series, schema: Schema, codebook: Codebook) -> Decoded:
    """Decode values in a registry's frame.

    A field of a record that the schema does not know goes to `rest`; one of a type that the
    schema's does not hold makes the record undecodable.  The schema id is kept where the rest of
    the value does not decode.  Raises only for a registry that cannot be asked.
    """
    frames = unframe(values)
    parts: list[pl.DataFrame] = []
    lost = lost_schemas(frames.ids, codebook)
    grouped = pl.DataFrame(
        {"named": frames.ids, "body": frames.bodies, "value": values, "lost": lost}
    ).with_row_index()
    by_id = pl.when(pl.col("lost").is_null()).then("named").alias("id")
    for (schema_id,), group in grouped.group_by(by_id, maintain_order=True):
        if schema_id is None:
            bare = pl.when(pl.col("value").is_not_null()).then(pl.lit(_NO_FRAME))
            said = group.select(pl.coalesce("lost", bare)).to_series()
            decoded = _failed(schema, said)
            if SCHEMA_ID in schema:
                named = group["named"].cast(schema[SCHEMA_ID])
                decoded = decoded.with_columns(named.alias(SCHEMA_ID))
        else:
            decoded = _decode(group["body"], schema, codebook, int(str(schema_id)))
        parts.append(decoded.insert_column(0, group["index"]))
    if not parts:
        parts = [_failed(schema, pl.Series([], dtype=pl.String)).insert_column(0, grouped["index"])]
    whole = parts[0] if len(parts) == 1 else pl.concat(parts).sort("index")
    names = list(schema.columns.values())
    return Decoded(whole.select(names), whole["decode_error"], whole["_rest"])


def lost_schemas(ids: pl.Series, codebook: Codebook) -> pl.Series:
    """A sentence on each id whose schema cannot be had, null elsewhere."""
    missing = codebook.missing(ids)
    if not missing:
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(ids))
    return ids.replace_strict(missing, default=None, return_dtype=pl.String)


def framed_text(keys: pl.Series, bare: pl.Series, codebook: Codebook) -> pl.Series:
    """Keys as UTF-8: those in a registry's frame that decode as the JSON text of what they hold.

    A key of one string is that string.  All others are as they came, `bare` of what a header said.
    """
    frames = unframe(keys)
    if frames.ids.null_count() == len(keys):
        return bare
    texts = pl.Series([None], dtype=pl.Binary).new_from_index(0, len(keys))
    known = set(frames.ids.drop_nulls().unique()) - codebook.missing(frames.ids).keys()
    for schema_id in sorted(known):
        mine = (frames.ids == schema_id).fill_null(False).arg_true()
        bodies = frames.bodies.gather(mine)
        try:
            if codebook.registered(schema_id).kind == "JSON":
                texts = texts.scatter(mine, bodies)
                continue
            parts = list(codebook.parts(schema_id, bodies))
        except SchemaError:
            continue
        for part in parts:
            if part.reader is not None:
                read = part.reader.read(part.bodies)
                made = _key_texts(read.columns).zip_with(
                    read.errors.is_null(), pl.Series([None], dtype=pl.Binary)
                )
                texts = texts.scatter(mine.gather(part.rows), made)
    return texts.zip_with(texts.is_not_null(), bare).alias(keys.name)


def _key_texts(columns: list[pl.Series]) -> pl.Series:
    [first, *others] = columns
    if not others and first.name == "value" and first.dtype == pl.String:
        return first.cast(pl.Binary)
    return as_json(columns)


def decode_bare(values: pl.Series, schema: Schema, reader: Reader) -> Decoded:
    """Decode values without a frame, all by one schema."""
    made = _fitted(reader.read(values), schema, "its schema")
    names = list(schema.columns.values())
    return Decoded(made.select(names), made["decode_error"], made["_rest"])


def _decode(bodies: pl.Series, schema: Schema, codebook: Codebook, schema_id: int) -> pl.DataFrame:
    try:
        parts = list(codebook.parts(schema_id, bodies))
    except SchemaError as error:
        made = _failed(schema, pl.Series([str(error)]).new_from_index(0, len(bodies)))
    else:
        frames = [_decode_part(part, schema, schema_id) for part in parts]
        made = frames[0]
        if len(frames) > 1:
            rows = pl.concat([part.rows for part in parts])
            made = pl.concat(frames)[rows.arg_sort()]
    if SCHEMA_ID not in schema:
        return made
    return made.with_columns(pl.lit(schema_id, dtype=schema[SCHEMA_ID]).alias(SCHEMA_ID))


def _decode_part(part: Part, schema: Schema, schema_id: int) -> pl.DataFrame:
    if part.reader is None:
        return _failed(schema, pl.Series([part.problem]).new_from_index(0, len(part.rows)))
    return _fitted(part.reader.read(part.bodies), schema, f"schema {schema_id}")


def _fitted(read: Columns, schema: Schema, origin: str) -> pl.DataFrame:
    made = fitted(_aliased(read.columns), read.errors, schema, origin)
    if read.rest is None or read.rest.null_count() == len(read.rest):
        return made
    # Two objects of JSON text become one.
    both = pl.when(made["decode_error"].is_null()).then(
        pl.concat_str(
            pl.lit("{"),
            pl.concat_str(
                *(
                    one.str.strip_prefix("{").str.strip_suffix("}")
                    for one in (read.rest, made["_rest"])
                ),
                separator=",",
                ignore_nulls=True,
            ),
            pl.lit("}"),
        )
    )
    empty = read.rest.is_null() & made["_rest"].is_null()
    return made.with_columns(pl.when(~empty).then(both).alias("_rest"))


def fitted(
    columns: list[pl.Series], errors: pl.Series, schema: Schema, origin: str
) -> pl.DataFrame:
    """Columns by the names of their fields as those of a schema, with `decode_error`, `_rest`."""
    height = len(errors)
    given = {column.name: column for column in columns}
    wrong = {n: c for n, c in given.items() if n in schema and not holds(schema[n], c.dtype)}
    for name, column in wrong.items():
        text = f"{name}: {column.dtype} in {origin}, which {schema[name]} does not hold"
        said = pl.select(pl.when(column.is_not_null()).then(pl.lit(text))).to_series()
        errors = errors.zip_with(errors.is_not_null(), said)
    usable = [column for name, column in given.items() if name not in wrong]
    rest = unknown(usable, schema)
    made = empty_columns(schema, height).with_columns(
        [
            fit(given[name], dtype).alias(schema.columns[name])
            for name, dtype in schema.items()
            if name in given and name not in wrong
        ]
    )
    if wrong and errors.null_count() < height:
        failed = errors.is_not_null()
        made = made.select(pl.when(~failed).then(pl.all()))
        rest = None if rest is None else rest.zip_with(~failed, pl.Series([None], dtype=pl.String))
    if rest is None:
        rest = pl.Series([None], dtype=pl.String).new_from_index(0, height)
    return made.with_columns(errors.alias("decode_error"), rest.alias("_rest"))


def _failed(schema: Schema, errors: pl.Series) -> pl.DataFrame:
    rest = pl.Series("_rest", [None], dtype=pl.String).new_from_index(0, len(errors))
    made = empty_columns(schema, len(errors))
    return made.with_columns(errors.cast(pl.String).alias("decode_error"), rest)


def _aliased(columns: list[pl.Series]) -> list[pl.Series]:
    names = field_names(column.name for column in columns)
    return [column.alias(names[column.name]) for column in columns]


def _renamed(fields: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    names = field_names(fields)
    return {names[name]: dtype for name, dtype in fields.items()}
