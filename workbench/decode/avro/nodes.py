"""Avro schemas as trees of nodes, each with the Polars type that its values become.

Of Apache Avro 1.12, "Schema Declaration" and "Logical Types".  Beyond what is plain:

- `float` is Float64; `fixed` and `bytes` are Binary; `enum` and `uuid` are String.
- A decimal of more than 38 digits is String, its exact decimal text; so is Debezium's decimal of
  any scale (`VariableScaleDecimal`).
- A map is a List of Structs of `key` and `value`, in the order they were written.
- A union of null and one other is that other.  Of several numbers it is the number that holds them
  all exactly; of other types a Struct with one field per branch, of which one is not null.
- A record without fields is Boolean: true where it is given.
- A type within itself is JSON text from there on, since no column has endless depth.
- Nanosecond timestamps stay integers; logical types that are not known are not looked at.
- The types of Debezium and Kafka Connect (`connect.name`) for dates and times are known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from workbench.decode.decimals import ANY_SCALE
from workbench.decode.document import MAX_DEPTH
from workbench.errors import SchemaError

#: More digits than this are beyond any Decimal column.
MAX_DIGITS = 38
#: A schema with more nodes than this, once its names are written out, is refused.
MAX_NODES = 20_000

_PRIMITIVES: dict[str, pl.DataType] = {
    "null": pl.String(),
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float64(),
    "double": pl.Float64(),
    "bytes": pl.Binary(),
    "string": pl.String(),
}
_LOGICAL: dict[tuple[str, str], pl.DataType] = {
    ("int", "date"): pl.Date(),
    ("int", "time-millis"): pl.Time(),
    ("long", "time-micros"): pl.Time(),
    ("long", "timestamp-millis"): pl.Datetime("ms", "UTC"),
    ("long", "timestamp-micros"): pl.Datetime("us", "UTC"),
    ("long", "local-timestamp-millis"): pl.Datetime("ms"),
    ("long", "local-timestamp-micros"): pl.Datetime("us"),
}
_CONNECT = {
    "io.debezium.time.Date": "date",
    "io.debezium.time.Time": "time-millis",
    "io.debezium.time.MicroTime": "time-micros",
    "io.debezium.time.Timestamp": "local-timestamp-millis",
    "io.debezium.time.MicroTimestamp": "local-timestamp-micros",
    "org.apache.kafka.connect.data.Date": "date",
    "org.apache.kafka.connect.data.Time": "time-millis",
    "org.apache.kafka.connect.data.Timestamp": "timestamp-millis",
}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One place of a schema.  One tree is one object: it is compared and hashed as such.

    `kind` is Avro's name of the type, or `"recursive"` where a type holds itself.  `logical` is the
    logical type in force.  `parts` are the fields of a record, the branches of a union, the items
    of an array or the values of a map; `names` are the fields of a record, the symbols of an enum,
    or the names of a union's branches.  `size` is that of a fixed, `scale` that of a decimal.
    """

    kind: str
    dtype: pl.DataType
    parts: tuple[Node, ...] = ()
    names: tuple[str, ...] = ()
    logical: str | None = None
    size: int = 0
    scale: int = 0
    #: Of a recursive place, the nodes by full name; shared by the whole tree.
    known: dict[str, Node] = field(default_factory=dict, repr=False)

    @property
    def least(self) -> int:
        """The fewest bytes that a value takes."""
        match self.kind:
            case "null":
                return 0
            case "float":
                return 4
            case "double":
                return 8
            case "fixed":
                return self.size
            case "record":
                return sum(part.least for part in self.parts)
        return 1


def parse_avro(text: str, references: Mapping[str, str] | None = None) -> Node:
    """Read a schema; what it refers to is given as texts by the name of the reference.

    What is not a record at the top becomes a record of one field, `value`.

    Raises
    ------
    SchemaError
        For what is no Avro schema, or too deep or large.
    """
    tree = _Tree()
    try:
        for name, other in (references or {}).items():
            tree.declare(_json(other), name)
        root = tree.node(_json(text), "", 0)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise SchemaError(f"not an Avro schema: {error!r}", hint=f"it begins {text[:60]!r}") from (
            error
        )
    if root.kind == "record" and root.parts and not root.logical:
        return root
    return Node("record", pl.Struct({"value": root.dtype}), (root,), ("value",))


def record_name(text: str) -> str | None:
    """The full name of the type that a schema declares, if it has one."""
    spec = _json(text)
    return _full_name(spec, "")[0] if isinstance(spec, dict) and "name" in spec else None


def is_by_column(node: Node) -> bool:
    """Whether a schema can be read a column at a time."""
    if node.kind == "recursive" or (node.logical == "uuid" and node.kind == "fixed"):
        return False
    if node.logical == "decimal" and node.dtype == pl.String and node.kind != "record":
        return False
    return all(is_by_column(part) for part in node.parts)


def _json(text: str) -> Any:
    # A registry may hold the name of a type alone, as `string` or `"string"`.
    if text.strip() in _PRIMITIVES:
        return text.strip()
    found = json.loads(text)
    json.dumps(found, ensure_ascii=False).encode()  # a name with a lone surrogate is no text
    return found


class _Tree:
    def __init__(self) -> None:
        self._texts: dict[str, tuple[Any, str]] = {}
        self._open: list[str] = []
        self._nodes = 0
        self._known: dict[str, Node] = {}

    def declare(self, spec: Any, name: str) -> None:
        """Make the types of a schema known by their names."""
        self._collect(spec, "", 0)
        self._texts.setdefault(name, (spec, ""))

    def _collect(self, spec: Any, space: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(spec, list):
            for one in spec:
                self._collect(one, space, depth + 1)
        elif isinstance(spec, dict):
            kind = spec.get("type")
            if kind in ("record", "error", "enum", "fixed"):
                full, space = _full_name(spec, space)
                self._texts.setdefault(full, (spec, space))
            for one in (
                *(f.get("type") for f in spec.get("fields", ())),
                spec.get("items"),
                spec.get("values"),
                kind if not isinstance(kind, str) else None,
            ):
                if one is not None:
                    self._collect(one, space, depth + 1)

    def node(self, spec: Any, space: str, depth: int) -> Node:
        if not depth:
            self._collect(spec, space, 0)
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ValueError(f"deeper than {MAX_DEPTH} levels or larger than {MAX_NODES:,} places")
        if isinstance(spec, str):
            return self._named(spec, space, depth)
        if isinstance(spec, list):
            return self._union(spec, space, depth)
        kind = spec["type"]
        if not isinstance(kind, str):
            return self.node(kind, space, depth + 1)
        if kind in ("record", "error"):
            return self._record(spec, space, depth)
        if kind in ("array", "map"):
            part = self.node(spec["items" if kind == "array" else "values"], space, depth + 1)
            if kind == "array":
                return Node(kind, pl.List(part.dtype), (part,))
            entry = pl.Struct({"key": pl.String(), "value": part.dtype})
            return Node(kind, pl.List(entry), (part,))
        if kind == "enum":
            symbols = tuple(str(symbol) for symbol in spec["symbols"])
            return Node(kind, pl.String(), names=symbols)
        if kind == "fixed":
            size = spec["size"]
            if type(size) is not int or not 0 <= size <= 1 << 30:
                raise ValueError(f"a fixed of {size} bytes")
            return self._logical(Node(kind, pl.Binary(), size=size), spec)
        if kind in _PRIMITIVES:
            return self._logical(Node(kind, _PRIMITIVES[kind]), spec)
        return self._named(kind, space, depth)

    def _named(self, name: str, space: str, depth: int) -> Node:
        if name in _PRIMITIVES:
            return Node(name, _PRIMITIVES[name])
        full = name if "." in name or not space else f"{space}.{name}"
        found = full if full in self._texts else name
        if found not in self._texts:
            raise ValueError(f"no type {name!r}")
        if found in self._open:
            return Node("recursive", pl.String(), names=(found,), known=self._known)
        spec, inner = self._texts[found]
        if isinstance(spec, dict) and spec.get("type") in ("record", "error", "enum", "fixed"):
            return self.node(spec, inner, depth + 1)
        # A reference to a schema that is no named type; it cannot refer to itself.
        self._open.append(found)
        try:
            return self.node(spec, inner, depth + 1)
        finally:
            self._open.pop()

    def _record(self, spec: dict[str, Any], space: str, depth: int) -> Node:
        full, space = _full_name(spec, space)
        if full in self._open:
            return Node("recursive", pl.String(), names=(full,), known=self._known)
        self._open.append(full)
        names = tuple(str(one["name"]) for one in spec["fields"])
        if len(set(names)) < len(names) or not all(names):
            raise ValueError(f"the record {full} names a field twice, or not at all")
        parts = tuple(self.node(one["type"], space, depth + 1) for one in spec["fields"])
        self._open.pop()
        dtype: pl.DataType = pl.Boolean()
        if parts:
            dtype = pl.Struct({n: part.dtype for n, part in zip(names, parts, strict=True)})
        made = Node("record", dtype, parts, names)
        within = [(name, part.kind, part.logical) for name, part in zip(names, parts, strict=True)]
        if full == ANY_SCALE and within == [("scale", "int", None), ("value", "bytes", None)]:
            made = Node("record", pl.String(), parts, names, logical="decimal")
        self._known[full] = made
        return made

    def _union(self, spec: list[Any], space: str, depth: int) -> Node:
        parts = tuple(self.node(one, space, depth + 1) for one in spec)
        short = tuple(_branch(one, part, space) for one, part in zip(spec, parts, strict=True))
        names = short
        if len(set(short)) < len(short):
            names = tuple(f"{name}_{n}" for n, name in enumerate(short))
        given = [part for part in parts if part.kind != "null"]
        return Node("union", _union_dtype(given, names, parts), parts, names)

    def _logical(self, node: Node, spec: dict[str, Any]) -> Node:
        logical = spec.get("logicalType") or _CONNECT.get(str(spec.get("connect.name")))
        if (node.kind, logical) in _LOGICAL:
            return Node(node.kind, _LOGICAL[node.kind, str(logical)], logical=logical)
        if logical == "uuid" and node.kind == "fixed" and node.size == 16:
            return Node(node.kind, pl.String(), logical=logical, size=16)
        if logical == "decimal" and node.kind in ("bytes", "fixed"):
            precision, scale = spec.get("precision"), spec.get("scale", 0)
            # An invalid logical type is to be ignored.
            if type(precision) is int and type(scale) is int and 0 <= scale <= precision:
                fits = 0 < precision <= MAX_DIGITS
                dtype = pl.Decimal(precision, scale) if fits else pl.String()
                return Node(node.kind, dtype, logical=logical, size=node.size, scale=scale)
        return node


def _full_name(spec: dict[str, Any], space: str) -> tuple[str, str]:
    """The full name of a named type, and the namespace that holds within it."""
    name = str(spec["name"])
    if "." in name:
        return name, name.rpartition(".")[0]
    inner = str(spec.get("namespace", space) or "")
    return (f"{inner}.{name}" if inner else name), inner


def _branch(spec: Any, part: Node, space: str) -> str:
    """The name of a union's branch: of a named type its own, without the namespace."""
    if isinstance(spec, dict) and "name" in spec:
        return _full_name(spec, space)[0].rpartition(".")[2]
    if isinstance(spec, str):
        return spec.rpartition(".")[2]
    return part.kind


def _union_dtype(given: list[Node], names: tuple[str, ...], parts: tuple[Node, ...]) -> pl.DataType:
    kinds = {part.kind for part in given if not part.logical}
    if not given:
        return pl.String()
    if len(given) == 1:
        return given[0].dtype
    if len(kinds) > 1 and not any(part.logical for part in given):
        if kinds <= {"int", "long"}:
            return pl.Int64()
        if kinds <= {"int", "float", "double"}:
            return pl.Float64()
    return pl.Struct(
        {n: part.dtype for n, part in zip(names, parts, strict=True) if part.kind != "null"}
    )
