"""JSON values by column: the fastest path for what it accepts, the next one for the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import polars as pl

from workbench.compiled import INSTALLED, ready
from workbench.decode import fast
from workbench.decode.protocol import Decoded
from workbench.decode.rows import decode_rows
from workbench.schema import Schema

#: Fewer records are decoded one by one sooner than their columns have been checked.
_FEW = 200
#: As many a process reads in another way sooner than it has loaded the loops, and than they are
#: called.
_WORTH_LOADING = 50_000
_WORTH_CALLING = 300
#: By name, since the module itself brings numpy.
_LOOPS = "workbench.decode.kernels"
#: How many records were read before there were loops.
_read = [0]
#: How many records are decoded at a time, which bounds the memory of a call.
_ROWS = 100_000
#: Fewer on a core of their own take longer to be put together than is won; logs that read several
#: partitions at once keep the cores busy as it is.
_SPLIT = 50_000
_CORES = os.cpu_count() or 1


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
    if not worth(len(values)):
        return _checked(values, schema)
    # Here, since it brings numpy.
    from workbench.decode import proven

    how = proven.plan(schema)
    if how is None:
        return _checked(values, schema)
    decode = partial(
        _part,
        accept=lambda part: proven.accept(part, how, _checked),
        others=partial(_checked, schema=schema),
    )
    rows = min(_ROWS, -(-len(values) // max(min(_CORES, len(values) // _SPLIT), 1)))
    if len(values) <= rows:
        return _joined([decode(values)], schema)
    with ThreadPoolExecutor(_CORES) as pool:
        return _joined(list(pool.map(decode, _slices(values, rows))), schema)


def worth(rows: int) -> bool:
    """Whether so many records, on top of those before them, are read sooner by compiled loops."""
    if not INSTALLED or ready(_LOOPS):
        return INSTALLED and rows >= _WORTH_CALLING
    _read[0] += rows  # threads may miss each other's, which puts the loops off a little
    return _read[0] >= _WORTH_LOADING


def _checked(values: pl.Series, schema: Schema) -> Decoded:
    """What msgspec reads and columns prove, and the other records one by one."""
    how = fast.plan(schema) if len(values) >= _FEW else None
    others = partial(decode_rows, schema=schema)
    if how is None:
        return others(values)
    decode = partial(_part, accept=lambda part: fast.accept(part, how), others=others)
    return _joined([decode(part) for part in _slices(values, _ROWS)], schema)


def _slices(values: pl.Series, rows: int) -> list[pl.Series]:
    return [values.slice(start, rows) for start in range(0, max(len(values), 1), rows)]


def _joined(parts: list[pl.DataFrame], schema: Schema) -> Decoded:
    whole = pl.concat(parts, rechunk=False)
    names = list(schema.columns.values())
    return Decoded(whole.select(names), whole["decode_error"], whole["_rest"])


def _part(
    values: pl.Series,
    accept: Callable[[pl.Series], fast.Accepted],
    others: Callable[[pl.Series], Decoded],
) -> pl.DataFrame:
    """What is accepted of some records, and the others in another way, in their order."""
    accepted = accept(values)
    sure = accepted.columns.insert_column(
        accepted.columns.width - 1,
        pl.Series("decode_error", [None], dtype=pl.String).new_from_index(0, len(accepted.rows)),
    )
    if len(accepted.rows) == len(values):
        return sure
    every = pl.int_range(len(values), eager=True, dtype=pl.UInt32)
    declined = every.filter(~every.is_in(accepted.rows.implode()))
    fields, error, rest = others(values.gather(declined))
    both = pl.concat([sure, pl.DataFrame([*fields.get_columns(), error, rest])])
    return both[pl.concat([accepted.rows, declined]).arg_sort()]
