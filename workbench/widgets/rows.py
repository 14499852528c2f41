"""Rows as pages and charts take them: JSON that loses nothing, or numbers to be drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from workbench.source.times import to_ms, within

#: The largest integer that JavaScript holds exactly.
SAFE_INTEGER = 2**53 - 1


def plain_rows(rows: Any) -> list[dict[str, Any]]:
    """A frame, a dict, or dicts as rows to be drawn: numbers, texts, times in milliseconds."""
    if isinstance(rows, pl.DataFrame):
        return [_plain(row) for row in within(rows).iter_rows(named=True)]
    if isinstance(rows, Mapping):
        return [_plain(rows)]
    if isinstance(rows, Iterable):
        return [_plain(row) for row in rows]
    raise TypeError(f"a {type(rows).__name__} is no row: give a frame, a dict, or dicts")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): drawn(value) for name, value in row.items()}


def drawn(value: Any) -> Any:
    """One value as a chart takes it: to the nearest number, where it is one."""
    match value:
        case None | bool() | str():
            return value
        case int() | float() | Decimal():
            number = float(value)
            if not math.isfinite(number):
                return None
            return value if isinstance(value, int) and abs(value) <= SAFE_INTEGER else number
        case datetime():
            return to_ms(value) if value.tzinfo else value.isoformat()
        case date():
            return value.isoformat()
        case bytes():
            return value.decode(errors="backslashreplace")
        case list() | tuple():
            return [drawn(one) for one in value]
        case dict():
            return _plain(value)
    return str(value)
