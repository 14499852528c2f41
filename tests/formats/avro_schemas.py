"""Random Avro schemas with values for them, and what their columns then hold."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

#: No two types of a schema have one name.
_names = itertools.count()

Pair = tuple[Any, Any]

_EPOCH = datetime(1970, 1, 1)
_ms = st.integers(-(10**13), 10**13)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

#: A schema, values of it as fastavro takes them, and each value as its column has it.
_SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32, allow_nan=False)),
    ("double", st.floats(allow_nan=False)),
    ("bytes", st.binary(max_size=20)),
    ("string", _texts),
    ({"type": "int", "logicalType": "date"}, st.dates()),
    (
        {"type": "int", "logicalType": "time-millis"},
        st.integers(0, 86_399_999).map(lambda n: _time(n * 1000)),
    ),
    (
        {"type": "long", "logicalType": "time-micros"},
        st.integers(0, 86_399_999_999).map(lambda n: _time(n)),
    ),
    (
        {"type": "long", "logicalType": "timestamp-millis"},
        _ms.map(lambda n: (_EPOCH + timedelta(milliseconds=n)).replace(tzinfo=UTC)),
    ),
    (
        {"type": "long", "logicalType": "timestamp-micros"},
        _ms.map(lambda n: (_EPOCH + timedelta(microseconds=n)).replace(tzinfo=UTC)),
    ),
    (
        {"type": "long", "logicalType": "local-timestamp-millis"},
        _ms.map(lambda n: _EPOCH + timedelta(milliseconds=n)),
    ),
    ({"type": "string", "logicalType": "uuid"}, st.uuids()),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3},
        st.integers(-(10**12) + 1, 10**12 - 1).map(lambda n: Decimal(n).scaleb(-3)),
    ),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 10},
        st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal((n < 0, _digits(n), -10))),
    ),
]


def _digits(number: int) -> tuple[int, ...]:
    return tuple(map(int, str(abs(number))))


def _time(us: int) -> time:
    return (datetime(2000, 1, 1) + timedelta(microseconds=us)).time()


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> tuple[Any, st.SearchStrategy[Any]]:
    """A schema and a strategy for its values."""
    kinds = ["scalar"] * 5 + ["enum", "fixed"]
    kinds += ["array", "map", "record", "nullable", "union"] if depth else []
    kind = draw(st.sampled_from(kinds))
    name = f"n{next(_names)}"
    match kind:
        case "enum":
            symbols = draw(st.lists(st.from_regex(r"\A[A-Z]{1,5}\Z"), min_size=1, unique=True))
            return {"type": "enum", "name": name, "symbols": symbols}, st.sampled_from(symbols)
        case "fixed":
            size = draw(st.integers(1, 10))
            schema = {"type": "fixed", "name": name, "size": size}
            return schema, st.binary(min_size=size, max_size=size)
        case "array":
            inner, values = draw(schemas(depth - 1))
            return {"type": "array", "items": inner}, st.lists(values, max_size=4)
        case "map":
            inner, values = draw(schemas(depth - 1))
            return {"type": "map", "values": inner}, st.dictionaries(_texts, values, max_size=3)
        case "record":
            return draw(records(depth - 1))
        case "nullable":
            inner, values = draw(schemas(depth - 1).filter(_in_a_union))
            branches = draw(st.permutations(["null", inner]))
            return branches, st.none() | values
        case "union":
            # Of branches that fastavro can tell apart by a value alone.
            branches = ["null", "string", "long", "boolean"]
            return branches, st.none() | _texts | st.integers(-(2**63), 2**63 - 1)
    return draw(st.sampled_from(_SCALARS))


def _in_a_union(pair: Pair) -> bool:
    return not isinstance(pair[0], list) and pair[0] != "null"


@st.composite
def records(draw: st.DrawFn, depth: int = 3) -> tuple[Any, st.SearchStrategy[Any]]:
    """A record's schema and a strategy for its values."""
    names = draw(st.lists(st.from_regex(r"\A[a-z]{1,6}\Z"), min_size=1, max_size=5, unique=True))
    fields, values = [], {}
    for name in names:
        schema, strategy = draw(schemas(depth))
        fields.append({"name": name, "type": schema})
        values[name] = strategy
    schema = {"type": "record", "name": f"n{next(_names)}", "fields": fields}
    return schema, st.fixed_dictionaries(values)


def expected(schema: Any, value: Any) -> Any:
    """What a column holds of a value."""
    if value is None:
        return None
    if isinstance(schema, list):
        given = [one for one in schema if one != "null"]
        if len(given) == 1:
            return expected(given[0], value)
        held = {bool: "boolean", int: "long", str: "string"}[type(value)]
        return {branch: value if branch == held else None for branch in given}
    if isinstance(schema, dict):
        match schema["type"]:
            case "record":
                return {f["name"]: expected(f["type"], value[f["name"]]) for f in schema["fields"]}
            case "array":
                return [expected(schema["items"], one) for one in value]
            case "map":
                return [
                    {"key": name, "value": expected(schema["values"], one)}
                    for name, one in value.items()
                ]
        if schema.get("logicalType") == "decimal":
            return value
    if isinstance(value, uuid.UUID):
        return str(value)
    assert isinstance(value, str | bool | int | float | bytes | date | time | Decimal)
    return value
