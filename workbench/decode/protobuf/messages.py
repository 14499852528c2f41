"""Protobuf records to typed values one at a time, by Google's library: slow, and the truth."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import polars as pl

from workbench.decode import exact
from workbench.decode.document import Misfit
from workbench.decode.protobuf.nodes import Node
from workbench.decode.protobuf.weight import check_weight

Convert = Callable[[Any], Any]

_FIRST, _LAST = -62_135_596_800, 253_402_300_799
_SPAN = 315_576_000_000
_BILLION = 1_000_000_000
_STRING = 9


def decode_one_by_one(
    bodies: pl.Series, node: Node
) -> tuple[list[pl.Series], pl.Series, pl.Series]:
    """Decode bodies: one column per field, the errors, and what the schema does not know."""
    from google.protobuf.message import DecodeError

    parse, typed, left = _made(node)
    nothing: dict[str, Any] = dict.fromkeys(part.name for part in node.parts)
    rows: list[dict[str, Any]] = []
    errors: list[str | None] = []
    rests: list[str | None] = []
    for body in bodies:
        row, error, rest = nothing, None, None
        if body is not None:
            try:
                check_weight(body, node)
                message = parse(body)
                row = typed(message)
                kept = left(message)
                rest = None if kept is None else json.dumps(kept, separators=(",", ":"))
            except (DecodeError, UnicodeDecodeError) as problem:
                row, error = nothing, f"not Protobuf of its schema: {str(problem).rstrip('.')}"
            except Misfit as problem:
                row, error = nothing, f"not Protobuf of its schema: {problem}"
        rows.append(row)
        errors.append(error)
        rests.append(rest)
    columns = [
        exact.series(part.name, [row[part.name] for row in rows], part.dtype) for part in node.parts
    ]
    return (
        columns,
        pl.Series("decode_error", errors, dtype=pl.String),
        pl.Series("_rest", rests, dtype=pl.String),
    )


@lru_cache(maxsize=256)
def _made(node: Node) -> tuple[Convert, Convert, Convert]:
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(node.message).FromString, _message(node), _left(node)


def _value(node: Node) -> Convert:
    match node.kind:
        case "enum":
            symbols = dict(node.symbols)
            return lambda value: symbols.get(value) or str(value)
        case "time":
            return _time
        case "span":
            return _span
        case "wrapper":
            inner = _value(node.parts[0])
            return lambda value: inner(value.value)
        case "json":
            return json_text
        case "blank":
            return lambda value: True
        case "message":
            return _message(node)
        case "list":
            item = _value(node.parts[0])
            return lambda values: [item(value) for value in values]
        case "map":
            key, value = (_value(part) for part in node.parts)
            return lambda entries: [
                {"key": name, "value": value(entries[name])} for name in sorted(map(key, entries))
            ]
    return _text if node.dtype == pl.String else lambda value: value


def _message(node: Node) -> Convert:
    fields = [(part.name, part.presence, _value(part)) for part in node.parts]

    def read(message: Any) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, presence, value in fields:
            try:
                if presence and not message.HasField(name):
                    row[name] = None
                else:
                    row[name] = value(getattr(message, name))
            except Misfit as e:
                e.path.append(f".{name}")
                raise
        return row

    return read


def _text(value: str | bytes) -> str:
    """Of proto2, Google's library gives a string that is none as its bytes."""
    if isinstance(value, str):
        return value
    raise Misfit("a string that is not UTF-8")


def _time(value: Any) -> int:
    if not (_FIRST <= value.seconds <= _LAST and 0 <= value.nanos < _BILLION):
        raise Misfit("a time outside the years 1 to 9999")
    return int(value.seconds) * 1_000_000 + int(value.nanos) // 1_000


def _span(value: Any) -> str:
    if abs(value.seconds) > _SPAN or abs(value.nanos) >= _BILLION:
        raise Misfit("a duration of more than 10,000 years")
    return f"{Decimal(value.seconds * _BILLION + value.nanos).scaleb(-9):f}"


def json_text(message: Any) -> str:
    """A message as compact JSON text, its fields named as the schema does.  Raises Misfit."""
    from google.protobuf.json_format import Error, MessageToDict

    _check_texts(message)
    try:
        plain = MessageToDict(message, preserving_proto_field_name=True)
        # Google's library gives the entries of maps in an order that differs between processes.
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    except (Error, ValueError, TypeError, RecursionError) as error:
        raise Misfit(f"it has no JSON form: {error}") from None


def _check_texts(message: Any) -> None:
    """Raise Misfit where a string of a message is none, however deep."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name
            found = [(of["key"], one) for one in value]
            found += [(of["value"], value[one]) for one in value]
        else:
            found = [(field, one) for one in (value if field.is_repeated else [value])]
        for kind, one in found:
            if kind.message_type is not None:
                _check_texts(one)
            elif kind.type == _STRING:
                _text(one)


def unknown(message: Any) -> dict[str, Any] | None:
    """The fields of a message that its schema does not know, by number; None for none."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    kept: dict[str, Any] = {}
    for one in UnknownFieldSet(message):
        kept.setdefault(str(one.field_number), []).append(_plain(one.data))
    return {n: v[0] if len(v) == 1 else v for n, v in kept.items()} or None


def _plain(data: Any) -> Any:
    if isinstance(data, bytes):
        return base64.b64encode(data).decode()
    if isinstance(data, int):
        return data
    return {str(one.field_number): _plain(one.data) for one in data}


def _left(node: Node) -> Convert:
    """What gives all that the columns of a message do not hold, or None."""
    inner = [(part.name, part, left) for part in node.parts if (left := _left_of(part))]

    def read(message: Any) -> dict[str, Any] | None:
        kept = unknown(message) or {}
        for name, part, left in inner:
            if not part.presence or message.HasField(name):
                found = left(getattr(message, name))
                if found is not None:
                    kept[name] = found
        return kept or None

    return read


def _left_of(node: Node) -> Convert | None:
    match node.kind:
        case "message":
            return _left(node)
        case "json" | "blank" | "wrapper":
            return unknown_within
        case "time":
            # Digits beyond a microsecond: the whole time as text.
            return lambda value: value.ToJsonString() if value.nanos % 1_000 else None
        case "list":
            item = _left_of(node.parts[0])
            return None if item is None else lambda values: _listed(map(item, values))
        case "map":
            entry = _left_of(node.parts[1])
            return (
                None
                if entry is None
                else lambda entries: (
                    {
                        str(key): found
                        for key in sorted(entries)
                        if (found := entry(entries[key])) is not None
                    }
                    or None
                )
            )
    return None


def unknown_within(message: Any) -> dict[str, Any] | None:
    """What is unknown in a message of any kind, however deep."""
    kept = unknown(message) or {}
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = [one for one in value.values() if hasattr(one, "ListFields")]
            found: Any = _listed(map(unknown_within, values))
        elif field.is_repeated:
            found = _listed(map(unknown_within, value))
        else:
            found = unknown_within(value)
        if found is not None:
            kept[field.name] = found
    return kept or None


def _listed(found: Any) -> list[Any] | None:
    kept = list(found)
    return kept if any(one is not None for one in kept) else None
