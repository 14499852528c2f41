"""How msgspec reads the fields of a schema, and what proves of a column that it did so exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, cast

import msgspec
import polars as pl
from msgspec.structs import astuple

_NULL = "null"
#: Structures deeper than this are left to the exact path, which knows how deep a record may be.
_MAX_DEPTH = 32
#: Integers up to here are doubles.
_EXACT_DOUBLE = 2**53
#: Years whose every moment is a datetime in every zone; the few others are left to the exact path.
_DATE = r"(?:[1-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
#: The last millisecond of the year 9999, beyond which an epoch is no datetime.
_LAST_MS = 253_402_300_799_999

#: Makes columns that Polars takes, the carriers, of the Python values of one field.
Carry = Callable[[Sequence[Any]], list[pl.Series]]


class Field(NamedTuple):
    """How one field is read.

    Attributes
    ----------
    type
        What msgspec takes for it.
    default
        What stands for a missing one.
    carry
        Makes the carriers.
    made
        Columns computed from the carriers, for `value` and `proofs` to build on.
    value
        The field's own column.
    proofs
        Where the column is exact, which null is too.
    names
        How many names of the text the values account for.
    """

    type: Any
    default: Any
    carry: Carry
    made: tuple[pl.Expr, ...]
    value: pl.Expr
    proofs: tuple[pl.Expr, ...]
    names: tuple[pl.Expr, ...]


def read_field(path: str, dtype: pl.DataType, depth: int = 0) -> Field | None:
    """How a field is read, by carriers named after `path`; None if msgspec is not for its type."""
    match dtype:
        case pl.Float64():
            small = pl.col(path).abs() < _EXACT_DOUBLE
            return _plain(path, dtype, float, small | pl.col(path).is_null())
        case pl.Decimal(precision=int(precision), scale=scale):
            fraction = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
            return _literal(path, dtype, rf"-?[0-9]{{1,{max(precision - scale, 1)}}}{fraction}")
        case pl.UInt64():
            return _literal(path, dtype, "[0-9]{1,20}")
        case pl.Date():
            return _date(path)
        case pl.Datetime(time_unit=unit):
            return _moment(path, dtype, unit)
        case pl.List(inner=inner):
            return _list(path, dtype, cast(pl.DataType, inner))
        case pl.Struct(fields=fields) if depth < _MAX_DEPTH:
            return _struct(path, {f.name: cast(pl.DataType, f.dtype) for f in fields}, depth)
    kind = _scalar(dtype)
    return None if kind is None else _plain(path, dtype, kind)


def text_field(path: str) -> Field:
    """How a field is kept as text for others, who add the columns `path=` and `path:`.

    They are its value (null where it is not certain), and the number of ends of names in the text.
    """
    value = pl.col(f"{path}=")
    field = _raw(path, (), value, (value.is_not_null() | (pl.col(path) == _NULL),))
    return field._replace(names=(*field.names, pl.col(f"{path}:")))


def record_type(members: Mapping[str, Field]) -> type[msgspec.Struct]:
    """What msgspec reads an object as.  It passes over names that are not among the members.

    Raises ValueError for a name that msgspec cannot look for.
    """
    return msgspec.defstruct(
        "Record",
        [(f"f{n}", field.type, field.default) for n, field in enumerate(members.values())],
        rename={f"f{n}": name for n, name in enumerate(members)},
        gc=False,
    )


def carriers(records: Sequence[msgspec.Struct], members: Mapping[str, Field]) -> list[pl.Series]:
    """The carriers of all members of some records."""
    columns = zip(*map(astuple, records), strict=True) if records else [()] * len(members)
    return [
        carrier
        for field, column in zip(members.values(), columns, strict=True)
        for carrier in field.carry(column)
    ]


def _scalar(dtype: pl.DataType) -> Any:
    """The type that msgspec checks as strictly as ours is, if there is one."""
    match dtype:
        case pl.Boolean():
            return bool
        case pl.String():
            return str
        case _ if dtype.is_integer() and dtype != pl.UInt64:
            kind = cast(pl.datatypes.IntegerType, dtype)
            low, high = pl.select(low=kind.min(), high=kind.max()).row(0)
            return Annotated[int, msgspec.Meta(ge=low, le=high)]
    return None


def _plain(path: str, dtype: pl.DataType, kind: Any, *proofs: pl.Expr) -> Field:
    """A field whose values Polars takes as they are."""

    def carry(values: Sequence[Any]) -> list[pl.Series]:
        return [pl.Series(path, values, dtype=dtype)]

    column = pl.col(path)
    return Field(kind | None, None, carry, (), column, proofs, (column.is_not_null(),))


def _list(path: str, dtype: pl.DataType, inner: pl.DataType) -> Field | None:
    item: Any = float if inner == pl.Float64 else _scalar(inner)
    if item is None:
        return None
    field = _plain(path, dtype, list[item | None])
    if item is not float:
        return field
    large = pl.col(path).list.eval(pl.element().abs() >= _EXACT_DOUBLE).list.any()
    return field._replace(proofs=(~large.fill_null(False),))


def _raw(
    path: str, made: tuple[pl.Expr, ...], value: pl.Expr, proofs: tuple[pl.Expr, ...]
) -> Field:
    """A field that is carried as the text that it came as."""

    def carry(values: Sequence[Any]) -> list[pl.Series]:
        return [pl.Series(path, list(map(bytes, values)), dtype=pl.Binary).cast(pl.String)]

    given = pl.col(path) != _NULL
    return Field(msgspec.Raw, msgspec.Raw(_NULL.encode()), carry, made, value, proofs, (given,))


def _literal(path: str, dtype: pl.DataType, pattern: str) -> Field:
    """A number that is cast from its literal."""
    literal, value = pl.col(path), pl.col(f"{path}=")
    exact = value.is_not_null() & literal.str.contains(rf"^{pattern}$")
    made = literal.cast(dtype, strict=False).alias(f"{path}=")
    return _raw(path, (made,), value, (exact | (literal == _NULL),))


def _date(path: str) -> Field:
    text, value = pl.col(path), pl.col(f"{path}=")
    made = text.str.to_date("%Y-%m-%d", strict=False).alias(f"{path}=")
    exact = value.is_not_null() & text.str.contains(rf"^{_DATE}$")
    kept = _plain(path, pl.String(), str)
    return kept._replace(made=(made,), value=value, proofs=(exact | text.is_null(),))


def _moment(path: str, dtype: pl.DataType, unit: Any) -> Field:
    """Text or an epoch, each in a carrier of its own."""
    digits, last = (3, _LAST_MS) if unit == "ms" else (6, _LAST_MS * 1000)
    text, epoch, read = pl.col(path), pl.col(f"{path}#"), pl.col(f"{path}=")

    def carry(values: Sequence[Any]) -> list[pl.Series]:
        try:
            texts, epochs = pl.Series(path, values, dtype=pl.String), [None] * len(values)
        except TypeError:
            texts = pl.Series(path, [v if isinstance(v, str) else None for v in values], pl.String)
            epochs = [None if isinstance(v, str) else v for v in values]
        return [texts, pl.Series(f"{path}#", epochs, dtype=pl.Int64)]

    zoned = pl.when(text.str.contains(f"{_ZONE}$")).then(text).otherwise(text + "Z")
    iso = zoned.str.replace(" ", "T", literal=True)
    made = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit=unit, strict=False)
    pattern = rf"^{_DATE}[T ]{_CLOCK}(?:\.[0-9]{{1,{digits}}})?{_ZONE}?$"
    return Field(
        str | _scalar(pl.Int64()) | None,
        None,
        carry,
        (made.alias(f"{path}="),),
        pl.coalesce(read.cast(pl.Int64), epoch).cast(dtype),
        (
            text.is_null() | (read.is_not_null() & text.str.contains(pattern)),
            epoch.is_null() | epoch.is_between(0, last),
        ),
        (text.is_not_null(), epoch.is_not_null()),
    )


def _struct(path: str, fields: dict[str, pl.DataType], depth: int) -> Field | None:
    """An object: a carrier that says where it is given, and those of its members."""
    members: dict[str, Field] = {}
    for number, (name, dtype) in enumerate(fields.items()):
        member = read_field(f"{path}.{number}", dtype, depth + 1)
        if member is None:
            return None
        members[name] = member
    if not members:
        return None
    kind = record_type(members)
    blank = kind()

    def carry(values: Sequence[Any]) -> list[pl.Series]:
        given = pl.Series(path, [value is not None for value in values], dtype=pl.Boolean)
        records = [blank if value is None else value for value in values]
        return [given, *carriers(records, members)]

    given = pl.col(path)
    packed = pl.struct(member.value.alias(name) for name, member in members.items())
    return Field(
        kind | None,
        None,
        carry,
        tuple(made for member in members.values() for made in member.made),
        pl.when(given).then(packed),
        tuple(proof for member in members.values() for proof in member.proofs),
        (given, *(names for member in members.values() for names in member.names)),
    )
