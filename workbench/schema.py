"""Schemas: the names and types of a topic's payload fields.  Pure data.

A type is written as Polars writes it.  Its JSON form is a name for scalars (`"Int64"`,
`"String"`) and a one-entry object for the others: `{"Decimal": [18, 2]}`,
`{"Datetime": ["ms", "UTC"]}`, `{"List": …}`, `{"Struct": {…}}`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Self, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from workbench.errors import SchemaError

#: Names in a frame that a payload field cannot take; such a field is called `value_<name>`.
RESERVED = frozenset(
    {"topic", "partition", "offset", "timestamp", "key", "decode_error", "_rest", "_tombstone"}
)

_SCALARS: dict[str, pl.DataType] = {
    str(t): t
    for t in (
        pl.Boolean(),
        pl.Int8(),
        pl.Int16(),
        pl.Int32(),
        pl.Int64(),
        pl.UInt8(),
        pl.UInt16(),
        pl.UInt32(),
        pl.UInt64(),
        pl.Float64(),
        pl.String(),
        pl.Date(),
    )
}
#: What JSON has no form for, and other formats have.
_BINARY_ONLY: dict[str, pl.DataType] = {str(t): t for t in (pl.Binary(), pl.Time())}
_PYTHON_TYPES: dict[type, pl.DataType] = {
    str: pl.String(),
    int: pl.Int64(),
    float: pl.Float64(),
    bool: pl.Boolean(),
    date: pl.Date(),
    # Finer than a log's own milliseconds: `datetime.now(UTC)` has microseconds.
    datetime: pl.Datetime("us", "UTC"),
}


class Schema(Mapping[str, pl.DataType]):
    """An immutable, ordered map from payload field to Polars type.

    Parameters
    ----------
    fields
        Field name to Polars type, or to `str`, `int`, `float`, `bool`, `date`, `datetime`.
        Offered are Boolean, the integers, Float64, Decimal, String, Date, Datetime with a time
        zone, and List and Struct of these.

    Raises
    ------
    SchemaError
        For a type that is not offered, or an empty field name.

    Examples
    --------
    >>> s = Schema({"account": pl.String, "amount": pl.Decimal(18, 2)})
    >>> s
    Schema(account: String, amount: Decimal(precision=18, scale=2))
    >>> Schema.from_json(s.to_json()) == s
    True
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._take(fields, wide=False)

    @classmethod
    def of_columns(cls, fields: Mapping[str, Any]) -> Self:
        """A schema of what a binary format holds: also Binary, Time, and Datetime without a zone.

        JSON is not decoded by such a schema.
        """
        made = cls.__new__(cls)
        made._take(fields, wide=True)
        return made

    def _take(self, fields: Mapping[str, Any], *, wide: bool) -> None:
        if not isinstance(fields, Mapping):
            raise SchemaError(
                f"a schema maps names to types, {fields!r} does not",
                hint='for example {"account": str, "amount": pl.Decimal(18, 2)}',
            )
        self._fields: dict[str, pl.DataType] = {
            _field_name(name): _dtype(dtype, name, wide) for name, dtype in fields.items()
        }

    def __getitem__(self, name: str) -> pl.DataType:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Schema({', '.join(f'{n}: {t}' for n, t in self._fields.items())})"

    @property
    def columns(self) -> dict[str, str]:
        """Field name to the name its column has in a frame."""
        taken = set(self._fields) - RESERVED
        names: dict[str, str] = {}
        for field in self._fields:
            column = field
            if column in RESERVED:
                column = f"value_{field}"
                while column in taken:
                    column = f"value_{column}"
                taken.add(column)
            names[field] = column
        return names

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the SHA-256 of the JSON form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Compact JSON text; the order of the fields is kept."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form as a dict."""
        return {name: _to_data(dtype) for name, dtype in self._fields.items()}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.  Raises SchemaError on anything else."""
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise SchemaError(f"this is no schema: {error}") from error

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls.of_columns({name: _from_data(spec) for name, spec in data.items()})


def _field_name(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise SchemaError(f"a field name is a non-empty string, not {name!r}")
    return name


def _dtype(dtype: Any, name: str, wide: bool) -> pl.DataType:
    """Normalise to an instance and refuse what no decoder offers, or only a `wide` one."""
    if isinstance(dtype, type) and dtype in _PYTHON_TYPES:
        return _PYTHON_TYPES[dtype]
    if isinstance(dtype, type) and issubclass(dtype, pl.DataType):
        dtype = dtype()
    match dtype:
        case pl.Datetime(time_unit=unit, time_zone=zone):
            if wide and zone is None and unit != "ns":
                return cast(pl.DataType, dtype)
            if zone is None or unit == "ns":
                raise SchemaError(
                    f"field {name!r}: {dtype} is not offered",
                    hint='use pl.Datetime("ms", "UTC") or pl.Datetime("us", "UTC")',
                )
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise SchemaError(
                    f"field {name!r}: no time zone {zone!r}",
                    hint="use an IANA name such as UTC or Europe/Berlin",
                ) from error
            return cast(pl.DataType, dtype)
        case pl.Decimal(precision=precision, scale=scale):
            precision = precision or 38
            if not 0 <= scale <= precision <= 38:
                raise SchemaError(
                    f"field {name!r}: there is no Decimal({precision}, {scale})",
                    hint="at most 38 digits, of which the scale are decimal places",
                )
            return pl.Decimal(precision, scale)
        case pl.List(inner=inner):
            return pl.List(_dtype(inner, name, wide))
        case pl.Struct(fields=fields):
            names = [f.name for f in fields]
            if len(set(names)) < len(names):
                raise SchemaError(f"field {name!r}: a Struct has two fields of one name")
            return pl.Struct(
                [
                    pl.Field(_field_name(f.name), _dtype(f.dtype, f"{name}.{f.name}", wide))
                    for f in fields
                ]
            )
        case _ if isinstance(dtype, pl.DataType) and str(dtype) in _SCALARS:
            return dtype
        case _ if wide and isinstance(dtype, pl.DataType) and str(dtype) in _BINARY_ONLY:
            return dtype
    raise SchemaError(
        f"field {name!r}: {dtype} is not offered",
        hint="use Boolean, an integer, Float64, Decimal, String, Date, Datetime with a zone, "
        "List or Struct",
    )


def _to_data(dtype: pl.DataType) -> Any:
    match dtype:
        case pl.Datetime(time_unit=unit, time_zone=zone):
            return {"Datetime": [unit, zone]}
        case pl.Decimal(precision=precision, scale=scale):
            return {"Decimal": [precision, scale]}
        case pl.List(inner=inner):
            return {"List": _to_data(cast(pl.DataType, inner))}
        case pl.Struct(fields=fields):
            return {"Struct": {f.name: _to_data(cast(pl.DataType, f.dtype)) for f in fields}}
    return str(dtype)


def _from_data(spec: Any) -> pl.DataType:
    match spec:
        case str() if spec in _SCALARS:
            return _SCALARS[spec]
        case str() if spec in _BINARY_ONLY:
            return _BINARY_ONLY[spec]
        case {"Datetime": [str(unit), str() | None as zone]}:
            return pl.Datetime(cast(Any, unit), zone)
        case {"Decimal": [int(precision), int(scale)]}:
            return pl.Decimal(precision, scale)
        case {"List": inner}:
            return pl.List(_from_data(inner))
        case {"Struct": dict(fields)}:
            return pl.Struct({name: _from_data(inner) for name, inner in fields.items()})
    raise SchemaError(f"not a type: {spec!r}", hint=f"scalars are {', '.join(_SCALARS)}")
