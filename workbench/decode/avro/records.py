"""Avro's binary encoding to typed values, one record at a time: slow, and the truth.

Records come from anybody: no length or count is believed before the bytes for it are there, and
nesting ends at `MAX_DEPTH`.  The common decoders recurse without a limit, or allocate what a
length says, so that one record can end the process; hence this one.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl

from workbench.decode import exact
from workbench.decode.avro.nodes import Node
from workbench.decode.decimals import decimal_text
from workbench.decode.document import MAX_DEPTH, Misfit

#: Items that take no bytes cannot be bounded by the length of the record.
MAX_EMPTY_ITEMS = 10_000

_DAY_NS = 86_400_000_000_000
_DAYS = (-719_162, 2_932_896)  # 0001-01-01 and 9999-12-31
_SECONDS = (_DAYS[0] * 86_400, (_DAYS[1] + 1) * 86_400 - 1)

_float = struct.Struct("<f").unpack_from
_double = struct.Struct("<d").unpack_from


class Cursor:
    """Where a record has been read up to."""

    __slots__ = ("data", "depth", "empties", "pos")

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self.data, self.pos, self.depth, self.empties = data, pos, 0, 0

    def long(self) -> int:
        """A zigzag integer of up to 64 bits."""
        number, shift, data, pos = 0, 0, self.data, self.pos
        while True:
            if pos >= len(data):
                raise Misfit(f"it ends within a number, at byte {pos}")
            byte = data[pos]
            pos += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise Misfit(f"a number longer than 64 bits before byte {pos}")
        if number >> 64:
            raise Misfit(f"a number longer than 64 bits before byte {pos}")
        self.pos = pos
        return (number >> 1) ^ -(number & 1)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        end = self.pos + size
        if size < 0 or end > len(self.data):
            left = len(self.data) - self.pos
            raise Misfit(f"{size:,} bytes are announced at byte {self.pos}, {left:,} are left")
        taken = self.data[self.pos : end]
        self.pos = end
        return taken

    def blocks(self, least: int) -> int:
        """The number of items in the next block of an array or a map, at most what can be there."""
        count = self.long()
        if count < 0:
            count = -count
            self.long()  # the size of the block, for those who skip it
        left = len(self.data) - self.pos
        if not least:
            self.empties += count
            if self.empties > MAX_EMPTY_ITEMS:
                raise Misfit(f"more than {MAX_EMPTY_ITEMS:,} items that take no bytes")
        elif count * least > left:
            raise Misfit(f"{count:,} items are announced at byte {self.pos}, {left:,} bytes left")
        return count


Read = Callable[[Cursor], Any]


def decode_one_by_one(values: pl.Series, node: Node) -> tuple[list[pl.Series], pl.Series]:
    """Decode bodies of records: one column per field, and the errors (null where there is none)."""
    read = column_reader(node)
    nothing: dict[str, Any] = dict.fromkeys(node.names)
    rows: list[dict[str, Any]] = []
    errors: list[str | None] = []
    for value in values:
        row, error = nothing, None
        if value is not None:
            try:
                row = read_whole(read, value)
            except Misfit as e:
                error = f"not Avro of its schema: {e}"
        rows.append(row)
        errors.append(error)
    columns = [
        exact.series(name, [row[name] for row in rows], part.dtype)
        for name, part in zip(node.names, node.parts, strict=True)
    ]
    return columns, pl.Series("decode_error", errors, dtype=pl.String)


def read_whole(read: Read, value: bytes) -> Any:
    """Read a body that has to end where its record does.  Raises Misfit."""
    cursor = Cursor(value)
    row = read(cursor)
    if cursor.pos != len(value):
        raise Misfit(f"{len(value) - cursor.pos:,} bytes follow the record")
    return row


@lru_cache(maxsize=256)
def column_reader(node: Node) -> Read:
    """What reads a value in the form that `exact.series` takes.  It raises Misfit."""
    return _reader(node, False)


def _reader(node: Node, plain: bool) -> Read:
    """`plain` values are those of JSON text, where no column has a type for them."""
    match node.kind:
        case "null":
            return lambda cursor: None
        case "boolean":
            return _boolean
        case "int" | "long":
            return _integer(node, plain)
        case "float":
            return lambda cursor: _number(cursor, _float, 4)
        case "double":
            return lambda cursor: _number(cursor, _double, 8)
        case "string":
            return _string
        case "bytes" | "fixed":
            return _bytes(node, plain)
        case "enum":
            return _enum(node)
        case "array" | "map":
            return _items(node, plain)
        case "record":
            return _record(node, plain)
        case "union":
            return _union(node, plain)
    return _recursive(node, plain)


def _boolean(cursor: Cursor) -> bool:
    byte = cursor.take(1)[0]
    if byte > 1:
        raise Misfit(f"a boolean is 0 or 1, not {byte}")
    return bool(byte)


def _number(cursor: Cursor, unpack: Callable[[bytes], tuple[float]], size: int) -> float:
    return unpack(cursor.take(size))[0]


def _string(cursor: Cursor) -> str:
    try:
        return cursor.take(cursor.long()).decode()
    except UnicodeDecodeError as e:
        raise Misfit(f"a string that is not UTF-8: {e.reason}") from None


def integer_range(node: Node) -> tuple[int, int, int, str]:
    """The least and greatest number of a type, what it is multiplied by, and what others are."""
    match node.dtype:
        case pl.Date():
            return *_DAYS, 1, "a date outside the years 1 to 9999"
        case pl.Time():
            factor = 1_000_000 if node.kind == "int" else 1_000
            return 0, _DAY_NS // factor - 1, factor, "a time of day beyond 24 hours"
        case pl.Datetime(time_unit=unit):
            scale = 1_000 if unit == "ms" else 1_000_000
            low, high = _SECONDS[0] * scale, (_SECONDS[1] + 1) * scale - 1
            return low, high, 1, "a time outside the years 1 to 9999"
    bits = 31 if node.kind == "int" else 63
    return -(1 << bits), (1 << bits) - 1, 1, "a number beyond 32 bits"


def _integer(node: Node, plain: bool) -> Read:
    low, high, factor, what = integer_range(Node(node.kind, pl.Int64()) if plain else node)

    def read(cursor: Cursor) -> int:
        number = cursor.long()
        if not low <= number <= high:
            raise Misfit(what)
        return number if plain else number * factor

    return read


def _bytes(node: Node, plain: bool) -> Read:
    def raw(cursor: Cursor) -> bytes:
        return cursor.take(node.size if node.kind == "fixed" else cursor.long())

    def decimal(cursor: Cursor) -> str:
        digits = raw(cursor)
        text = _decimal(digits, node.scale)
        number = int.from_bytes(digits, "big", signed=True)
        if isinstance(node.dtype, pl.Decimal) and abs(number) >= 10 ** (node.dtype.precision or 38):
            raise Misfit(f"a decimal of more digits than the {node.dtype.precision} of its type")
        return text

    if node.logical == "decimal":
        return decimal
    if node.logical == "uuid":
        return lambda cursor: str(uuid.UUID(bytes=raw(cursor)))
    # Bytes in JSON text are as in Avro's own JSON encoding.
    return (lambda cursor: raw(cursor).decode("latin-1")) if plain else raw


def _decimal(unscaled: bytes, scale: int) -> str:
    try:
        return decimal_text(unscaled, scale)
    except ValueError as error:
        raise Misfit(str(error)) from None


def _enum(node: Node) -> Read:
    symbols = node.names

    def read(cursor: Cursor) -> str:
        index = cursor.long()
        if not 0 <= index < len(symbols):
            raise Misfit(f"an enum of {len(symbols)} symbols has none of index {index}")
        return symbols[index]

    return read


def _items(node: Node, plain: bool) -> Read:
    is_map = node.kind == "map"
    value = _reader(node.parts[0], plain)
    least = node.parts[0].least + is_map

    def read(cursor: Cursor) -> list[Any]:
        items: list[Any] = []
        while count := cursor.blocks(least):
            for _ in range(count):
                try:
                    items.append(
                        {"key": _string(cursor), "value": value(cursor)}
                        if is_map
                        else value(cursor)
                    )
                except Misfit as e:
                    e.path.append(f"[{len(items)}]")
                    raise
        return items

    if not (plain and is_map):
        return read
    return lambda cursor: {item["key"]: item["value"] for item in read(cursor)}


def _record(node: Node, plain: bool) -> Read:
    plain &= node.logical != "decimal"
    fields = [(n, _reader(part, plain)) for n, part in zip(node.names, node.parts, strict=True)]
    if not fields:
        return lambda cursor: {} if plain else True

    def read(cursor: Cursor) -> dict[str, Any]:
        row = {}
        for name, value in fields:
            try:
                row[name] = value(cursor)
            except Misfit as e:
                e.path.append(f".{name}")
                raise
        return row

    def decimal(cursor: Cursor) -> str:
        row = read(cursor)
        return _decimal(row["value"], row["scale"])

    return decimal if node.logical == "decimal" else read


def _union(node: Node, plain: bool) -> Read:
    branches = [_reader(part, plain) for part in node.parts]
    given = [part for part in node.parts if part.kind != "null"]
    named = len(given) > 1 and isinstance(node.dtype, pl.Struct) and not plain
    blank = dict.fromkeys(
        n for n, p in zip(node.names, node.parts, strict=True) if p.kind != "null"
    )
    widened = isinstance(node.dtype, pl.Float64)

    def read(cursor: Cursor) -> Any:
        index = cursor.long()
        if not 0 <= index < len(branches):
            raise Misfit(f"a union of {len(branches)} branches has none of index {index}")
        value = branches[index](cursor)
        if node.parts[index].kind == "null":
            return None
        if named:
            return {**blank, node.names[index]: value}
        return float(value) if widened else value

    return read


def _recursive(node: Node, plain: bool) -> Read:
    made: list[Read] = []

    def read(cursor: Cursor) -> Any:
        if not made:
            made.append(_reader(node.known[node.names[0]], True))
        cursor.depth += 1
        if cursor.depth > MAX_DEPTH:
            raise Misfit(f"nested deeper than {MAX_DEPTH} levels")
        value = made[0](cursor)
        cursor.depth -= 1
        return value

    return read if plain else lambda cursor: msgspec.json.encode(read(cursor)).decode()
