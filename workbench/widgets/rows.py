"""Rows as pages and charts take them: JSON that loses nothing, or numbers to be drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from workbench.errors import DefinitionError
from workbench.source.times import to_ms, within

#: The largest integer that JavaScript holds exactly.
SAFE_INTEGER = 2**53 - 1


def plain_rows(rows: Any) -> list[dict[str, Any]]:
    """A frame, a dict, or dicts as rows to be drawn: numbers, texts, times in milliseconds.

    Raises DefinitionError for what is none of these.
    """
    if hasattr(rows, "__arrow_c_stream__"):  # a frame, of whichever library
        return [_plain(row) for row in within(pl.DataFrame(rows)).iter_rows(named=True)]
    if isinstance(rows, Iterable) and not isinstance(rows, Mapping | str | bytes):
        return [_plain(row) for row in rows]
    return [_plain(rows)]


def _plain(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise DefinitionError(
            f"a {type(row).__name__} is no row of a chart", hint="give a frame, a dict, or dicts"
        )
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
