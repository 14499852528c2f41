"""Protobuf messages as trees of nodes, each with the Polars type that its values become.

- A field that tells "not set" from its default is null where it is not set: messages, `optional`
  ones, members of a oneof, and all of proto2.  The others have their default.
- `float` is Float64; an enum is String: the name of its value, or the number where it has none.
- A map is a List of Structs of `key` and `value`, sorted by key; of a key that comes twice the
  last entry counts.
- A Timestamp is Datetime("us", "UTC"), a Duration Decimal(21, 9) of seconds, a wrapper is what it
  wraps, and Struct, Value and ListValue are JSON text.
- A message without fields is Boolean: true where it is set.
- A message within itself is JSON text from there on, since no column has endless depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.errors import SchemaError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

#: A schema with more places than this is refused: messages can double at each level.
MAX_NODES = 20_000

TIME: pl.DataType = pl.Datetime("us", "UTC")
SPAN: pl.DataType = pl.Decimal(21, 9)

#: By the number of a field's type in a descriptor.
_SCALARS: dict[int, pl.DataType] = {
    1: pl.Float64(),
    2: pl.Float64(),
    3: pl.Int64(),
    4: pl.UInt64(),
    5: pl.Int32(),
    6: pl.UInt64(),
    7: pl.UInt32(),
    8: pl.Boolean(),
    9: pl.String(),
    12: pl.Binary(),
    13: pl.UInt32(),
    15: pl.Int32(),
    16: pl.Int64(),
    17: pl.Int32(),
    18: pl.Int64(),
}
_ENUM = 14
_JSON = frozenset(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue"))
_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One place of a schema.  One tree is one object: it is compared and hashed as such.

    `kind` is scalar, enum, time, span, wrapper, json, blank (a message without fields), message,
    list or map.  `parts` are the fields of a message, the item of a list, the key and the value of
    a map, or what is wrapped.  `presence` says whether "not set" is told from the default.
    """

    kind: str
    dtype: pl.DataType
    name: str = ""
    parts: tuple[Node, ...] = ()
    presence: bool = True
    #: Of an enum, names by number.
    symbols: tuple[tuple[int, str], ...] = ()
    closed: bool = False
    number: int = 0
    message: Any = None

    @property
    def leaves(self) -> int:
        """How many columns a value takes in memory."""
        return sum(part.leaves for part in self.parts) or 1


def tree(descriptor: Descriptor) -> Node:
    """The node of a message.  Raises SchemaError for one that is too large."""
    return _Tree().message(descriptor, (), "")


class _Tree:
    def __init__(self) -> None:
        self._count = 0

    def message(self, descriptor: Any, within: tuple[str, ...], name: str) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise SchemaError(f"a Protobuf schema of more than {MAX_NODES:,} places")
        full = descriptor.full_name
        if full in within or (full in _JSON and within):
            return Node("json", pl.String(), name, message=descriptor)
        if full == "google.protobuf.Timestamp" and within:
            return Node("time", TIME, name, message=descriptor)
        if full == "google.protobuf.Duration" and within:
            return Node("span", SPAN, name, message=descriptor)
        inside = (*within, full)
        fields = sorted(descriptor.fields, key=lambda one: one.index)
        if full in _WRAPPERS and within:
            part = self.field(fields[0], inside)
            return Node("wrapper", part.dtype, name, (part,), message=descriptor)
        if not fields and within:
            return Node("blank", pl.Boolean(), name, message=descriptor)
        parts = tuple(self.field(one, inside) for one in fields)
        dtype = pl.Struct({part.name: part.dtype for part in parts})
        return Node("message", dtype, name, parts, message=descriptor)

    def field(self, field: FieldDescriptor, within: tuple[str, ...]) -> Node:
        given: Any = field
        if _is_map(given):
            entry = given.message_type.fields_by_name
            if not {"key", "value"} <= {*entry}:
                raise SchemaError(f"the map {given.full_name} has no key or no value")
            parts = tuple(self._single(entry[name], within) for name in ("key", "value"))
            pair = pl.Struct({part.name: part.dtype for part in parts})
            return Node("map", pl.List(pair), given.name, parts, False, number=given.number)
        if given.is_repeated:
            item = self._single(given, within)
            return Node(
                "list", pl.List(item.dtype), given.name, (item,), False, number=given.number
            )
        return self._single(given, within)

    def _single(self, field: Any, within: tuple[str, ...]) -> Node:
        if field.message_type is not None:
            node = self.message(field.message_type, within, field.name)
        elif field.type == _ENUM:
            names = {one.number: one.name for one in reversed(field.enum_type.values)}
            node = Node("enum", pl.String(), field.name, symbols=tuple(names.items()))
            node = _with(node, closed=bool(field.enum_type.is_closed))
        else:
            node = Node("scalar", _SCALARS[field.type], field.name)
        return _with(node, number=field.number, presence=bool(field.has_presence))


def _is_map(field: Any) -> bool:
    kind = field.message_type
    return bool(kind is not None and kind.GetOptions().map_entry and field.is_repeated)


def _with(node: Node, **changes: Any) -> Node:
    from dataclasses import replace

    return replace(node, **changes)
