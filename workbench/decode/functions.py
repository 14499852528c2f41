"""Decoding by a function that a person gives: over a column of bytes, or over the bytes of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import polars as pl

from workbench.decode.codebook import Codebook
from workbench.decode.framed import fitted
from workbench.decode.protocol import Decoded, Decoder
from workbench.errors import SchemaError
from workbench.schema import Schema

#: How an address names a function; the name alone, since it is not handed over in one.
PREFIX = "function:"

#: How many values a function is tried with to see what columns it gives.
_SAMPLE = 1_000


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in an address."""
    module = getattr(function, "__module__", "")
    return f"{PREFIX}{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def decoder(format: str, schema: Schema, codebook: Codebook) -> Decoder:  # noqa: A002
    """The decoder by a function that the codebook has.  Raises SchemaError where it has not."""
    return partial(_decode, function=_found(format, codebook), schema=schema)


def infer(format: str, values: pl.Series, codebook: Codebook) -> Schema:  # noqa: A002
    """The columns that a function makes of some values.  Raises SchemaError where it makes none."""
    sample = values.drop_nulls().head(_SAMPLE)
    columns, errors = _apply(_found(format, codebook), sample)
    if not columns:
        said = errors.drop_nulls()
        why = said[0] if len(said) else "there is no value to try it with"
        raise SchemaError(f"{format} makes no columns: {why}")
    return Schema.of_columns({column.name: _settled(column.dtype) for column in columns})


def _found(format: str, codebook: Codebook) -> Callable[..., Any]:  # noqa: A002
    try:
        return codebook.functions[format]
    except KeyError:
        raise SchemaError(
            f"the records are decoded by {format}, which is not given here",
            hint="an address names a function and does not hold it: log.stream(…, decode=…)",
        ) from None


def _decode(values: pl.Series, function: Callable[..., Any], schema: Schema) -> Decoded:
    present = values.is_not_null()
    columns, errors = _apply(function, values.filter(present))
    made = fitted(columns, errors, schema, "what the function gave")
    if len(made) < len(values):
        place = present.cast(pl.Int64).cum_sum() - 1
        made = made.select(pl.all().gather(pl.select(pl.when(present).then(place)).to_series()))
    names = list(schema.columns.values())
    return Decoded(made.select(names), made["decode_error"], made["_rest"])


def _apply(function: Callable[..., Any], values: pl.Series) -> tuple[list[pl.Series], pl.Series]:
    """Columns and errors: at once, where the function takes a column, else one by one."""
    nothing = pl.Series("decode_error", [None], dtype=pl.String).new_from_index(0, len(values))
    if not len(values):
        return [], nothing
    try:
        made = function(values)
    except Exception:
        made = None
    if isinstance(made, pl.Series):
        made = made.struct.unnest() if made.dtype == pl.Struct else made.to_frame("value")
    if isinstance(made, pl.DataFrame) and made.height == len(values):
        return made.get_columns(), nothing
    rows: list[Mapping[str, Any]] = []
    errors: list[str | None] = []
    for value in values:
        row, error = _one(function, value)
        rows.append(row)
        errors.append(error)
    if not any(rows):
        return [], pl.Series("decode_error", errors, dtype=pl.String)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.get_columns(), pl.Series("decode_error", errors, dtype=pl.String)


def _one(function: Callable[..., Any], value: bytes) -> tuple[Mapping[str, Any], str | None]:
    try:
        made = function(value)
    except Exception as error:
        try:
            made = function(pl.Series([value], dtype=pl.Binary))
            if isinstance(made, pl.DataFrame) and made.height == 1:
                return made.row(0, named=True), None
        except Exception:
            pass
        return {}, f"{type(error).__name__}: {error}"
    if isinstance(made, Mapping):
        return made, None
    return {"value": made}, None


def _settled(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if dtype == pl.Null else dtype
