"""Rows to Avro values in a registry's frame, for appending.  By fastavro."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from operator import index
from typing import Any

import polars as pl

from workbench.decode.avro.nodes import Node, parse_avro
from workbench.decode.decimals import scale_and_bytes
from workbench.decode.framing import frame_of
from workbench.decode.registry import Registered
from workbench.decode.row_loop import Rows, each_row
from workbench.errors import SchemaError

_EPOCH = datetime(1970, 1, 1)


def avro_encoder(schema: Registered) -> Callable[[Rows], pl.Series]:
    """What encodes rows by a schema that has an id; None in place of a row is a null value.

    Every field has to be given, or have a default, and no other field: nothing is left out, and
    nothing is cut to fit.
    Raises SchemaError where the schema is not Avro, or fastavro is not installed.
    """
    try:
        import fastavro
    except ModuleNotFoundError:
        raise SchemaError(
            "writing Avro needs fastavro", hint='pip install "stream-workbench[formats]"'
        ) from None
    if schema.kind != "AVRO" or schema.id is None:
        raise SchemaError(f"rows are not encoded by a schema of the type {schema.kind}")
    known: dict[str, Any] = {}
    broken = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
    try:
        for text in schema.references.values():
            fastavro.parse_schema(json.loads(text), named_schemas=known)
        parsed = fastavro.parse_schema(json.loads(schema.text), named_schemas=known)
    except (*broken, fastavro.schema.SchemaParseException) as error:
        raise SchemaError(f"nothing can be written by the schema {schema.id}: {error!r}") from error
    head = frame_of(schema.id)
    prepared = _prepared(parse_avro(schema.text, schema.references))

    def write(row: Mapping[str, Any]) -> bytes:
        buffer = io.BytesIO(head)
        buffer.seek(len(head))
        fastavro.schemaless_writer(buffer, parsed, prepared(row), strict_allow_default=True)
        return buffer.getvalue()

    return each_row(
        write, f"of the schema {schema.id}", "every field is given, of its type, and no other"
    )


def _prepared(node: Node) -> Callable[[Any], Any]:
    """What checks a value, and gives what fastavro writes exactly.

    By itself that cuts numbers, times and truths to what fits, and takes times without a zone for
    those of this machine; here they are in UTC.  Within a union of several types it chooses.
    """
    match node.kind:
        case "record" if node.logical == "decimal":
            return lambda one: scale_and_bytes(one) if isinstance(one, str | Decimal) else one
        case "int" | "long":
            return _moment(node) if node.dtype.is_temporal() else _integer(node)
        case "float" | "double":
            return _number
        case "boolean":
            return _truth
        case "record":
            fields = {n: _prepared(one) for n, one in zip(node.names, node.parts, strict=True)}
            return lambda row: _each(row, lambda name: fields.get(name, _as_it_is))
        case "map":
            value = _prepared(node.parts[0])
            return lambda entries: _each(entries, lambda _: value)
        case "array":
            item = _prepared(node.parts[0])
            return lambda items: [item(one) for one in items]
        case "union":
            given = [part for part in node.parts if part.kind != "null"]
            if len(given) == 1:
                only = _prepared(given[0])
                return lambda one: None if one is None else only(one)
        case "recursive":
            return _within_itself(node.known, node.names[0])
    return _as_it_is


def _within_itself(known: Mapping[str, Node], name: str) -> Callable[[Any], Any]:
    made: list[Callable[[Any], Any]] = []

    def write(value: Any) -> Any:
        if not made:
            made.append(_prepared(known[name]))
        return made[0](value)

    return write


def _as_it_is(value: Any) -> Any:
    return value


def _each(row: Any, by: Callable[[str], Callable[[Any], Any]]) -> Any:
    return {n: by(n)(one) for n, one in row.items()} if isinstance(row, Mapping) else row


def _integer(node: Node) -> Callable[[Any], int]:
    limit = 1 << (31 if node.kind == "int" else 63)

    def write(value: Any) -> int:
        number = index(value)
        if isinstance(value, bool) or not -limit <= number < limit:
            raise ValueError(f"{value!r} is no {node.kind}")
        return number

    return write


def _number(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and int(float(value)) != value):
        raise ValueError(f"{value!r} is no double")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")  # noqa: TRY004 - as others are
    return value


def _moment(node: Node) -> Callable[[Any], int]:
    """What counts days, or milli- or microseconds; numbers are such counts already."""
    dtype, count = node.dtype, _integer(node)
    by_millis = node.kind == "int" if dtype == pl.Time else dtype == pl.Datetime("ms", "UTC")
    step = 1_000 if by_millis or dtype == pl.Datetime("ms") else 1

    def steps(span: timedelta) -> int:
        number, rest = divmod(span // timedelta(microseconds=1), step)
        if rest:
            raise ValueError("a time finer than a millisecond")
        return number

    def write(value: Any) -> int:
        match dtype, value:
            case pl.Date(), datetime():
                raise ValueError(f"{value!r} is no date")
            case pl.Date(), date():
                return (value - _EPOCH.date()).days
            case pl.Time(), time():
                return steps(datetime.combine(_EPOCH, value) - _EPOCH)
            case pl.Datetime(time_zone=None), datetime():
                return steps(value - _EPOCH)
            case pl.Datetime(), datetime():
                zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
                return steps(zoned - _EPOCH.replace(tzinfo=UTC))
        return count(value)

    return write
