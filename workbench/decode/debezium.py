"""Debezium's change events as a changelog.

An envelope says what happened to one row: `op` (c created, u updated, d deleted, r read by a
snapshot, t truncated, m message), the row `before` and `after`, and the position in the `source`.
The columns of the row stand beside these: as they are after, and of a deletion as they were.
A deletion is a tombstone, so that `table(by="key")` is the source's table.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from workbench.decode.fit import merge, struct_fields
from workbench.decode.protocol import Decoded, Decoder
from workbench.errors import SchemaError
from workbench.schema import Schema

_OPS = ("c", "u", "d", "r", "t", "m")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def payloads(values: pl.Series) -> pl.Series:
    """JSON values without the schema that Kafka Connect's converter encloses with each."""
    found = values.is_not_null() & pl.select(
        pl.lit(values).bin.contains(pl.lit(b'"payload"'))
    ).to_series().fill_null(False)
    if not found.any():
        return values
    return pl.Series(values.name, [_payload(value) for value in values], dtype=pl.Binary)


def _payload(value: bytes | None) -> bytes | None:
    if value is None:
        return None
    try:
        members = _members(value)
    except (msgspec.MsgspecError, UnicodeError):
        return value
    if "payload" in members and members.keys() <= {"schema", "payload"}:
        return bytes(members["payload"])
    return value


def flattened(envelopes: Schema | None) -> Schema:
    """The columns of a changelog: the envelope's fields, then those of its rows.

    Raises SchemaError for what are no envelopes.
    """
    known = dict(envelopes or {})
    rows = [t for name in ("before", "after") if isinstance(t := known.get(name), pl.Struct)]
    if known.get("op") != pl.String or not rows:
        raise SchemaError(
            "these are no Debezium envelopes, which have op, before and after",
            hint=f"their fields are {', '.join(known) or 'none'}",
        )
    row = merge(rows[-1], rows[0])
    whole = {**known, "before": row, "after": row}
    return Schema.of_columns(
        {**whole, **{_free(n, whole): dtype for n, dtype in struct_fields(row).items()}}
    )


def envelope(schema: Schema) -> Schema:
    """The envelope's fields, of what `flattened` gave.  Raises SchemaError for another schema."""
    row = schema.get("after")
    if not isinstance(row, pl.Struct):
        raise SchemaError("a changelog has a Struct `after` with the columns of its rows")
    names = list(schema)[: len(schema) - len(row.fields)]
    return Schema.of_columns({name: schema[name] for name in names})


def _free(name: str, known: Mapping[str, pl.DataType]) -> str:
    """What a column of the row is called beside the envelope's."""
    return f"row_{name}" if name in known else name


def decode(values: pl.Series, schema: Schema, decode_envelope: Decoder) -> Decoded:
    """Decode envelopes and set the columns of their rows beside them."""
    fields, error, rest = decode_envelope(payloads(values))
    known = envelope(schema)
    row = pl.when(pl.col("op") == "d").then("before").otherwise("after")
    whole = fields.with_columns(
        row.struct.field(name).alias(schema.columns[_free(name, known)])
        for name in struct_fields(schema["after"])
    )
    wrong = values.is_not_null() & error.is_null() & ~fields["op"].is_in(_OPS).fill_null(False)
    if wrong.any():
        text = f"no Debezium envelope: its op is none of {', '.join(_OPS)}"
        said = pl.Series([text], dtype=pl.String).new_from_index(0, len(values))
        error = error.zip_with(~wrong, said)
        whole = whole.select(pl.when(~wrong).then(pl.all()))
    return Decoded(whole.select(schema.columns.values()), error.alias("decode_error"), rest)
