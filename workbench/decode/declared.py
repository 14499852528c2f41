"""Rows held against the schema that their topic was made with, before they are appended.

What the schema takes is what `workbench.decode.exact` reads back from the JSON of a value; that is
asked only where the values' types alone do not tell.  Fields outside the schema are free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from itertools import repeat
from typing import Any

import polars as pl

from workbench.decode import exact
from workbench.decode.document import Misfit, parse
from workbench.decode.encode import encode_rows
from workbench.errors import AppendRejected
from workbench.schema import Schema

#: Whether values of the type that is its key all fit; None and missing ones do.
_Tests = dict[type, Callable[[Sequence[Any]], bool]]
_NoneType = type(None)
#: Integers up to here are doubles.
_EXACT_DOUBLE = 1 << 53


def check_rows(rows: pl.DataFrame | Sequence[Mapping[str, Any] | None], schema: Schema) -> None:
    """Raise AppendRejected for the first row with a field that the schema cannot decode again.

    The rows are such as `encode_rows` takes.
    """
    for name, dtype in schema.items():
        if isinstance(rows, pl.DataFrame):
            if name not in rows.columns or _holds(dtype, rows[name].dtype):
                continue
            values = rows[name].to_list()
        else:
            values = [None if row is None else row.get(name) for row in rows]
        if not _fit(values, dtype):
            _refuse(name, dtype, values)


def _holds(dtype: pl.DataType, given: pl.DataType) -> bool:
    """Whether all values of a column's type fit, as far as the types tell."""
    match dtype, given:
        case pl.Datetime(time_unit=unit), pl.Datetime(time_unit=other):
            return unit == other
        case pl.Decimal(precision=digits, scale=scale), pl.Decimal(precision=most, scale=places):
            whole = (digits or 38) - scale >= (most or 38) - places
            return whole and scale >= places
        case pl.String(), pl.Categorical() | pl.Enum():
            return True
    return given in (dtype, pl.Null())


def _fit(values: Sequence[Any], dtype: pl.DataType) -> bool:
    """Whether all values certainly fit; False where each has to be looked at."""
    kinds = set(map(type, values))
    kinds.discard(_NoneType)
    if not kinds:
        return True
    if len(kinds) > 1:
        return False
    [kind] = kinds
    test = _tests(dtype).get(kind)
    if test is None:
        return False
    return test([value for value in values if value is not None])


@lru_cache(maxsize=1_024)
def _tests(dtype: pl.DataType) -> _Tests:
    match dtype:
        case pl.String():
            return {str: _always}
        case pl.Boolean():
            return {bool: _always}
        case pl.Float64():
            return {float: _always, int: _between(1 - _EXACT_DOUBLE, _EXACT_DOUBLE - 1)}
        case pl.Date():
            return {date: _always}
        case pl.Datetime(time_unit=unit):
            return {datetime: _whole_milliseconds if unit == "ms" else _always}
        case pl.Decimal(precision=digits, scale=scale):
            return {Decimal: _decimals(digits or 38, scale)}
    if dtype.is_integer():
        low, high = pl.select(low=dtype.min(), high=dtype.max()).row(0)  # type: ignore[attr-defined]
        return {int: _between(low, high)}
    return {}


def _always(values: Sequence[Any]) -> bool:
    return True


def _between(low: int, high: int) -> Callable[[Sequence[Any]], bool]:
    return lambda values: low <= min(values) and max(values) <= high


def _whole_milliseconds(values: Sequence[datetime]) -> bool:
    return max([value.microsecond % 1_000 for value in values]) == 0


def _decimals(digits: int, scale: int) -> Callable[[Sequence[Decimal]], bool]:
    quantize = Context(prec=digits, traps=[Inexact, InvalidOperation]).copy().quantize
    step = Decimal(1).scaleb(-scale)

    def test(values: Sequence[Decimal]) -> bool:
        try:
            for _ in map(quantize, values, repeat(step)):
                pass
        except (Inexact, InvalidOperation):
            return False
        return True

    return test


def _refuse(name: str, dtype: pl.DataType, values: Iterable[Any]) -> None:
    """Raise for the first value that does not fit, if there is one."""
    take = exact.convert(dtype)
    for number, value in enumerate(values):
        if value is None:
            continue
        [text] = encode_rows([{"": value}])
        try:
            take(parse(text)[""])
        except Misfit as misfit:
            misfit.path.append(name)
            raise AppendRejected(
                f"row {number}, field {misfit}",
                hint=f"the topic was made with the schema {name}: {dtype}",
            ) from None
