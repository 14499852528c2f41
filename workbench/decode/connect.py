"""JSON with the schema that Kafka Connect's converter encloses with each value.

Of the schema, the decimals are used: a converter writes their unscaled bytes in Base64, which here
become the numbers that they are.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl

from workbench.decode.fit import merge, struct_fields
from workbench.schema import Schema

_DECIMAL = "org.apache.kafka.connect.data.Decimal"
#: A Decimal column holds no more digits, and these no more bytes.
_DIGITS, _BYTES = 38, 16
#: A schema that is longer, or deeper, is not looked at.
_LENGTH, _DEPTH = 1 << 20, 32

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

#: A Decimal, or what is within a struct, by name, or within an array.
Plan = pl.DataType | Mapping[str, Any] | tuple[Any]


def payloads(values: pl.Series) -> pl.Series:
    """JSON values without the schemas that enclose them, their decimals as numbers."""
    if not _enclosed(values).any():
        return values
    return pl.Series(values.name, [_payload(value) for value in values], dtype=pl.Binary)


def typed(inferred: Schema | None, values: pl.Series) -> Schema | None:
    """What was inferred of payloads, with the decimals of the schemas that enclosed them."""
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
        return _numbered(msgspec.Raw(payload), plan)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return payload  # which is not of its schema: the decoder says of what


@lru_cache(maxsize=1_024)
def _plan(schema: bytes) -> Plan | None:
    """Where a schema has decimals; None where it has none."""
    try:
        return _planned(json.loads(schema), 0) if len(schema) < _LENGTH else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _planned(spec: Any, depth: int) -> Plan | None:
    if depth > _DEPTH or not isinstance(spec, dict):
        return None
    if spec.get("name") == _DECIMAL:
        given = spec.get("parameters") or {}
        scale = int(given["scale"]) if "scale" in given else 0
        precision = int(given.get("connect.decimal.precision") or _DIGITS)
        return pl.Decimal(precision, scale) if 0 <= scale <= precision <= _DIGITS else None
    if spec.get("type") == "array":
        item = _planned(spec.get("items"), depth + 1)
        return None if item is None else (item,)
    found = {
        str(one.get("field")): plan
        for one in spec.get("fields") or ()
        if (plan := _planned(one, depth + 1)) is not None
    }
    return found or None


def _numbered(raw: msgspec.Raw, plan: Plan) -> bytes:
    """JSON text with the decimals of a plan as numbers; all else stays as it is written."""
    text = bytes(raw)
    if text == b"null":
        return text
    if isinstance(plan, tuple):
        return _encode([msgspec.Raw(_numbered(one, plan[0])) for one in _items(text)])
    if isinstance(plan, Mapping):
        members = _members(text)
        for name in plan.keys() & members.keys():
            members[name] = msgspec.Raw(_numbered(members[name], plan[name]))
        return _encode(members)
    try:
        unscaled = b64decode(msgspec.json.decode(text, type=str), validate=True)
    except ValueError:
        return text
    if not 0 < len(unscaled) <= _BYTES:
        return text
    assert isinstance(plan, pl.Decimal)
    number = Decimal(int.from_bytes(unscaled, "big", signed=True)).scaleb(-plan.scale)
    return f"{number:f}".encode()


def _with(dtype: pl.DataType, plan: Plan) -> pl.DataType:
    """A type with the decimals of a plan, where it has something in their places."""
    match dtype, plan:
        case pl.Struct(), Mapping():
            known = struct_fields(dtype)
            more = {n: _of(one) for n, one in plan.items() if n not in known}
            return pl.Struct(
                {n: _with(t, plan[n]) if n in plan else t for n, t in known.items()} | more
            )
        case pl.List(inner=inner), (item,):
            return pl.List(_with(inner, item))  # type: ignore[arg-type]
        case pl.Decimal(), pl.Decimal():
            return merge(dtype, plan)
        case ((pl.Struct() | pl.List()), _):
            return dtype
    return plan if isinstance(plan, pl.Decimal) else dtype


def _of(plan: Plan) -> pl.DataType:
    """The type of what a sample had no value of, or none of one type."""
    if isinstance(plan, tuple):
        return pl.List(_of(plan[0]))
    if isinstance(plan, Mapping):
        return pl.Struct({name: _of(one) for name, one in plan.items()})
    return plan
