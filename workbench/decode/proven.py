"""JSON to typed columns by compiled loops, for the records that these can follow byte by byte.

They take the plain record: the fields of the schema in any order, each at most once, of types that
hold their literals without loss.  All else they decline, and others decide; nothing here makes an
error of its own.  Lists, and what else the loops do not know, are cut out as text, and only that
text goes another way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from workbench import views
from workbench.compiled import compiled
from workbench.decode import kernels as k
from workbench.decode import texts as copying
from workbench.decode.fast import Accepted
from workbench.decode.fit import struct_fields
from workbench.decode.protocol import Decoded
from workbench.decode.text import utf8
from workbench.schema import Schema

#: Structs further in are cut out as text.
_MAX_DEPTH = 16
#: What a view can refer to.
_MAX_BYTES = 1 << 31
#: A name with one of these is written in more than one way.
_ESCAPED = frozenset('"\\') | {chr(code) for code in range(0x20)}
_POWERS = 10.0 ** np.arange(23)
_LAST_SECOND = 253_402_300_799

Array = Any
#: Decodes a column by a schema, in another way than this one.
Otherwise = Callable[[pl.Series, Schema], Decoded]


class Node(NamedTuple):
    """A field of the schema, or the record itself; its number is that of its row in the table."""

    name: str
    dtype: pl.DataType
    kind: int
    children: list[int]


class Plan(NamedTuple):
    """A schema as the loops take it."""

    nodes: list[Node]
    table: Array
    names: Array
    heads: Array


@lru_cache(maxsize=64)
def plan(schema: Schema) -> Plan | None:
    """How records of a schema are read; None where one of its names is never written plainly."""
    if not schema or any(map(_escaped, schema)):
        return None
    nodes = [Node("", pl.Struct(dict(schema)), k.STRUCT, [])]
    rows = [[k.STRUCT, *[0] * k.SCALE]]
    depths = [0]
    names = b""
    for parent, node in enumerate(nodes):  # which grows meanwhile: fields of one struct in a row
        if node.kind != k.STRUCT:
            continue
        fields = struct_fields(node.dtype)
        rows[parent][k.FIRST], rows[parent][k.COUNT] = len(nodes), len(fields)
        for name, dtype in fields.items():
            row = _row(dtype, depths[parent])
            text = name.encode()
            row[k.PARENT], row[k.NAME], row[k.NAME_LENGTH] = parent, len(names), len(text)
            names += text + b'"'
            node.children.append(len(nodes))
            nodes.append(Node(name, dtype, row[k.KIND], []))
            rows.append(row)
            depths.append(depths[parent] + 1)
    table = np.array(rows, np.int64)
    for column, wanted in ((k.NUMBER, table[:, k.KIND] != k.STRUCT), (k.FLOAT, _floating(table))):
        table[wanted, column] = np.arange(int(wanted.sum()))
    ends = table[:, k.NAME] + table[:, k.NAME_LENGTH] + 1
    heads = [_head(names[begin:end]) for begin, end in zip(table[:, k.NAME], ends, strict=True)]
    return Plan(nodes, table, np.frombuffer(names, np.uint8).copy(), np.array(heads, np.uint64))


def accept(values: pl.Series, how: Plan, otherwise: Otherwise) -> Accepted:
    """Read what can be proven of a Binary column; nulls are records without a field."""
    reading = _Reading(values, how, otherwise)
    fields = [reading.column(number) for number in how.nodes[0].children]
    names = Schema(struct_fields(how.nodes[0].dtype)).columns.values()
    rest = pl.repeat(None, len(values), dtype=pl.String, eager=True).alias("_rest")
    columns = pl.DataFrame([*(f.alias(n) for f, n in zip(fields, names, strict=True)), rest])
    rows = pl.int_range(len(values), eager=True, dtype=pl.UInt32)
    if reading.sure.all():
        return Accepted(rows, columns)
    sure = pl.Series(reading.sure)
    return Accepted(rows.filter(sure), columns.filter(sure))


def _where(given: Array, values: pl.Series) -> pl.Series:
    return values if given.all() else pl.select(pl.when(pl.Series(given)).then(values)).to_series()


def _head(name: bytes) -> tuple[int, int]:
    """The first eight bytes of a name with its quote as a number, and which of its bits count."""
    return int.from_bytes(name[:8], "little"), (1 << 8 * min(len(name), 8)) - 1


def _words(data: Array) -> Array:
    """The eight bytes at each place, as numbers."""
    return np.ndarray((max(len(data) - 7, 0),), "<u8", data, strides=(1,))


def _escaped(name: str) -> bool:
    return not _ESCAPED.isdisjoint(name) or any("\ud800" <= c <= "\udfff" for c in name)


def _floating(table: Array) -> Array:
    return table[:, k.KIND] == k.FLOATING


def _row(dtype: pl.DataType, depth: int) -> list[int]:
    """A node's row, but for its place among the others."""
    row = [0] * (k.SCALE + 1)
    match dtype:
        case pl.Struct() if depth < _MAX_DEPTH and not any(map(_escaped, struct_fields(dtype))):
            row[k.KIND] = k.STRUCT
        case pl.String():
            row[k.KIND] = k.STRING
        case pl.Boolean():
            row[k.KIND] = k.BOOLEAN
        case pl.Float64():
            row[k.KIND] = k.FLOATING
        case pl.Date():
            row[k.KIND] = k.DATE
        case pl.Decimal(precision=int(precision), scale=scale):
            row[k.KIND], row[k.PRECISION], row[k.SCALE] = k.DECIMAL, precision, scale
        case pl.Datetime(time_unit=unit):
            row[k.KIND], row[k.SCALE] = k.MOMENT, 3 if unit == "ms" else 6
            row[k.HIGH] = (_LAST_SECOND + 1) * 10 ** row[k.SCALE] - 1
        case _ if dtype.is_integer():
            kind = cast(pl.datatypes.IntegerType, dtype)
            low, high = pl.select(low=kind.min(), high=kind.max()).row(0)
            row[k.KIND], row[k.LOW], row[k.HIGH] = k.INTEGER, low, min(high, (1 << 63) - 1)
        case _:
            row[k.KIND] = k.OTHER
    return row


class _Reading:
    """The loops' work on one column: what they read, and which records are certain."""

    def __init__(self, values: pl.Series, how: Plan, otherwise: Otherwise) -> None:
        self._how, self._otherwise = how, otherwise
        rows, nodes = len(values), len(how.nodes)
        kinds = how.table[:, k.KIND]
        slots = int((kinds != k.STRUCT).sum())
        self._numbers = np.zeros((slots, rows), np.int64)
        self._sizes = np.zeros((slots, rows), np.int32)
        self._floats = np.zeros((int(_floating(how.table).sum()), rows), np.float64)
        self._given = np.zeros((nodes, rows), np.uint8)
        self._texts: dict[int, pl.Series] = {}
        self.sure = values.is_null().to_numpy().copy()
        self._loops, self._copying = compiled(k), compiled(copying)
        texts = utf8(values)
        with views.borrowed(texts) as (found, buffers):
            parts = _parts(texts, found, buffers)
            if sum(int((ends - starts).sum()) for _, _, starts, ends in parts) < _MAX_BYTES:
                self._follow(parts)

    def _follow(self, parts: list[tuple[Array, Array, Array, Array]]) -> None:
        how = self._how
        for data, rows, starts, ends in parts:
            self._loops.prove(
                data,
                _words(data),
                rows,
                starts,
                ends,
                how.names,
                how.heads,
                how.table,
                _POWERS,
                self._numbers,
                self._sizes,
                self._floats,
                self._given,
                self.sure,
            )
        for number, node in enumerate(how.nodes):
            if node.kind in (k.STRING, k.OTHER, k.FLOATING):
                self._texts[number] = self._text(number, parts)

    def _text(self, number: int, parts: list[tuple[Array, Array, Array, Array]]) -> pl.Series:
        """The texts of a field, those of certain records: of floats those that are to be cast."""
        slot = self._how.table[number, k.NUMBER]
        starts, sizes = self._numbers[slot], self._sizes[slot]
        kept = self.sure & (self._given[number] == k.GIVEN)
        kind = self._how.nodes[number].kind
        if kind == k.FLOATING:
            kept &= sizes > 0
        # Room for what is cut to a view before the next one is written over it.
        out = np.empty(int(np.abs(sizes[kept]).sum(dtype=np.int64)) + copying.ROOM, np.uint8)
        found = np.zeros((len(kept), views.WORDS), np.uint32)
        used = 0
        for data, rows, _, _ in parts:
            mine = rows[kept[rows]]
            used = self._copying.text(
                data, _words(data), mine, starts, sizes, used, out, _words(out), found
            )
        return views.adopt(found.reshape(-1), kept, out[:used] if used else None, text=True)

    def column(self, number: int) -> pl.Series:
        """One field, typed, of the certain records; null where it is not given."""
        node = self._how.nodes[number]
        given = self.sure & (self._given[number] == k.GIVEN)
        if node.kind == k.STRUCT:
            fields = [
                self.column(child).alias(self._how.nodes[child].name) for child in node.children
            ]
            packed = pl.DataFrame(fields, height=len(given)).to_struct()
            return _where(given, packed).cast(node.dtype)
        if node.kind == k.STRING:
            return self._texts[number]
        if node.kind == k.OTHER:
            return self._other(number)
        slot = self._how.table[number, k.NUMBER]
        if isinstance(node.dtype, pl.Decimal):
            return views.decimals(self._numbers[slot], given, node.dtype)
        if node.kind == k.FLOATING:
            floats = pl.Series(self._floats[self._how.table[number, k.FLOAT]])
            return _where(given, self._texts[number].cast(pl.Float64).fill_null(floats))
        # A copy, since Polars keeps what it is given, and this is a row of all numbers.
        numbers = pl.Series(self._numbers[slot].copy())
        typed = numbers == 1 if node.kind == k.BOOLEAN else numbers
        return _where(given, typed).cast(node.dtype)

    def _other(self, number: int) -> pl.Series:
        """A field whose text others read; where they do not, its record is not certain."""
        dtype = self._how.nodes[number].dtype
        texts = self._texts[number]
        records = pl.select('{"f":' + pl.lit(texts) + "}").to_series().cast(pl.Binary)
        fields, error, rest = self._otherwise(records, Schema({"f": dtype}))
        self.sure &= (error.is_null() & rest.is_null()).to_numpy()
        return fields["f"]


def _parts(
    texts: pl.Series, found: Array, buffers: list[Array]
) -> list[tuple[Array, Array, Array, Array]]:
    """Where the records lie: per buffer their rows, starts and ends."""
    sizes = found[:, 0].astype(np.int64)
    there = np.flatnonzero(texts.is_not_null().to_numpy())
    inline = there[sizes[there] <= copying.INLINE]
    starts = inline * 16 + 4
    parts = [(found.reshape(-1).view(np.uint8), inline, starts, starts + sizes[inline])]
    longer = there[sizes[there] > copying.INLINE]
    for number, data in enumerate(buffers):
        rows = longer[found[longer, 2] == number] if len(buffers) > 1 else longer
        starts = found[rows, 3].astype(np.int64)
        parts.append((data, rows, starts, starts + sizes[rows]))
    return [part for part in parts if len(part[1])]
