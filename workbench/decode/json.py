"""JSON values by column."""

from __future__ import annotations

from typing import Any

import polars as pl

from workbench.decode import exact
from workbench.decode.protocol import Decoded
from workbench.schema import Schema


def decode_json(values: pl.Series, schema: Schema) -> Decoded:
    """Decode a Binary column of JSON objects into the columns of a schema.

    Exact or an error: what a field's type cannot hold without loss makes the record undecodable,
    with null fields and one sentence in `error`.  `workbench.decode.exact` has the rules.  A null
    value (a tombstone) gives null fields and no error.

    Parameters
    ----------
    values
        Binary.
    schema
        The fields to decode.  Fields of a record that it does not know go to `rest`: the JSON text
        of an object of them, numbers as they were written.  What a Struct or List of the schema
        does not know is there too, under the names that lead to it.

    Returns
    -------
    Decoded

    Notes
    -----
    Never raises for what a record holds.  Thread-safe.
    """
    return _decode_rows(values, schema)


def _decode_rows(values: pl.Series, schema: Schema) -> Decoded:
    record = pl.Struct(dict(schema))
    typed = exact.struct({name: exact.convert(dtype) for name, dtype in schema.items()})
    nothing: dict[str, Any] = dict.fromkeys(schema)
    rows: list[dict[str, Any]] = []
    errors: list[str | None] = []
    rests: list[str | None] = []
    for value in values:
        row, error, rest = nothing, None, None
        if value is not None:
            try:
                document = exact.parse(value)
                rest = exact.rest_text(exact.remainder(record, document))
                row = typed(document)
            except exact.Misfit as e:
                row, error, rest = nothing, str(e), None
        rows.append(row)
        errors.append(error)
        rests.append(rest)
    names = schema.columns
    fields = pl.DataFrame(
        [
            exact.series(names[name], [row[name] for row in rows], dtype)
            for name, dtype in schema.items()
        ]
    )
    return Decoded(
        fields,
        pl.Series("decode_error", errors, dtype=pl.String),
        pl.Series("_rest", rests, dtype=pl.String),
    )
