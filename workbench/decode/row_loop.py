"""Rows to the values of a schema, one by one: what writing Avro and Protobuf have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from workbench.errors import AppendRejected

Rows = pl.DataFrame | Iterable[Mapping[str, Any] | None]

#: What a writer raises for a row that is not of its schema; InvalidOperation is an ArithmeticError.
_UNFIT = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)


def each_row(
    write: Callable[[Mapping[str, Any]], bytes], schema_id: int, hint: str
) -> Callable[[Rows], pl.Series]:
    """What makes a Binary column of rows by `write`; None in place of a row is a null value.

    It raises AppendRejected, which names the row, where `write` finds a row unfit.
    """

    def encode(rows: Rows) -> pl.Series:
        given = rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows
        values: list[bytes | None] = []
        for number, row in enumerate(given):
            try:
                values.append(None if row is None else write(row))
            except _UNFIT as error:
                raise AppendRejected(
                    f"row {number} is not of the schema {schema_id}: {error}", hint=hint
                ) from error
        return pl.Series("value", values, dtype=pl.Binary)

    return encode
