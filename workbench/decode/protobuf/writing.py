"""Rows to Protobuf values in a registry's frame, for appending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import isinf
from operator import index
from typing import Any

import polars as pl

from workbench.decode.framing import frame_of
from workbench.decode.protobuf import ProtobufMessages
from workbench.decode.protobuf.nodes import Node
from workbench.decode.registry import Registered
from workbench.decode.row_loop import Rows, each_row
from workbench.errors import SchemaError

Fill = Callable[[Any, Any], None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BILLION = 1_000_000_000


def protobuf_encoder(
    schema: Registered, message: str | None = None
) -> tuple[Callable[[Rows], pl.Series], int]:
    """What encodes rows by a schema that has an id, and how many bytes come before each message.

    None in place of a row is a null value.
    `message` is the full name of the message to write, without one the first.  A field that is not
    given, or None, is not set; one that the message has not is refused.
    """
    if schema.kind != "PROTOBUF" or schema.id is None:
        raise SchemaError(f"a schema of the type {schema.kind} is none of Protobuf")
    reader = ProtobufMessages(schema.text, schema.references).message(message)
    from google.protobuf.message_factory import GetMessageClass

    made, fill = GetMessageClass(reader.node.message), _message(reader.node)
    head = frame_of(schema.id) + _indexes(reader.node.message)

    def write(row: Mapping[str, Any]) -> bytes:
        one = made()
        fill(one, row)
        return head + bytes(one.SerializeToString())

    hint = f"the fields of {reader.node.message.full_name} are {', '.join(reader.fields)}"
    return each_row(write, f"of the schema {schema.id}", hint), len(head)


def _indexes(message: Any) -> bytes:
    """Where a message is declared, as a registry's frame says it."""
    places: list[int] = []
    while message is not None:
        outer = message.containing_type
        among = message.file.message_types_by_name.values() if outer is None else outer.nested_types
        places.insert(0, [one.full_name for one in among].index(message.full_name))
        message = outer
    if places == [0]:
        return b"\0"
    return b"".join(_zigzag(number) for number in (len(places), *places))


def _zigzag(number: int) -> bytes:
    left, out = number << 1, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def _message(node: Node) -> Fill:
    fields = {part.name: _field(part) for part in node.parts}
    choices: dict[str, str] = {
        one.name: group.name
        for group in node.message.oneofs
        for one in group.fields
        if len(group.fields) > 1
    }

    def fill(message: Any, row: Any) -> None:
        if not isinstance(row, Mapping):
            raise TypeError(f"{type(row).__name__} where a message takes fields")
        chosen: dict[str, str] = {}
        for name, value in row.items():
            if name not in fields:
                raise ValueError(f"no field {name!r}")
            if value is not None:
                other = chosen.setdefault(str(choices.get(name, name)), name)
                if other != name:
                    raise ValueError(f"of {choices[name]} it has {other} and {name}, not one")
                fields[name](message, value)

    return fill


def _field(node: Node) -> Fill:
    """What sets one field of a message."""
    name = node.name
    if node.kind == "list":
        return _list(node)
    if node.kind == "map":
        return _map(node)
    within = _within(node)
    if within is None:
        plain = _plain(node)

        def put(message: Any, value: Any) -> None:
            given = plain(value)
            setattr(message, name, given)
            if node.dtype == pl.Float64 and isinf(getattr(message, name)) and not isinf(given):
                raise ValueError(f"{value!r} is no float")

        return put

    def set_within(message: Any, value: Any) -> None:
        target = getattr(message, name)
        target.SetInParent()
        within(target, value)

    return set_within


def _list(node: Node) -> Fill:
    name, item = node.name, node.parts[0]
    within = _within(item)
    if within is None:
        plain = _plain(item)
        return lambda message, values: getattr(message, name).extend(map(plain, values))

    def extend(message: Any, values: Any) -> None:
        for value in values:
            within(getattr(message, name).add(), value)

    return extend


def _map(node: Node) -> Fill:
    name, (key, item) = node.name, node.parts
    as_key, within, plain = _plain(key), _within(item), _plain(item)

    def put(message: Any, entries: Any) -> None:
        pairs = (
            entries.items()
            if isinstance(entries, Mapping)
            else ((one["key"], one["value"]) for one in entries)
        )
        for at, value in pairs:
            if within is None:
                getattr(message, name)[as_key(at)] = plain(value)
            else:
                within(getattr(message, name)[as_key(at)], value)

    return put


def _within(node: Node) -> Fill | None:
    """What fills a message; None for what is no message."""
    match node.kind:
        case "message":
            return _message(node)
        case "time":
            return _time
        case "span":
            return _span
        case "wrapper":
            plain = _plain(node.parts[0])
            return lambda message, value: setattr(message, "value", plain(value))
        case "blank":
            return lambda message, value: None
        case "json":
            return _json
    return None


def _plain(node: Node) -> Callable[[Any], Any]:
    if node.dtype == pl.Boolean:
        return _truth
    if node.dtype == pl.Float64:
        return _number
    if node.kind != "enum":
        return lambda value: value
    numbers = {name: number for number, name in node.symbols}

    def symbol(value: Any) -> int:
        if value in numbers:
            return numbers[value]
        if isinstance(value, str) and not value.lstrip("-").isdigit():
            raise ValueError(f"{value!r} is none of {', '.join(numbers)}")
        return int(value) if isinstance(value, str) else index(value)

    return symbol


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")  # noqa: TRY004 - as others are
    return value


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool | str) or (isinstance(value, int) and int(number) != value):
        raise ValueError(f"{value!r} is no double")
    return number


def _time(message: Any, value: Any) -> None:
    if isinstance(value, str):
        message.FromJsonString(value)
        return
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    since = moment - _EPOCH
    message.seconds, message.nanos = since.days * 86_400 + since.seconds, since.microseconds * 1_000


def _span(message: Any, value: Any) -> None:
    total = Decimal(str(value)) * _BILLION
    if total != int(total):
        raise ValueError(f"{value} s is finer than a nanosecond")
    sign = -1 if total < 0 else 1
    seconds, nanos = divmod(abs(int(total)), _BILLION)
    message.seconds, message.nanos = sign * seconds, sign * nanos


def _json(message: Any, value: Any) -> None:
    from google.protobuf.json_format import Parse, ParseDict, ParseError

    try:
        if isinstance(value, str):
            Parse(value, message)
        else:
            ParseDict(value, message)
    except ParseError as error:
        raise ValueError(str(error)) from error
