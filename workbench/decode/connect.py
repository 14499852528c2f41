"""JSON with the schema that Kafka Connect's converter encloses with each value.

Of the schema, the types are used that JSON has no form for, by the names that Kafka Connect and
Debezium give them.  A converter writes unscaled bytes of decimals in Base64: they become the
numbers that they are, those of any scale (`VariableScaleDecimal`) their text.  Days since 1970
become dates, milliseconds and microseconds since then times in UTC, those since midnight text as in
12:30:00.5.  Nanoseconds stay integers, as in Avro; what a type cannot be stays as it is, for the
decoder to say.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache, partial
from typing import Any

import msgspec
import polars as pl

from workbench.decode.decimals import ANY_SCALE, decimal_text
from workbench.decode.fit import merge, struct_fields
from workbench.schema import Schema

_DECIMAL = "org.apache.kafka.connect.data.Decimal"
#: A Decimal column holds no more digits, and these no more bytes.
_DIGITS, _BYTES = 38, 16
#: A schema that is longer, or deeper, is not looked at.
_LENGTH, _DEPTH = 1 << 20, 32
#: Of larger schemas few are remembered, since each record may bring another one.
_SMALL = 1 << 16

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Leaf:
    """The column of a type, and how its JSON is written for that; ValueError where it is none."""

    dtype: pl.DataType
    write: Callable[[bytes], bytes]


#: A type, or what is within a struct, by name, or within an array.
Plan = Leaf | Mapping[str, Any] | tuple[Any]


def payloads(values: pl.Series) -> pl.Series:
    """JSON values without the schemas that enclose them, of which they have the types."""
    if not _enclosed(values).any():
        return values
    return pl.Series(values.name, [_payload(value) for value in values], dtype=pl.Binary)


def typed(inferred: Schema | None, values: pl.Series) -> Schema | None:
    """What was inferred of payloads, with the types of the schemas that enclosed them."""
    if inferred is None:
        return None
    fields: pl.DataType = pl.Struct(dict(inferred))
    for text in {_parts(value)[0] for value in values.filter(_enclosed(values))}:
        plan = None if text is None else _plan(text)
        if plan is not None:
            fields = _with(fields, plan)
    return Schema(struct_fields(fields))


def _enclosed(values: pl.Series) -> pl.Series:
    found = pl.select(pl.lit(values).bin.contains(pl.lit(b'"payload"'))).to_series()
    return found.fill_null(False)


def _parts(value: bytes | None) -> tuple[bytes | None, bytes | None]:
    """The schema that encloses a value, if any, and the value."""
    if value is None:
        return None, None
    try:
        members = _members(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, value
    if "payload" in members and members.keys() <= {"schema", "payload"}:
        schema = members.get("schema")
        return None if schema is None else bytes(schema), bytes(members["payload"])
    return None, value


def _payload(value: bytes | None) -> bytes | None:
    schema, payload = _parts(value)
    plan = None if schema is None or payload is None else _plan(schema)
    if plan is None or payload is None:
        return payload
    try:
        return _typed(msgspec.Raw(payload), plan)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return payload  # which is not of its schema: the decoder says of what


def _plan(schema: bytes) -> Plan | None:
    """Where a schema has types that JSON has no form for; None where it has none."""
    return (_of_small if len(schema) < _SMALL else _of_large)(schema)


def _read(schema: bytes) -> Plan | None:
    try:
        return _planned(json.loads(schema), 0) if len(schema) < _LENGTH else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


_of_small, _of_large = lru_cache(1_024)(_read), lru_cache(16)(_read)


def _planned(spec: Any, depth: int) -> Plan | None:
    if depth > _DEPTH or not isinstance(spec, dict):
        return None
    name = str(spec.get("name"))
    if name == _DECIMAL:
        given = spec.get("parameters") or {}
        scale = int(given["scale"]) if "scale" in given else 0
        precision = int(given.get("connect.decimal.precision") or _DIGITS)
        if not 0 <= scale <= precision <= _DIGITS:
            return None
        return Leaf(pl.Decimal(precision, scale), partial(_decimal, scale))
    if name in _LEAVES:
        return _LEAVES[name]
    if spec.get("type") == "array":
        item = _planned(spec.get("items"), depth + 1)
        return None if item is None else (item,)
    found = {
        str(one.get("field")): plan
        for one in spec.get("fields") or ()
        if (plan := _planned(one, depth + 1)) is not None
    }
    return found or None


def _typed(raw: msgspec.Raw, plan: Plan) -> bytes:
    """JSON text with the types of a plan as they are decoded; all else stays as it is written."""
    text = bytes(raw)
    if text == b"null":
        return text
    if isinstance(plan, tuple):
        return _encode([msgspec.Raw(_typed(one, plan[0])) for one in _items(text)])
    if isinstance(plan, Mapping):
        members = _members(text)
        for name in plan.keys() & members.keys():
            members[name] = msgspec.Raw(_typed(members[name], plan[name]))
        return _encode(members)
    assert isinstance(plan, Leaf)
    try:
        return plan.write(text)
    except (ValueError, LookupError, OverflowError, msgspec.MsgspecError):
        return text


def _decimal(scale: int, text: bytes) -> bytes:
    unscaled = b64decode(msgspec.json.decode(text, type=str), validate=True)
    if not 0 < len(unscaled) <= _BYTES:
        raise ValueError
    return decimal_text(unscaled, scale).encode()


def _any_scale(text: bytes) -> bytes:
    found = msgspec.json.decode(text, type=dict[str, int | str])
    unscaled = b64decode(str(found["value"]), validate=True)
    return _encode(decimal_text(unscaled, int(found["scale"])))


def _day(text: bytes) -> bytes:
    return _encode(date(1970, 1, 1) + timedelta(days=msgspec.json.decode(text, type=int)))


def _time_of_day(digits: int, text: bytes) -> bytes:
    """So many digits of a second since midnight.  MySQL has spans of more than a day, and of less.

    https://dev.mysql.com/doc/refman/8.4/en/time.html
    """
    count = msgspec.json.decode(text, type=int)
    seconds, fine = divmod(abs(count), 10**digits)
    sign = "-" if count < 0 else ""
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return _encode(f"{clock}.{fine:0{digits}}".rstrip("0") if fine else clock)


def _as_it_is(text: bytes) -> bytes:
    return text


_DAY = Leaf(pl.Date(), _day)
_MILLISECONDS = Leaf(pl.Datetime("ms", "UTC"), _as_it_is)
_LEAVES = {
    ANY_SCALE: Leaf(pl.String(), _any_scale),
    "io.debezium.time.Date": _DAY,
    "io.debezium.time.Time": Leaf(pl.String(), partial(_time_of_day, 3)),
    "io.debezium.time.MicroTime": Leaf(pl.String(), partial(_time_of_day, 6)),
    "io.debezium.time.Timestamp": _MILLISECONDS,
    "io.debezium.time.MicroTimestamp": Leaf(pl.Datetime("us", "UTC"), _as_it_is),
    "org.apache.kafka.connect.data.Date": _DAY,
    "org.apache.kafka.connect.data.Time": Leaf(pl.String(), partial(_time_of_day, 3)),
    "org.apache.kafka.connect.data.Timestamp": _MILLISECONDS,
}


def _with(dtype: pl.DataType, plan: Plan) -> pl.DataType:
    """A type with those of a plan, where it has something in their places."""
    match dtype, plan:
        case pl.Struct(), Mapping():
            known = struct_fields(dtype)
            more = {n: _of(one) for n, one in plan.items() if n not in known}
            return pl.Struct(
                {n: _with(t, plan[n]) if n in plan else t for n, t in known.items()} | more
            )
        case pl.List(inner=inner), (item,):
            return pl.List(_with(inner, item))  # type: ignore[arg-type]
        case ((pl.Decimal() | pl.Datetime()), Leaf(dtype=given)):
            return merge(dtype, given)
        case ((pl.Struct() | pl.List()), _):
            return dtype
    return plan.dtype if isinstance(plan, Leaf) else dtype


def _of(plan: Plan) -> pl.DataType:
    """The type of what a sample had no value of, or none of one type."""
    if isinstance(plan, tuple):
        return pl.List(_of(plan[0]))
    if isinstance(plan, Mapping):
        return pl.Struct({name: _of(one) for name, one in plan.items()})
    return plan.dtype
