"""JSON values by column: the fast path for what it accepts, the exact one for the others."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from workbench.decode import fast
from workbench.decode.protocol import Decoded
from workbench.decode.rows import decode_rows
from workbench.schema import Schema

#: Fewer records are decoded one by one sooner than their columns have been checked.
_FEW = 200
#: How many records are decoded at a time, which bounds the memory of a call.
_ROWS = 100_000


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
    how = fast.plan(schema) if len(values) >= _FEW else None
    if how is None:
        return decode_rows(values, schema)
    parts = [_decode_part(part, schema, how) for part in _slices(values)]
    whole = pl.concat(parts, rechunk=False)
    names = list(schema.columns.values())
    return Decoded(whole.select(names), whole["decode_error"], whole["_rest"])


def _slices(values: pl.Series) -> Iterator[pl.Series]:
    return (values.slice(start, _ROWS) for start in range(0, len(values), _ROWS))


def _decode_part(values: pl.Series, schema: Schema, how: fast.Plan) -> pl.DataFrame:
    """What is read exactly by column, and the other records one by one, in their order."""
    accepted = fast.accept(values, how)
    sure = accepted.columns.insert_column(
        len(schema),
        pl.Series("decode_error", [None], dtype=pl.String).new_from_index(0, len(accepted.rows)),
    )
    if len(accepted.rows) == len(values):
        return sure
    every = pl.int_range(len(values), eager=True, dtype=pl.UInt32)
    declined = every.filter(~every.is_in(accepted.rows.implode()))
    fields, error, rest = decode_rows(values.gather(declined), schema)
    both = pl.concat([sure, pl.DataFrame([*fields.get_columns(), error, rest])])
    return both[pl.concat([accepted.rows, declined]).arg_sort()]
