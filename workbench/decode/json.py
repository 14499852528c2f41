"""JSON values by column: the fast path for what it accepts, the exact one for the others."""

from __future__ import annotations

import sys
from typing import Any

import polars as pl

from workbench.decode import exact
from workbench.decode.protocol import Decoded
from workbench.schema import Schema

#: Fewer records are not worth the call of the scanner; or, where the process has not used it yet,
#: the loading of its compiler.
_FEW = 256
_FEW_AT_FIRST = 50_000


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
    Never raises for what a record holds.  Thread-safe.  Most records of a long column are
    read by a scanner that numba compiles when a machine first needs it, which takes some seconds.
    """
    loaded = "workbench.decode.fast" in sys.modules
    if len(values) >= (_FEW if loaded else _FEW_AT_FIRST):
        return _decode_fast(values, schema)
    return _decode_rows(values, schema)


def _decode_fast(values: pl.Series, schema: Schema) -> Decoded:
    from workbench.decode import fast

    scheme = fast.plan(schema)
    if scheme is None:
        return _decode_rows(values, schema)
    names = list(schema.columns.values())
    parts = []
    start = 0
    for block in fast.blocks(values, schema, scheme):
        part = pl.DataFrame([*block.columns, block.rest])
        part.columns = [*names, "_rest"]
        part.insert_column(
            len(names), pl.Series("decode_error", [None], pl.String).new_from_index(0, len(part))
        )
        declined = pl.Series(~block.accepted).arg_true()
        here = values.slice(start, len(part))
        start += len(part)
        if len(declined):
            fields, error, rest = _decode_rows(here.gather(declined), schema)
            part = _replace(part, declined, pl.DataFrame([*fields.get_columns(), error, rest]))
        parts.append(part)
    whole = pl.concat(parts, rechunk=False)
    return Decoded(whole.select(names), whole["decode_error"], whole["_rest"])


def _replace(frame: pl.DataFrame, rows: pl.Series, by: pl.DataFrame) -> pl.DataFrame:
    """The frame with other contents in some of its rows."""
    order = pl.int_range(len(frame), eager=True, dtype=pl.UInt32).scatter(
        rows, pl.int_range(len(frame), len(frame) + len(by), eager=True, dtype=pl.UInt32)
    )
    return pl.concat([frame, by])[order]


def _decode_rows(values: pl.Series, schema: Schema) -> Decoded:
    record = pl.Struct(dict(schema))
    typed, left = exact.convert(record), exact.remainder(record)
    nothing: dict[str, Any] = dict.fromkeys(schema)
    rows: list[dict[str, Any]] = []
    errors: list[str | None] = []
    rests: list[str | None] = []
    for value in values:
        row, error, rest = nothing, None, None
        if value is not None:
            try:
                document = exact.parse(value)
                rest = exact.rest_text(left(document))
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
