"""Avro's binary encoding to columns, a field of all records at a time.

Every record has a cursor; a step of the schema moves all of them at once, in NumPy.  What is not
certain to be read as `workbench.decode.avro.records` would is declined and read there: nothing
here makes an error of its own.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import polars as pl

from workbench.decode.avro.nodes import Node
from workbench.decode.avro.records import decode_one_by_one, integer_range
from workbench.decode.decimals import decimal_text
from workbench.decode.text import utf8

Array = Any

#: How many records are read at a time, which bounds the memory of a call.
_ROWS = 50_000
#: Arrays of more items than this are read one by one: a step costs as much for few as for many.
_ITEMS = 256
#: No value is read further beyond the end of the bytes than this.
_PADDING = bytes(16)


def decode_by_column(bodies: pl.Series, node: Node) -> tuple[list[pl.Series], pl.Series]:
    """Decode bodies of records: one column per field, and the errors (null where there is none)."""
    parts = [_part(bodies.slice(at, _ROWS), node) for at in range(0, len(bodies), _ROWS)]
    whole = pl.concat(parts, rechunk=False)
    return whole.select(pl.exclude("!")).get_columns(), whole["!"].alias("decode_error")


def _part(bodies: pl.Series, node: Node) -> pl.DataFrame:
    present = bodies.is_not_null()
    given = bodies.filter(present)
    reading = _Reading(given)
    rows = np.arange(len(given))
    columns = [
        reading.read(part, rows).alias(name)
        for name, part in zip(node.names, node.parts, strict=True)
    ]
    declined = reading.bad | (reading.pos != reading.end)
    frame = pl.DataFrame(columns).with_columns(pl.lit(None, dtype=pl.String).alias("!"))
    if declined.any():
        places = np.flatnonzero(declined)
        others, errors = decode_one_by_one(given.gather(places), node)
        exact = pl.DataFrame([*others, errors.alias("!")])
        kept = np.flatnonzero(~declined)
        order = np.empty(len(given), dtype=np.int64)
        order[np.concatenate([kept, places])] = np.arange(len(given))
        frame = pl.concat([frame[kept], exact])[order]
    if len(given) == len(bodies):
        return frame
    return frame.select(pl.all().gather(_places(present.to_numpy())))


def _places(mask: Array) -> pl.Series:
    """Where each row is among those that the mask has; null for the others."""
    place = pl.Series(np.maximum(np.cumsum(mask) - 1, 0)).cast(pl.UInt32)
    return pl.select(pl.when(pl.Series(mask)).then(place)).to_series()


class _Reading:
    """The records' bytes, a cursor in each, and which of them are declined."""

    def __init__(self, bodies: pl.Series) -> None:
        self._bodies = bodies
        sizes = bodies.bin.size().cast(pl.Int64).to_numpy()
        self.bytes = np.frombuffer(b"".join([*bodies, _PADDING]), dtype=np.uint8)
        self.end = np.cumsum(sizes)
        self._start = self.end - sizes
        self.pos = self._start.copy()
        self.bad = np.zeros(len(bodies), dtype=bool)

    def read(self, node: Node, rows: Array) -> pl.Series:
        """The next value of some records, as a column as long as `rows`."""
        match node.kind:
            case "null":
                return pl.Series([None], dtype=node.dtype).new_from_index(0, len(rows))
            case "boolean":
                byte = self._taken(rows, 1)[:, 0]
                self._decline(rows, byte > 1)
                return pl.Series(byte == 1)
            case "int" | "long":
                return self._integer(node, rows)
            case "float" | "double":
                size, form = (4, "<f4") if node.kind == "float" else (8, "<f8")
                with np.errstate(invalid="ignore"):  # some NaN are said to be none
                    numbers = self._taken(rows, size).view(form)[:, 0].astype(np.float64)
                return pl.Series(numbers)
            case "string":
                text = utf8(self._cut(rows, self._long(rows)))
                self._decline(rows, text.is_null().to_numpy())
                return text
            case "bytes" | "fixed":
                return self._binary(node, rows)
            case "enum":
                index = self._long(rows)
                wrong = (index < 0) | (index >= len(node.names))
                self._decline(rows, wrong)
                symbols = pl.Series(node.names, dtype=pl.String)
                return symbols.gather(np.where(wrong, 0, index))
            case "array" | "map":
                return self._list(node, rows)
            case "record":
                return self._record(node, rows)
        return self._union(node, rows)

    def _decline(self, rows: Array, wrong: Array) -> None:
        """Leave records to the exact path; their cursors stay at their end."""
        if wrong.any():
            left = rows[wrong]
            self.bad[left] = True
            self.pos[left] = self.end[left]

    def _long(self, rows: Array) -> Array:
        """Zigzag integers; 0 where a record is declined."""
        pos, end = self.pos[rows], self.end[rows]
        byte = self.bytes[pos].astype(np.uint64)
        number = byte & np.uint64(0x7F)
        more = np.flatnonzero(byte >= 0x80)
        pos += 1
        for shift in range(7, 64, 7):
            if not len(more):
                break
            # Beyond the end of a record is another's number, which is not looked at.
            byte = self.bytes[np.minimum(pos[more], len(self.bytes) - 1)].astype(np.uint64)
            pos[more] += 1
            number[more] |= (byte & np.uint64(0x7F)) << np.uint64(shift)
            wrong = (byte > 1) if shift == 63 else None
            if wrong is not None and wrong.any():
                pos[more[wrong]] = end[more[wrong]] + 1
            more = more[byte >= 0x80]
        beyond = pos > end
        self.pos[rows] = pos
        self._decline(rows, beyond)
        signed = (number >> np.uint64(1)).astype(np.int64) ^ -(number & np.uint64(1)).astype(
            np.int64
        )
        return np.where(beyond, 0, signed)

    def _advance(self, rows: Array, sizes: Array) -> tuple[Array, Array]:
        """Pass so many bytes of each record: where they begin, and how many there are."""
        pos = self.pos[rows]
        wrong = (sizes < 0) | (sizes > self.end[rows] - pos)
        sizes = np.where(wrong, 0, sizes)
        self.pos[rows] = pos + sizes
        self._decline(rows, wrong)
        return pos, sizes

    def _taken(self, rows: Array, size: int) -> Array:
        """The next few bytes of each record, as rows of a matrix."""
        pos, sizes = self._advance(rows, np.full(len(rows), size))
        places = np.where(sizes == size, pos, len(self.bytes) - len(_PADDING))
        return self.bytes[places[:, None] + np.arange(size)]

    def _cut(self, rows: Array, sizes: Array) -> pl.Series:
        """The next bytes of each record, as a Binary column."""
        pos, sizes = self._advance(rows, sizes)
        whole = self._bodies if len(rows) == len(self._bodies) else self._bodies.gather(rows)
        columns = {"value": whole, "at": pos - self._start[rows], "size": sizes}
        cut = pl.col("value").bin.slice(pl.col("at"), pl.col("size"))
        return pl.DataFrame(columns).select(cut).to_series()

    def _integer(self, node: Node, rows: Array) -> pl.Series:
        number = self._long(rows)
        low, high, factor, _ = integer_range(node)
        wrong = (number < low) | (number > high)
        self._decline(rows, wrong)
        number = np.where(wrong, 0, number) * factor
        if node.dtype in (pl.Int32, pl.Date):
            number = number.astype(np.int32)
        return pl.Series(number).cast(node.dtype)

    def _binary(self, node: Node, rows: Array) -> pl.Series:
        fixed = node.kind == "fixed"
        sizes = np.full(len(rows), node.size) if fixed else self._long(rows)
        if node.logical != "decimal":
            return self._cut(rows, sizes)
        dtype = cast(pl.Decimal, node.dtype)
        # More than 8 bytes, or more digits than 64 bits hold, go the exact way.
        self._decline(rows, sizes > 8)
        pos, sizes = self._advance(rows, np.where(self.bad[rows], 0, sizes))
        first = self.bytes[pos]
        number = np.where((sizes > 0) & (first >= 0x80), -1, 0).astype(np.int64)
        for at in range(int(sizes.max(initial=0))):
            byte = self.bytes[np.minimum(pos + at, len(self.bytes) - 1)]
            number = np.where(at < sizes, (number << 8) | byte, number)
        limit = 10 ** min(dtype.precision or 38, 18)
        wrong = (number <= -limit) | (number >= limit)
        self._decline(rows, wrong)
        step = pl.lit(f"1e-{node.scale}").cast(pl.Decimal(38, node.scale))
        scaled = pl.Series("x", np.where(wrong, 0, number)).cast(pl.Decimal(38, node.scale))
        return scaled.to_frame().select((pl.col("x") * step).cast(dtype)).to_series()

    def _record(self, node: Node, rows: Array) -> pl.Series:
        if not node.parts:
            return pl.Series([True]).new_from_index(0, len(rows))
        parts = [self.read(p, rows).alias(n) for n, p in zip(node.names, node.parts, strict=True)]
        if node.logical == "decimal":
            return self._decimals(parts[0], parts[1], rows)
        return pl.DataFrame(parts).to_struct("")

    def _decimals(self, scales: pl.Series, values: pl.Series, rows: Array) -> pl.Series:
        """Decimals that bring their scale, as text."""
        texts: list[str | None] = []
        for scale, value in zip(scales, values, strict=True):
            try:
                texts.append(decimal_text(value, scale))
            except ValueError:
                texts.append(None)
        made = pl.Series(texts, dtype=pl.String)
        self._decline(rows, made.is_null().to_numpy())
        return made

    def _union(self, node: Node, rows: Array) -> pl.Series:
        index = self._long(rows)
        self._decline(rows, (index < 0) | (index >= len(node.parts)))
        branches: dict[str, pl.Series] = {}
        given = np.zeros(len(rows), dtype=bool)
        for number, (name, part) in enumerate(zip(node.names, node.parts, strict=True)):
            if part.kind == "null":
                continue
            mine = (index == number) & ~self.bad[rows]
            given |= mine
            values = self.read(part, rows if mine.all() else rows[mine])
            branches[name] = values if mine.all() else values.gather(_places(mine))
        if not branches:
            return pl.Series([None], dtype=node.dtype).new_from_index(0, len(rows))
        if len(branches) == 1:
            return next(iter(branches.values()))
        frame = pl.DataFrame([values.alias(name) for name, values in branches.items()])
        if isinstance(node.dtype, pl.Struct):
            packed: pl.Expr = pl.when(pl.Series(given)).then(pl.struct(pl.all()))
        else:
            packed = pl.coalesce(pl.all().cast(node.dtype))
        return frame.select(packed).to_series()

    def _list(self, node: Node, rows: Array) -> pl.Series:
        entry, is_map = node.parts[0], node.kind == "map"
        owners: list[Array] = []
        items: list[pl.Series] = []
        places = np.arange(len(rows))
        left = self._long(rows)
        for _ in range(_ITEMS):
            # Blocks that bring their size are rare, and read one by one.
            self._decline(rows[places], left < 0)
            going = (left > 0) & ~self.bad[rows[places]]
            places, left = places[going], left[going]
            if not len(places):
                break
            now = rows[places]
            if is_map:
                key = self.read(Node("string", pl.String()), now).alias("key")
                items.append(
                    pl.DataFrame([key, self.read(entry, now).alias("value")]).to_struct("")
                )
            else:
                items.append(self.read(entry, now))
            owners.append(places)
            left = left - 1
            done = left == 0
            if done.any():
                left[done] = self._long(now[done])
        else:
            self._decline(rows[places], left != 0)
        return _lists(node.dtype, len(rows), owners, items)


def _lists(
    dtype: pl.DataType, height: int, owners: list[Array], items: list[pl.Series]
) -> pl.Series:
    """Items that came in rounds as lists of those that own them."""
    if not items:
        return pl.Series([[]], dtype=dtype).new_from_index(0, height)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    frame = pl.DataFrame({"owner": owner[order], "item": pl.concat(items).gather(order)})
    found = frame.group_by("owner", maintain_order=True).agg("item")
    mask = np.zeros(height, dtype=bool)
    mask[found["owner"].to_numpy()] = True
    lists = found["item"].cast(dtype).gather(_places(mask))
    return lists.zip_with(pl.Series(mask), pl.Series([[]], dtype=dtype).new_from_index(0, height))
