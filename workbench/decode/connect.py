"""JSON with the schema that Kafka Connect's converter encloses with each value.

Of the schema, the types are used that JSON has no form for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl

from workbench.decode import logical
from workbench.decode.fit import merge, struct_fields
from workbench.decode.logical import Leaf, Plan, dtype_of
from workbench.schema import Schema

#: A schema that is longer, or deeper, is not looked at.
_LENGTH, _DEPTH = 1 << 20, 32
#: Of larger schemas few are remembered, since each record may bring another one.
_SMALL = 1 << 16

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


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
    return logical.typed(payload, plan)


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
    named = logical.leaf(str(spec.get("name")), spec.get("parameters") or {})
    if named is not None:
        return named
    if spec.get("type") == "array":
        item = _planned(spec.get("items"), depth + 1)
        return None if item is None else (item,)
    found = {
        str(one.get("field")): plan
        for one in spec.get("fields") or ()
        if (plan := _planned(one, depth + 1)) is not None
    }
    return found or None


def _with(dtype: pl.DataType, plan: Plan) -> pl.DataType:
    """A type with those of a plan, where it has something in their places."""
    match dtype, plan:
        case pl.Struct(), Mapping():
            known = struct_fields(dtype)
            more = {n: dtype_of(one) for n, one in plan.items() if n not in known}
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
