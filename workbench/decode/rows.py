"""JSON records decoded one by one, by the exact path."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import polars as pl

from workbench.decode import exact
from workbench.decode.document import Misfit, parse
from workbench.decode.protocol import Decoded
from workbench.schema import Schema


def decode_rows(values: pl.Series, schema: Schema) -> Decoded:
    """Decode a Binary column of JSON objects, whatever they hold."""
    typed, left = _converters(schema)
    nothing: dict[str, Any] = dict.fromkeys(schema)
    rows: list[dict[str, Any]] = []
    errors: list[str | None] = []
    rests: list[str | None] = []
    for value in values:
        row, error, rest = nothing, None, None
        if value is not None:
            try:
                document = parse(value)
                rest = exact.rest_text(left(document))
                row = typed(document)
            except Misfit as e:
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


@lru_cache(maxsize=64)
def _converters(schema: Schema) -> tuple[exact.Convert, exact.Convert]:
    """What types a parsed record, and what gives the part of it that the schema does not know."""
    record = pl.Struct(dict(schema))
    return exact.convert(record), exact.remainder(record)
