"""JSON Schemas to column types.

Only what says one type is taken: `type`, `properties`, `items`, `$ref`, `enum`, `const`, one branch
beside null, and what Kafka Connect adds: the widths of numbers, and as titles the names of types
that JSON has no form for.  A property of which a schema says less has no type here, and is inferred
from the records.  Whether a record is valid is for `validity` to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import polars as pl

from workbench.decode import logical
from workbench.decode.document import MAX_DEPTH
from workbench.decode.fit import struct_fields
from workbench.decode.logical import Leaf, Plan
from workbench.errors import SchemaError

#: A schema of more places than this is refused: references can double at each level.
MAX_NODES = 20_000
#: Records are not checked by one that, written out, is larger.
MAX_SIZE = 50_000

#: References whose target depends on how they were come to.
_DYNAMIC = {"$dynamicRef", "$recursiveRef"}
_CONNECT = {
    "int8": Leaf(pl.Int8()),
    "int16": Leaf(pl.Int16()),
    "int32": Leaf(pl.Int32()),
    "int64": Leaf(pl.Int64()),
    "float32": Leaf(pl.Float64()),
    "float64": Leaf(pl.Float64()),
}
_SCALARS = {
    "string": Leaf(pl.String()),
    "boolean": Leaf(pl.Boolean()),
    "integer": Leaf(pl.Int64()),
    "number": Leaf(pl.Float64()),
}
_FORMATS = {
    "date-time": Leaf(pl.Datetime("us", "UTC")),
    "date": Leaf(pl.Date()),
}


class Size(NamedTuple):
    """Of a schema in which all that it refers to is written out where it does.

    `places` are how many it then has, MAX_SIZE where it has more: such a schema takes as long to
    check by.  `turns` are how often it comes to what it is within already, or to what is not
    followed here: so often each level of a record may be looked at for each time of the one above.
    """

    places: int
    turns: int


def json_schema_size(text: str, references: Mapping[str, str]) -> Size:
    """How large a schema is, written out."""
    root = json.loads(text)
    tree = _Tree(root, {name: json.loads(one) for name, one in references.items()}, times=False)
    count, turns, ahead = 0, 0, [(root, root, frozenset[int]())]
    while ahead and count < MAX_SIZE:
        spec, place, within = ahead.pop()
        if id(spec) in within:
            turns += 1
            continue
        count += 1
        inner = within | {id(spec)}
        parts = spec.values() if isinstance(spec, dict) else spec
        ahead += [(one, place, inner) for one in parts if isinstance(one, dict | list)]
        if isinstance(spec, dict) and isinstance(spec.get("$ref"), str):
            found, where = tree.found(spec["$ref"], place)
            if isinstance(found, dict | list):
                ahead.append((found, where, inner))
            else:
                turns += 1
        if isinstance(spec, dict):
            turns += len(_DYNAMIC & spec.keys())
    return Size(count, turns)


def json_schema_fields(
    text: str, references: Mapping[str, str] | None = None, *, times: bool = True
) -> dict[str, pl.DataType]:
    """The properties of an object with the types that a schema says.

    `times` makes the formats `date-time` and `date` types.  Raises SchemaError for what is no
    schema, or too deep or large.
    """
    found = _plan(text, references or {}, times)
    dtype = None if found is None else logical.dtype_of(found)
    return struct_fields(dtype) if isinstance(dtype, pl.Struct) else {}


def json_schema_rewriting(text: str, references: Mapping[str, str]) -> Plan | None:
    """Where a schema has types that JSON has no form for; None where it has none.

    Raises SchemaError as `json_schema_fields` does.
    """
    found = _plan(text, references, times=False)
    return None if found is None else logical.written_anew(found)


def _plan(text: str, references: Mapping[str, str], times: bool) -> Plan | None:
    try:
        root = json.loads(text)
        others = {name: json.loads(one) for name, one in references.items()}
        return _Tree(root, others, times).plan(root, root, ())
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SchemaError(f"not a JSON Schema: {error}", hint=f"it begins {text[:60]!r}") from error


class _Tree:
    def __init__(self, root: Any, others: Mapping[str, Any], times: bool) -> None:
        self._others = {**others, **{_id(one): one for one in (root, *others.values())}}
        self._times = times
        self._count = 0

    def plan(self, spec: Any, root: Any, within: tuple[int, ...]) -> Plan | None:
        """The type of a place, None where the schema does not say one."""
        self._count += 1
        if self._count > MAX_NODES or len(within) > MAX_DEPTH:
            raise ValueError(f"larger than {MAX_NODES:,} places or deeper than {MAX_DEPTH} levels")
        if not isinstance(spec, dict) or id(spec) in within:
            return None
        within = (*within, id(spec))
        if isinstance(spec.get("$ref"), str):
            found, place = self.found(spec["$ref"], root)
            return self.plan(found, place, within)
        for name in ("oneOf", "anyOf", "allOf"):
            branches = [one for one in spec.get(name) or () if one != {"type": "null"}]
            if len(branches) == 1 and "properties" not in spec:
                return self.plan(branches[0], root, within)
        return self._typed(spec, root, within)

    def _typed(self, spec: Any, root: Any, within: tuple[int, ...]) -> Plan | None:
        named = logical.leaf(str(spec.get("title")), spec.get("connect.parameters") or {})
        if named is not None:
            return named
        kinds = spec.get("type")
        given = [one for one in (kinds if isinstance(kinds, list) else [kinds]) if one != "null"]
        if given == [None]:
            listed = spec.get("enum") or ([spec["const"]] if "const" in spec else [])
            strings = listed and all(one is None or isinstance(one, str) for one in listed)
            given = ["string" if strings else "object" if "properties" in spec else None]
        if set(given) == {"integer", "number"}:
            given = ["number"]
        if len(given) != 1:
            return None
        match given[0]:
            case "object" if spec.get("properties"):
                members = {
                    str(name): found
                    for name, one in spec["properties"].items()
                    if (found := self.plan(one, root, within)) is not None
                }
                return members or None
            case "array":
                inner = self.plan(spec.get("items"), root, within)
                return None if inner is None else (inner,)
            case "integer" | "number" if (connect := spec.get("connect.type")) in _CONNECT:
                return _CONNECT[connect]
            case "string" if self._times and (form := spec.get("format")) in _FORMATS:
                return _FORMATS[form]
            case str() as kind:
                return _SCALARS.get(kind)
        return None

    def found(self, reference: str, root: Any) -> tuple[Any, Any]:
        """What a reference names, and the schema that it is in."""
        place, _, path = reference.partition("#")
        if place:
            root = self._others.get(place, self._others.get(place.rpartition("/")[2]))
        found = root
        for step in filter(None, path.split("/")):
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, dict) else None
        return found, root


def _id(spec: Any) -> str:
    return str(spec.get("$id", "")) if isinstance(spec, dict) else ""
