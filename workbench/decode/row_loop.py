"""Rows to values one by one: what writing by a schema or by the rules of a format has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import polars as pl

from workbench.decode.encode import check_times
from workbench.errors import RowRejected

Rows = pl.DataFrame | Iterable[Mapping[str, Any] | None]
Made = TypeVar("Made")

#: What a writer raises for a row that is not of its schema; InvalidOperation is an ArithmeticError.
_UNFIT = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)


def each(rows: Rows, write: Callable[[Any], Made], origin: str, hint: str | None) -> list[Made]:
    """What `write` makes of each row.

    Raises RowRejected where `write` finds a row unfit, or a frame has times that Python lacks.
    """
    made: list[Made] = []
    if isinstance(rows, pl.DataFrame):
        check_times(rows)
        rows = rows.iter_rows(named=True)
    for number, row in enumerate(rows):
        try:
            made.append(write(row))
        except _UNFIT as error:
            said = str(error) if isinstance(error, ValueError) else repr(error)
            raise RowRejected(number, f" is not {origin}: {said}", hint=hint) from error
    return made


def each_row(
    write: Callable[[Any], bytes], origin: str, hint: str | None
) -> Callable[[Rows], pl.Series]:
    """What makes a Binary column of rows by `write`; None in place of a row is a null value.

    `origin` says what a row has to be, for the error: "of the schema 7".
    """

    def encode(rows: Rows) -> pl.Series:
        made = each(rows, lambda row: None if row is None else write(row), origin, hint)
        return pl.Series("value", made, dtype=pl.Binary)

    return encode
