"""What decoding has to give, record by record: slow and plain, after `json.loads`.

Shares nothing with the product.  Number literals are kept as text and reasoned about as fractions.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTEGERS = {
    f"{'U' if unsigned else ''}Int{bits}": (0, 2**bits - 1)
    if unsigned
    else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for bits in (8, 16, 32, 64)
    for unsigned in (True, False)
}
TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


class Wrong(Exception):
    """The record does not decode."""


class Whole(str):
    """The literal of a number without fraction and exponent."""


class Broken(str):
    """The literal of any other number."""


def decode(value: bytes, fields: dict[str, pl.DataType]) -> tuple[dict[str, Any], Any]:
    """The typed fields and what is left; raises `Wrong`."""
    document = load(value)
    if not isinstance(document, dict):
        raise Wrong
    return typed(document, pl.Struct(fields)), left(document, pl.Struct(fields))


def load(value: bytes) -> Any:
    """Any JSON text; raises `Wrong`."""
    try:
        text = value.decode("utf-8")
        document = json.loads(
            text,
            parse_int=Whole,
            parse_float=Broken,
            parse_constant=refuse,
            object_pairs_hook=without_twins,
        )
    except (ValueError, RecursionError):
        raise Wrong from None
    if nesting(document) > 128:
        raise Wrong
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Wrong from None
    return document


def refuse(_: str) -> Any:
    raise Wrong


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Wrong
    return dict(pairs)


def nesting(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(nesting, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(nesting, value), default=0)
    return 0


def typed(value: Any, dtype: pl.DataType) -> Any:
    if value is None:
        return None
    if isinstance(dtype, pl.Struct):
        require(isinstance(value, dict))
        return {field.name: typed(value.get(field.name), field.dtype) for field in dtype.fields}
    if isinstance(dtype, pl.List):
        require(isinstance(value, list))
        return [typed(item, dtype.inner) for item in value]
    if dtype == pl.Boolean:
        require(isinstance(value, bool))
        return value
    if dtype == pl.String:
        require(type(value) is str)
        return value
    if dtype == pl.Date:
        require(type(value) is str and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII))
        return refusing(date.fromisoformat, value)
    if isinstance(dtype, pl.Datetime):
        return instant(value, 1000 if dtype.time_unit == "ms" else 1_000_000)
    require(isinstance(value, Whole | Broken))
    if dtype == pl.Float64:
        number = float(value)
        require(abs(number) != float("inf"))
        require(isinstance(value, Broken) or Fraction(value) == Fraction(number))
        return number
    if isinstance(dtype, pl.Decimal):
        scaled = Fraction(value) * 10**dtype.scale
        require(scaled.denominator == 1 and abs(scaled) < 10**dtype.precision)
        return Decimal(scaled.numerator).scaleb(-dtype.scale)
    low, high = INTEGERS[str(dtype)]
    require(isinstance(value, Whole) and low <= int(value) <= high)
    return int(value)


def instant(value: Any, per_second: int) -> datetime:
    if isinstance(value, Whole):
        ticks = Fraction(int(value), per_second)
    else:
        require(type(value) is str)
        found = TIME.fullmatch(value)
        require(found)
        day, clock, fraction, zone = found.groups()
        zone = "+00:00" if zone is None or zone in "Zz" else zone
        require(clock < "24")
        whole = refusing(datetime.fromisoformat, f"{day}T{clock}{zone}")
        seconds = (whole - EPOCH) // timedelta(seconds=1)
        ticks = seconds + Fraction(f"0.{fraction or 0}")
        require((ticks * per_second).denominator == 1)
    moment = refusing(lambda: EPOCH + timedelta(microseconds=int(ticks * 1_000_000)))
    require(moment.year >= 1)
    return moment


def left(value: Any, dtype: pl.DataType) -> Any:
    if isinstance(dtype, pl.Struct) and isinstance(value, dict):
        known = {field.name: field.dtype for field in dtype.fields}
        rest = {name: item for name, item in value.items() if name not in known}
        for name in value.keys() & known.keys():
            if (deeper := left(value[name], known[name])) is not None:
                rest[name] = deeper
        return rest or None
    if isinstance(dtype, pl.List) and isinstance(value, list):
        items = [left(item, dtype.inner) for item in value]
        return items if any(item is not None for item in items) else None
    return None


def refusing(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (ValueError, OverflowError):
        raise Wrong from None


def require(truth: object) -> None:
    if not truth:
        raise Wrong
