"""Binary columns to text."""

from __future__ import annotations

import polars as pl

#: Rows that are looked at one by one where some of them are not UTF-8.
_SLICE = 4_096


def utf8(values: pl.Series) -> pl.Series:
    """A Binary column as String; null where a value is null or not UTF-8.

    Polars refuses a column as a whole for one bad value, so bad ones are sought slice by slice.
    """
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:
        if len(values) > _SLICE:
            starts = range(0, len(values), _SLICE)
            return pl.concat([utf8(values.slice(start, _SLICE)) for start in starts])
    return pl.Series(values.name, [_text(value) for value in values], dtype=pl.String)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None
