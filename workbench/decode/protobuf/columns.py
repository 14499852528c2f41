"""Protobuf records to columns, many at a time, by ptars.

A record whose columns give the very bytes it was read from lost nothing on the way.  All others
are declined and read one by one: those with unknown fields, in another order than their schema's,
damaged, or with values that no column holds.  Nothing here makes an error of its own.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple, cast

import polars as pl

from workbench.decode.document import Misfit
from workbench.decode.protobuf.messages import decode_one_by_one, json_text, unknown_within
from workbench.decode.protobuf.nodes import TIME, Node
from workbench.decode.protobuf.weight import heavy
from workbench.decode.protobuf.wire import renamed, rewritten

#: How many records and bytes are read at a time, which bounds the memory of a call.
_ROWS = 50_000
_BYTES = 64 << 20
#: Fewer records than this are read one by one when one of them is damaged.
_FEW = 256

_Parts = tuple[list[pl.Series], pl.Series, pl.Series]


class Handler(NamedTuple):
    """What reads many records of a node."""

    node: Node
    reading: Any


def handler(files: Any, node: Node) -> Handler | None:
    """The reader of many; None where ptars has no form for the schema."""
    import ptars
    from google.protobuf import descriptor_pool

    if any(file.syntax == "editions" for file in files.file):
        return None
    pool: Any = descriptor_pool.DescriptorPool()
    try:
        for file in rewritten(files).file:
            pool.Add(file)
        found = pool.FindMessageTypeByName(renamed(node.message.full_name))
        config = ptars.PtarsConfig(
            use_large_string=True, use_large_binary=True, use_large_list=True
        )
        reading: Any = ptars.HandlerPool([found.file], config=config).get_for_message(found)
        made = pl.from_arrow(reading.list_to_record_batch([b""]))
        made.select(_whole(node))  # type: ignore[union-attr]
    except (TypeError, KeyError, ValueError, pl.exceptions.PolarsError):
        return None
    return Handler(node, reading)


def decode_by_column(bodies: pl.Series, by: Handler) -> _Parts:
    """Decode bodies: one column per field, the errors, and what the schema does not know."""
    size = int(cast(int, bodies.bin.size().sum() or 0))
    rows = max(min(_ROWS, _BYTES * len(bodies) // max(size, 1)), 1)
    parts = [_part(bodies.slice(at, rows), by) for at in range(0, len(bodies), rows)]
    whole = pl.concat(parts, rechunk=False)
    names = [part.name for part in by.node.parts]
    return whole.select(names).get_columns(), whole["!"].alias("decode_error"), whole["?"]


def _part(bodies: pl.Series, by: Handler) -> pl.DataFrame:
    present = bodies.is_not_null()
    given = bodies.filter(present)
    made = _read(given, by)
    if len(given) == len(bodies):
        return made
    place = (present.cast(pl.Int64).cum_sum() - 1).cast(pl.UInt32, strict=False)
    return made.select(pl.all().gather(pl.select(pl.when(present).then(place)).to_series()))


def _read(bodies: pl.Series, by: Handler) -> pl.DataFrame:
    import pyarrow as pa

    if (bodies.bin.size() >= heavy(by.node)).any():
        return _exact(bodies, by.node) if len(bodies) <= _FEW else _halves(bodies, by)
    packed = cast(Any, bodies.to_arrow()).cast(pa.binary())
    try:
        batch = by.reading.array_to_record_batch(packed)
        again = pl.Series(cast(Any, by.reading.record_batch_to_array(batch)), dtype=pl.Binary)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        return _exact(bodies, by.node) if len(bodies) <= _FEW else _halves(bodies, by)
    raw = cast(pl.DataFrame, pl.from_arrow(batch))
    declined = (again != bodies) | raw.select(_declined(by.node)).to_series()
    frame = raw.select(_whole(by.node))
    if any(_has_json(part) for part in by.node.parts):
        frame, wrong = _with_json(frame, by.node)
        declined |= wrong
    frame = frame.with_columns(
        pl.lit(None, dtype=pl.String).alias("!"), pl.lit(None, dtype=pl.String).alias("?")
    )
    if not declined.any():
        return frame
    places = declined.arg_true()
    kept = (~declined).arg_true()
    whole = pl.concat([frame[kept], _exact(bodies.gather(places), by.node)])
    return whole[pl.concat([kept, places]).arg_sort()]


def _halves(bodies: pl.Series, by: Handler) -> pl.DataFrame:
    middle = len(bodies) // 2
    return pl.concat([_read(bodies[:middle], by), _read(bodies[middle:], by)])


def _exact(bodies: pl.Series, node: Node) -> pl.DataFrame:
    columns, errors, rests = decode_one_by_one(bodies, node)
    return pl.DataFrame([*columns, errors.alias("!"), rests.alias("?")])


def _whole(node: Node) -> list[pl.Expr]:
    return [_value(part, pl.col(part.name)).alias(part.name) for part in node.parts]


def _value(node: Node, value: pl.Expr) -> pl.Expr:
    """What ptars gave as the type of a node; JSON is still its bytes."""
    match node.kind:
        case "list":
            if _same(node.parts[0]):
                return value
            return value.list.eval(_value(node.parts[0], pl.element()))
        case "map":
            entry = pl.struct(
                _filled(part, pl.element().struct.field(part.name)).alias(part.name)
                for part in node.parts
            )
            return value.list.eval(
                entry.sort_by(_filled(node.parts[0], pl.element().struct.field("key")))
            )
    return _filled(node, value)


def _filled(node: Node, value: pl.Expr) -> pl.Expr:
    made = _single(node, value)
    if node.presence or node.kind not in ("scalar", "enum"):
        return made
    return made.fill_null(_default(node))


def _default(node: Node) -> pl.Expr:
    if node.kind == "enum":
        return pl.lit(dict(node.symbols).get(0, "0"))
    empty: Any = {pl.String(): "", pl.Binary(): b"", pl.Boolean(): False}.get(node.dtype, 0)
    return pl.lit(empty, dtype=node.dtype)


def _single(node: Node, value: pl.Expr) -> pl.Expr:
    match node.kind:
        case "list" | "map":
            return _value(node, value)
        case "scalar":
            return value.cast(node.dtype) if node.dtype == pl.Float64 else value
        case "enum":
            numbers, names = zip(*node.symbols, strict=True)
            return value.replace_strict(numbers, names, default=value.cast(pl.String))
        case "time":
            seconds, nanos = _seconds(value)
            return (seconds * 1_000_000 + nanos // 1_000).cast(TIME)
        case "span":
            seconds, nanos = (part.cast(pl.Decimal(38, 9)) for part in _seconds(value))
            billionth = pl.lit("0.000000001").cast(pl.Decimal(38, 9))
            return (seconds + nanos * billionth).cast(node.dtype)
        case "wrapper":
            inner = _filled(node.parts[0], value.struct.field(node.parts[0].name))
            return pl.when(value.is_not_null()).then(inner)
        case "blank":
            return pl.when(value.is_not_null()).then(pl.lit(True))
        case "message":
            parts = [
                _value(part, value.struct.field(part.name)).alias(part.name) for part in node.parts
            ]
            return pl.when(value.is_not_null()).then(pl.struct(parts))
    return value


def _same(node: Node) -> bool:
    return node.kind == "scalar" and node.dtype != pl.Float64


def _seconds(value: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    seconds = value.struct.field("seconds").fill_null(0)
    nanos = value.struct.field("nanos").fill_null(0).cast(pl.Int64)
    return (
        pl.when(value.is_not_null() & seconds.is_between(-(1 << 40), 1 << 40)).then(seconds),
        pl.when(value.is_not_null()).then(nanos),
    )


def _declined(node: Node) -> pl.Expr:
    """Whether a record holds a value that only the exact path reads."""
    found = [wrong for part in node.parts if (wrong := _wrong(part, pl.col(part.name))) is not None]
    return reduce(lambda a, b: a | b, found, pl.lit(False)).fill_null(False).alias("declined")


def _wrong(node: Node, value: pl.Expr) -> pl.Expr | None:
    match node.kind:
        case "list":
            inner = _wrong(node.parts[0], pl.element())
            return None if inner is None else value.list.eval(inner.fill_null(False)).list.any()
        case "map":
            key = pl.element().struct.field("key")
            wrong: pl.Expr = key.is_duplicated()
            last = pl.element().struct.field("value")
            if node.parts[1].kind not in ("scalar", "enum"):
                wrong = wrong | last.is_null()
            inner = _wrong(node.parts[1], last)
            if inner is not None:
                wrong = wrong | inner.fill_null(False)
            return value.list.eval(wrong).list.any()
        case "enum" if node.closed:
            return ~value.is_in([number for number, _ in node.symbols])
        case "time":
            seconds, nanos = (value.struct.field(n).fill_null(0) for n in ("seconds", "nanos"))
            years = seconds.is_between(-62_135_596_800, 253_402_300_799)
            return ~(years & nanos.is_between(0, 999_999_999) & (nanos % 1_000 == 0))
        case "span":
            seconds, nanos = (value.struct.field(n).fill_null(0) for n in ("seconds", "nanos"))
            within = seconds.is_between(-315_576_000_000, 315_576_000_000)
            return ~(within & nanos.is_between(-999_999_999, 999_999_999))
        case "blank":
            return value.bin.size() > 0
        case "message":
            found = [
                one
                for part in node.parts
                if (one := _wrong(part, value.struct.field(part.name))) is not None
            ]
            return reduce(lambda a, b: a | b, found) if found else None
    return None


def _has_json(node: Node) -> bool:
    return node.kind == "json" or any(_has_json(part) for part in node.parts)


def _with_json(frame: pl.DataFrame, node: Node) -> tuple[pl.DataFrame, pl.Series]:
    """Messages that are JSON text out of their bytes, and the records where that does not do."""
    wrong = pl.Series([False]).new_from_index(0, frame.height)
    columns = []
    for part in node.parts:
        column = frame[part.name]
        if _has_json(part):
            if part.kind != "json":
                # Deep within others: one by one.
                wrong |= _holds(column, part)
                column = pl.Series(part.name, [None], dtype=part.dtype).new_from_index(
                    0, frame.height
                )
            else:
                texts = [_json(part, one) for one in column]
                wrong |= pl.Series([one is False for one in texts], dtype=pl.Boolean)
                column = pl.Series(part.name, [one or None for one in texts], dtype=pl.String)
        columns.append(column)
    return pl.DataFrame(columns), wrong


def _holds(column: pl.Series, node: Node) -> pl.Series:
    """Where a column holds anything at all."""
    if node.kind in ("list", "map"):
        return (column.list.len() > 0).fill_null(False)
    return column.is_not_null()


def _json(node: Node, body: bytes | None) -> str | bool | None:
    from google.protobuf.message import DecodeError
    from google.protobuf.message_factory import GetMessageClass

    if body is None:
        return None
    try:
        message = GetMessageClass(node.message).FromString(body)
        return False if unknown_within(message) else json_text(message)
    except (DecodeError, Misfit):
        return False
