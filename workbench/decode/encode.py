"""Rows to JSON values, for appending."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from workbench.errors import RowRejected

#: Types that are JSON as they are.  Exact types: a subclass may mean something else.
_PLAIN = frozenset({str, int, bool, type(None)})

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode_rows(rows: Iterable[Mapping[str, Any] | None] | pl.DataFrame) -> pl.Series:
    """Encode rows as JSON objects that `decode_json` reads back exactly.

    Parameters
    ----------
    rows
        Mappings of str to None, bool, int, float, Decimal, str, date, datetime, mappings and
        sequences of these, and NumPy scalars; or a frame.  None instead of a row is a null value:
        a tombstone.

    Returns
    -------
    polars.Series
        Binary, named "value", one per row, in their order.  Compact JSON with the fields in the
        row's order; Decimals and integers as exact numbers; datetimes as RFC 3339 in UTC with Z
        (naive ones are taken as UTC).  The same rows give the same bytes.

    Raises
    ------
    RowRejected
        For NaN and infinity, bytes, and anything else that JSON has no form for; the message names
        the row and the field.
    """
    if isinstance(rows, pl.DataFrame):
        check_times(rows)
        rows = rows.iter_rows(named=True)
    return pl.Series("value", [_encode(row, n) for n, row in enumerate(rows)], dtype=pl.Binary)


def encode_json(value: Any) -> bytes:
    """One value as JSON, as `encode_rows` writes it.  Raises ValueError."""
    try:
        return _encoder.encode(_value(value))
    except _Unfit as e:
        field = "".join(reversed(e.path)).removeprefix(".")
        raise ValueError(f"{field}: {e}" if field else str(e)) from None


def check_times(frame: pl.DataFrame) -> None:
    """Refuse nanoseconds that Python's datetimes would lose."""
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
            finer = (frame[name].to_physical() % 1000 != 0).arg_true()
            if len(finer):
                raise RowRejected(
                    finer[0],
                    f", field {name!r}: a time finer than a microsecond",
                    hint='cast it, for example with .dt.cast_time_unit("us")',
                )


def _encode(row: Mapping[str, Any] | None, number: int) -> bytes | None:
    if row is None:
        return None
    if not isinstance(row, Mapping):
        raise RowRejected(
            number, f" is {_named(row)}, not a mapping", hint="a row is a dict, or None"
        )
    try:
        return _encoder.encode(_object(row))
    except _Unfit as e:
        field = "".join(reversed(e.path)).removeprefix(".")
        raise RowRejected(number, f", field {field!r}: {e}", hint=e.hint) from None
    except UnicodeEncodeError:
        raise RowRejected(
            number, " holds a string with a lone surrogate, which UTF-8 cannot carry"
        ) from None
    except RecursionError:
        raise RowRejected(number, " is nested too deeply, or holds itself") from None


class _Unfit(Exception):  # noqa: N818 - becomes RowRejected, with the row's number
    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = hint
        self.path: list[str] = []


def _object(row: Mapping[str, Any]) -> dict[str, Any]:
    encoded = {}
    for name, value in row.items():
        if type(value) not in _PLAIN and not (type(value) is Decimal and value.is_finite()):
            try:
                value = _value(value)
            except _Unfit as e:
                e.path.append(f".{name}")
                raise
        if type(name) is not str:
            raise _Unfit(f"the name {name!r} is {_named(name)}, not a string")
        encoded[name] = value
    return encoded


def _value(value: Any) -> Any:
    """What msgspec writes as we promise; it would turn NaN into null and bytes into Base64."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value)
        case str():
            return str.__str__(value)  # of an Enum its value, not its name
        case float():
            if not math.isfinite(value):
                raise _Unfit(f"{value} has no JSON form", "use None for what is not known")
            return float(value)
        case Decimal():
            if not value.is_finite():
                raise _Unfit(f"{value} has no JSON form", "use None for what is not known")
            return value
        case datetime():
            try:
                return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            except OverflowError:
                raise _Unfit(f"{value} lies outside the years 1 to 9999 in UTC") from None
        case date():
            return value
        case Mapping():
            return _object(value)
        case list() | tuple():
            return _array(value)
        case _ if _is_numpy_scalar(value):
            return _numpy_scalar(value)
    raise _Unfit(
        f"{_named(value)} has no JSON form",
        "decode bytes to text first" if isinstance(value, bytes | bytearray) else None,
    )


def _is_numpy_scalar(value: object) -> bool:
    numpy = sys.modules.get("numpy")  # who hands one over has imported it
    return numpy is not None and isinstance(value, numpy.generic)


def _numpy_scalar(value: Any) -> Any:
    """As the Python value that is exactly the same."""
    match value.dtype.kind:
        case "M":
            moment = value.item()
            if isinstance(moment, int):  # finer than Python's datetimes, which it would not say
                moment = value.astype("datetime64[us]")
                if moment != value or isinstance(moment.item(), int):
                    raise _Unfit(f"{value} is finer than a microsecond, or beyond the year 9999")
                moment = moment.item()
            return _value(moment)
        case "m":
            raise _Unfit(f"{_named(value)} has no JSON form")
        case "f":
            number = float(value)
            if number != value and value == value:
                raise _Unfit(f"{value} is no double", "round it, or use a Decimal")
            return _value(number)
    return _value(value.item())


def _array(values: list[Any] | tuple[Any, ...]) -> list[Any]:
    encoded = []
    for index, value in enumerate(values):
        try:
            encoded.append(value if type(value) in _PLAIN else _value(value))
        except _Unfit as e:
            e.path.append(f"[{index}]")
            raise
    return encoded


def _named(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
