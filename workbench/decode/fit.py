"""Columns of one schema in the place of those of another: versions of a schema in one frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
import polars as pl

from workbench.decode import exact

_INTEGERS: tuple[pl.DataType, ...] = (pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64())
_encoder = msgspec.json.Encoder(decimal_format="number")

Fields = Mapping[str, pl.DataType]


def holds(wide: pl.DataType, narrow: pl.DataType) -> bool:
    """Whether every value of `narrow`, as far as `wide` has fields for it, is one of `wide`."""
    if wide == narrow:
        return True
    match wide, narrow:
        case pl.Struct(), pl.Struct():
            known = struct_fields(wide)
            return all(
                holds(known[name], dtype)
                for name, dtype in struct_fields(narrow).items()
                if name in known
            )
        case pl.List(inner=first), pl.List(inner=second):
            return holds(cast(pl.DataType, first), cast(pl.DataType, second))
        case pl.Decimal(precision=int(p), scale=s), pl.Decimal(precision=int(q), scale=t):
            return s >= t and p - s >= q - t
        case pl.Datetime(time_unit="us", time_zone=zone), pl.Datetime(
            time_unit="ms", time_zone=other
        ):
            return zone == other
        case pl.Float64(), _:
            return narrow in _INTEGERS[:3]
        case pl.UInt64(), pl.UInt32():
            return True
    if wide in _INTEGERS and narrow in _INTEGERS:
        return _INTEGERS.index(wide) > _INTEGERS.index(narrow)
    return wide == pl.Int64 and narrow == pl.UInt32


def merge(newer: pl.DataType, older: pl.DataType) -> pl.DataType:
    """The type that holds both; where none does, the newer."""
    match newer, older:
        case pl.Struct(), pl.Struct():
            return pl.Struct(merge_fields(struct_fields(newer), struct_fields(older)))
        case pl.List(inner=first), pl.List(inner=second):
            return pl.List(merge(cast(pl.DataType, first), cast(pl.DataType, second)))
    return older if holds(older, newer) else newer


def merge_fields(newer: Fields, older: Fields) -> dict[str, pl.DataType]:
    """The fields of both, those of the newer first."""
    return {
        name: merge(newer[name], older[name])
        if name in newer and name in older
        else {**older, **newer}[name]
        for name in {**newer, **older}
    }


def fit(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """A column as a type that `holds` its own."""
    if column.dtype == dtype:
        return column
    fitted = _fitted(pl.col("x"), column.dtype, dtype)
    return column.alias("x").to_frame().select(fitted.alias(column.name)).to_series()


def _fitted(value: pl.Expr, given: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    if given == wanted:
        return value
    if isinstance(given, pl.Struct) and isinstance(wanted, pl.Struct):
        known = struct_fields(given)
        members = [
            (
                _fitted(value.struct.field(name), known[name], dtype)
                if name in known
                else pl.lit(None, dtype=dtype)
            ).alias(name)
            for name, dtype in struct_fields(wanted).items()
        ]
        return pl.when(value.is_not_null()).then(pl.struct(members))
    if isinstance(given, pl.List) and isinstance(wanted, pl.List):
        inner, outer = cast(pl.DataType, given.inner), cast(pl.DataType, wanted.inner)
        return value.list.eval(_fitted(pl.element(), inner, outer))
    return value.cast(wanted)


def unknown(columns: list[pl.Series], fields: Fields) -> pl.Series | None:
    """What columns hold beyond some fields, as `_rest`: JSON text; None where there is nothing.

    Bytes are in Base64, as JSON has them.
    """
    beyond = [one for one in columns if _exceeds(one.dtype, fields.get(one.name))]
    if not beyond:
        return None
    left = exact.remainder(
        pl.Struct({n: fields[n] for n in (c.name for c in beyond) if n in fields})
    )
    texts = []
    for row in pl.DataFrame(beyond).iter_rows(named=True):
        kept = _given(left({name: value for name, value in row.items() if value is not None}))
        texts.append(None if kept is None else _encoder.encode(kept).decode())
    return pl.Series("_rest", texts, dtype=pl.String)


def as_json(columns: list[pl.Series]) -> pl.Series:
    """Rows of columns as compact JSON objects (Binary); bytes are in Base64."""
    rows = pl.DataFrame(columns).iter_rows(named=True)
    return pl.Series("value", [_encoder.encode(row) for row in rows], dtype=pl.Binary)


def _exceeds(given: pl.DataType, wanted: pl.DataType | None) -> bool:
    match given, wanted:
        case _, None:
            return True
        case pl.Struct(), pl.Struct():
            known = struct_fields(wanted)
            return any(_exceeds(t, known.get(n)) for n, t in struct_fields(given).items())
        case pl.List(inner=first), pl.List(inner=second):
            return _exceeds(cast(pl.DataType, first), cast(pl.DataType, second))
    return False


def _given(left: Any) -> Any:
    """Without the nulls that a frame has where a record had nothing."""
    if not isinstance(left, dict):
        return left
    return {n: _given(v) for n, v in left.items() if v is not None} or None


def struct_fields(dtype: pl.DataType) -> dict[str, pl.DataType]:
    """The fields of a Struct by name."""
    return {f.name: cast(pl.DataType, f.dtype) for f in cast(pl.Struct, dtype).fields}
