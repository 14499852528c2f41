"""JSON to typed values, one record at a time: slow, and the truth that the fast path is held to.

The rules, beyond RFC 8259:

- Numbers stay literals until a type takes them; nothing passes through a binary float on its way
  to an integer or a Decimal.
- An integer type takes an integer literal in its range: no fraction, no exponent, no string.
- Float64 takes any number that a double can stand for: integers beyond 2^53 only when exact, no
  overflow; fractions are rounded as Python's `float` does.
- Decimal takes a number exactly.  Trailing zeros are not excess: 12.340 fits a scale of 2.
- Date takes "YYYY-MM-DD".  Datetime takes RFC 3339 text (a blank for the T is allowed; without an
  offset it is UTC) and integer epochs in its own unit; digits beyond its unit must be zeros.
- null is the same as a missing field.
- A repeated name in any object, a lone surrogate, NaN and Infinity, a byte order mark, and nesting
  beyond `MAX_DEPTH` are errors of that record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, cast

import msgspec
import polars as pl

from workbench.decode.document import Misfit, Number, kind, no_text
from workbench.errors import SchemaError

Convert = Callable[[Any], Any]

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DATETIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))?"
)
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
_EPOCH = datetime(1970, 1, 1)
_FIRST = (datetime(1, 1, 1) - _EPOCH) // timedelta(seconds=1)
_LAST = (datetime(9999, 12, 31, 23, 59, 59) - _EPOCH) // timedelta(seconds=1)


def convert(dtype: pl.DataType) -> Convert:
    """The function that types a parsed value, in the form that `series` takes.

    It raises `Misfit` for a value that the type cannot hold exactly.
    """
    match dtype:
        case pl.Boolean():
            return _boolean
        case pl.String():
            return _string
        case pl.Float64():
            return _float
        case pl.Decimal(precision=int(precision), scale=scale):
            return _decimal(precision, scale)
        case pl.Date():
            return _date
        case pl.Datetime(time_unit=unit):
            return _datetime(3 if unit == "ms" else 6)
        case pl.List(inner=inner):
            return _list(convert(cast(pl.DataType, inner)))
        case pl.Struct(fields=fields):
            return struct({f.name: convert(cast(pl.DataType, f.dtype)) for f in fields})
    if not dtype.is_integer():
        raise SchemaError(f"JSON has no form for {dtype}")
    return _integer(dtype)


def struct(fields: dict[str, Convert]) -> Convert:
    """The function that types the known fields of an object."""

    def apply(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Misfit(f"{kind(value)} where a Struct takes an object")
        typed = dict.fromkeys(fields)
        for name, item in value.items():
            if item is not None and name in fields:
                try:
                    typed[name] = fields[name](item)
                except Misfit as e:
                    e.path.append(f".{name}")
                    raise
        return typed

    return apply


def remainder(dtype: pl.DataType) -> Convert:
    """The function that gives the part of a value that its type does not know, or None.

    It mirrors the value: a known name in it holds what is unknown further in, and a list keeps its
    length, with null for the items that hold nothing unknown.
    """
    match dtype:
        case pl.Struct(fields=fields):
            return _object_remainder(
                {field.name: remainder(cast(pl.DataType, field.dtype)) for field in fields}
            )
        case pl.List(inner=inner):
            return _list_remainder(remainder(cast(pl.DataType, inner)))
    return _nothing


def rest_text(left: Any) -> str | None:
    """What `remainder` gave as compact JSON text; number literals are kept as they came."""
    if left is None:
        return None
    try:
        return msgspec.json.encode(left).decode()
    except UnicodeEncodeError:
        raise no_text() from None


def series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """A column of what `convert(dtype)` gave (None is null)."""
    carrier = _carrier(dtype)
    carried = pl.Series(name, values, dtype=carrier, strict=True)
    return carried if carrier == dtype else carried.cast(dtype)


def _integer_range(dtype: pl.DataType) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    signed, bits = str(dtype).startswith("I"), int(str(dtype).lstrip("UInt"))
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _literal(value: Any, takes: str) -> str:
    if not isinstance(value, Number):
        raise Misfit(f"{kind(value)} where {takes}")
    return bytes(value).decode()


def _is_integer(literal: str) -> bool:
    return literal.removeprefix("-").isdigit()


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Misfit(f"{kind(value)} where Boolean takes true or false")
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Misfit(f"{kind(value)} where String takes a string")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise no_text()
    return value


def _float(value: Any) -> float:
    literal = _literal(value, "Float64 takes a number")
    number = float(literal)
    if not number and _is_integer(literal):
        return 0.0  # -0 is an integer, and those have no negative zero
    if math.isinf(number):
        raise Misfit("a number beyond the range of Float64")
    if _is_integer(literal) and int(literal) != number:
        raise Misfit("an integer that Float64 cannot hold exactly")
    return number


def _integer(dtype: pl.DataType) -> Convert:
    low, high = _integer_range(dtype)

    def apply(value: Any) -> int:
        literal = _literal(value, f"{dtype} takes an integer")
        if not _is_integer(literal):
            raise Misfit(f"a number with a fraction or exponent where {dtype} takes an integer")
        # 20 characters hold every 64-bit integer; JSON has no leading zeros.
        if len(literal) > 20 or not low <= (number := int(literal)) <= high:
            raise Misfit(f"an integer beyond the range of {dtype}")
        return number

    return apply


def _decimal(precision: int, scale: int) -> Convert:
    name = f"Decimal({precision}, {scale})"
    step = Decimal(1).scaleb(-scale)

    def apply(value: Any) -> str:
        literal = _literal(value, f"{name} takes a number")
        try:
            number = Decimal(literal).quantize(step, context=_EXACT)
        except Inexact:
            raise Misfit(f"a number with more decimal places than {name} has") from None
        except InvalidOperation:
            raise Misfit(f"a number beyond the range of {name}") from None
        if number and number.adjusted() >= precision - scale:
            raise Misfit(f"a number beyond the range of {name}")
        return f"{number:f}"

    return apply


def _date(value: Any) -> int:
    if not isinstance(value, str):
        raise Misfit(f'{kind(value)} where Date takes "YYYY-MM-DD"')
    found = _DATE.fullmatch(value)
    try:
        if found:
            return (date(*map(int, found.groups())) - _EPOCH.date()).days
    except ValueError:
        pass
    raise Misfit('a string that is no date where Date takes "YYYY-MM-DD"')


def _datetime(digits: int) -> Convert:
    unit = "millisecond" if digits == 3 else "microsecond"
    scale = 1_000 if digits == 3 else 1_000_000

    def apply(value: Any) -> int:
        if isinstance(value, str):
            seconds, fraction = _instant(value)
            if fraction[digits:].strip("0"):
                raise Misfit(f"a time finer than the {unit}s of its Datetime")
            ticks = seconds * scale + int(fraction[:digits].ljust(digits, "0"))
        else:
            literal = _literal(value, "Datetime takes RFC 3339 text or an integer epoch")
            if not _is_integer(literal):
                raise Misfit("a number with a fraction or exponent where an epoch is an integer")
            if len(literal) > 20:
                raise Misfit("a time outside the years 1 to 9999")
            ticks = int(literal)
            seconds = ticks // scale
        if not _FIRST <= seconds <= _LAST:
            raise Misfit("a time outside the years 1 to 9999")
        return ticks

    return apply


def _instant(text: str) -> tuple[int, str]:
    """Seconds since the epoch, and the digits of the fraction."""
    found = _DATETIME.fullmatch(text)
    try:
        if found:
            *clock, fraction, sign, hours, minutes = found.groups()
            year, month, day, hour, minute, second = map(int, clock)
            moment = datetime(year, month, day, hour, minute, second) - _EPOCH
            offset = timedelta()
            if sign:
                zone = time(int(hours), int(minutes))
                offset = timedelta(hours=zone.hour, minutes=zone.minute)
            moment += offset if sign == "-" else -offset
            return moment // timedelta(seconds=1), fraction or ""
    except ValueError:
        pass
    raise Misfit("a string that is no time where Datetime takes RFC 3339 text")


def _nothing(value: Any) -> None:
    """The remainder of a scalar."""


def _object_remainder(fields: dict[str, Convert]) -> Convert:
    deep = {name: inner for name, inner in fields.items() if inner is not _nothing}

    def apply(value: Any) -> Any:
        if not isinstance(value, dict) or (not deep and value.keys() <= fields.keys()):
            return None
        left = {}
        for name, item in value.items():
            if name not in fields:
                left[name] = item
            elif name in deep and (deeper := deep[name](item)) is not None:
                left[name] = deeper
        return left or None

    return apply


def _list_remainder(inner: Convert) -> Convert:
    def apply(value: Any) -> Any:
        if not isinstance(value, list) or inner is _nothing:
            return None
        items = [inner(item) for item in value]
        return items if any(item is not None for item in items) else None

    return apply


def _list(item: Convert) -> Convert:
    def apply(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Misfit(f"{kind(value)} where a List takes an array")
        typed = []
        for index, each in enumerate(value):
            try:
                typed.append(None if each is None else item(each))
            except Misfit as e:
                e.path.append(f"[{index}]")
                raise
        return typed

    return apply


def _carrier(dtype: pl.DataType) -> pl.DataType:
    """The type under which Polars takes our Python values and casts them exactly."""
    match dtype:
        case pl.Decimal():
            return pl.String()
        case pl.Date():
            return pl.Int32()
        case pl.Datetime() | pl.Time():
            return pl.Int64()
        case pl.List(inner=inner):
            return pl.List(_carrier(cast(pl.DataType, inner)))
        case pl.Struct(fields=fields):
            return pl.Struct({f.name: _carrier(cast(pl.DataType, f.dtype)) for f in fields})
    return dtype
