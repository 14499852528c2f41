"""JSON to typed columns, many records at once: whatever the compiled scanner accepts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, cast

import nanoarrow as na
import numpy as np
import numpy.typing as npt
import polars as pl

from workbench.decode import exact, kernel
from workbench.schema import Schema

Array = npt.NDArray[Any]

#: Records, and bytes of records, that a scan takes at a time: little enough for its buffers to
#: stay in the processor's cache.
_ROWS = 16_384
_BYTES = 1 << 23

#: Places for unknown members, per record of a scan; records beyond them are left to the exact path.
_UNKNOWN = 16


class Plan(NamedTuple):
    """A schema as the scanner takes it.

    Slot by slot: its kind; `low` and `high` (an integer's bounds; a Decimal's digits before and
    after the point; a Datetime's digits after the second, and the bound of its epochs); a Struct's
    object; its name.  The fields of object `n` are the slots `first[n]` to `first[n + 1]`.
    """

    kinds: Array
    lows: Array
    highs: Array
    objects: Array
    first: Array
    name_starts: Array
    name_lengths: Array
    names: Array


class Block(NamedTuple):
    """Columns of some records; `accepted` (bool) tells which of them they hold."""

    columns: list[pl.Series]
    rest: pl.Series
    accepted: Array


class _Slots(NamedTuple):
    """What the scanner filled, cut to the records of the block; see `kernel.scan`."""

    scheme: Plan
    cells: Array
    valid: Array
    accepted: Array
    heaps: Array


@lru_cache(maxsize=64)
def plan(schema: Schema) -> Plan | None:
    """The scanner's view of a schema; None where it is not for the scanner."""
    kinds: list[tuple[int, int, int]] = []
    names: list[bytes] = []
    objects: list[int] = []
    first = [0]
    waiting = [(dict(schema), 1)]
    for fields, depth in waiting:
        for name, dtype in fields.items():
            encoded = name.encode()
            # The scanner compares names as they are written; these are written with escapes.
            if min(encoded) < 32 or b'"' in encoded or b"\\" in encoded:
                return None
            names.append(encoded)
            kinds.append(_kind(dtype))
            objects.append(0)
            if isinstance(dtype, pl.Struct):
                objects[-1] = len(waiting)
                waiting.append((_struct_fields(dtype), depth + 1))
                if depth == kernel.MAX_STRUCTS:
                    return None
        first.append(len(names))
    lengths = np.array([len(name) for name in names], np.int64)
    kind, low, high = np.array(kinds, np.int64).reshape(-1, 3).T.copy()
    return Plan(
        kind,
        low,
        high,
        np.array(objects, np.int64),
        np.array(first, np.int64),
        np.cumsum(lengths) - lengths,
        lengths,
        np.frombuffer(b"".join(names) + b"\0", np.uint8),
    )


def blocks(values: pl.Series, schema: Schema, scheme: Plan) -> Iterator[Block]:
    """Decode what the scanner accepts, block by block in the order of the records."""
    sizes = values.bin.size().fill_null(0).to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    bounds = [0]
    while bounds[-1] < len(values):
        start = bounds[-1]
        within = int(np.searchsorted(ends, ends[start] - sizes[start] + _BYTES, side="right"))
        bounds.append(min(max(within, start + 1), start + _ROWS))
    ranges = list(itertools.pairwise(bounds))
    rows = max(end - start for start, end in ranges)
    room = max(int(sizes[start:end].sum()) for start, end in ranges)
    slots = len(scheme.kinds)
    cells = np.empty((slots, rows + 1), np.int64)
    valid = np.empty((slots, rows), np.bool_)
    accepted = np.empty(rows, np.bool_)
    heaps = np.empty((slots, room), np.uint8)
    unknown = np.empty((_UNKNOWN * rows, 6), np.int64)
    for start, end in ranges:
        height = end - start
        records = values.slice(start, height).fill_null(b"").to_list()
        joined = b"\0".join(records) + b"\0"
        starts = np.append(0, np.cumsum(sizes[start:end] + 1))
        buffer = np.frombuffer(joined, np.uint8)
        # Whole arrays: numba would compile the scanner anew for arrays of another layout.
        known = kernel.scan(buffer, starts, *scheme, cells, valid, accepted, heaps, unknown)
        here = _Slots(scheme, cells[:, : height + 1], valid[:, :height], accepted[:height], heaps)
        _check_utf8(joined, records, here.accepted)
        rest = _rest(joined, unknown[:known], here.accepted)
        yield Block(_columns(here, schema), rest, here.accepted)


def _check_utf8(joined: bytes, records: list[bytes], accepted: Array) -> None:
    """Decline what is not UTF-8: the scanner reads bytes."""
    if joined.isascii():
        return
    try:
        joined.decode()
    except UnicodeDecodeError:
        for row, record in enumerate(records):
            try:
                record.decode()
            except UnicodeDecodeError:
                accepted[row] = False


def _rest(joined: bytes, unknown: Array, accepted: Array) -> pl.Series:
    """The unknown members of each record, as `exact.rest_text` writes them."""
    texts: dict[int, str] = {}
    for row, name, name_end, start, end, plain in unknown.tolist():
        if accepted[row]:
            try:
                value = joined[start:end]
                text = value.decode() if plain else exact.compact(value)
            except exact.Misfit:
                accepted[row] = False
            else:
                member = f'"{joined[name:name_end].decode()}":{text}'
                texts[row] = f"{texts[row]},{member}" if row in texts else member
    rest = pl.Series("_rest", [None], dtype=pl.String).new_from_index(0, len(accepted))
    return rest.scatter(list(texts), [f"{{{text}}}" for text in texts.values()]) if texts else rest


def _columns(slots: _Slots, schema: Schema, node: int = 0) -> list[pl.Series]:
    """The columns of one object of the schema."""
    return [
        _column(slots, slot, name, dtype)
        for slot, (name, dtype) in enumerate(schema.items(), int(slots.scheme.first[node]))
    ]


def _column(slots: _Slots, slot: int, name: str, dtype: pl.DataType) -> pl.Series:
    match dtype:
        case pl.Struct():
            inner = Schema(_struct_fields(dtype))
            frame = pl.DataFrame(_columns(slots, inner, int(slots.scheme.objects[slot])))
            present = pl.Series(slots.valid[slot])
            return frame.select(pl.when(present).then(pl.struct(pl.all())).alias(name)).to_series()
        case pl.List():
            return _lists(name, dtype, _texts(slots, slot), slots.accepted)
        case pl.String():
            return _texts(slots, slot).alias(name)
        case pl.Float64():
            return _texts(slots, slot).cast(dtype).alias(name)
    numbers = slots.cells[slot, :-1]
    if isinstance(dtype, pl.Decimal):
        wide = np.stack([numbers, numbers >> 63], axis=1).reshape(-1)
        decimals = na.decimal128(dtype.precision, dtype.scale)
        return _arrow(decimals, slots.valid[slot], wide).alias(name)
    integers = _arrow(na.int64(), slots.valid[slot], numbers.copy())
    if isinstance(dtype, pl.Date):
        integers = integers.cast(pl.Int32)
    return integers.cast(dtype).alias(name)


def _texts(slots: _Slots, slot: int) -> pl.Series:
    ends = slots.cells[slot].copy()
    return _arrow(na.large_string(), slots.valid[slot], ends, slots.heaps[slot, : ends[-1]].copy())


def _arrow(schema: Any, valid: Array, *buffers: Array) -> pl.Series:
    """Hand buffers to Polars as an Arrow array; they are not to be written to any more."""
    nulls = len(valid) - int(np.count_nonzero(valid))
    bitmap = np.packbits(valid, bitorder="little")
    return pl.Series(
        na.c_array_from_buffers(schema, len(valid), [bitmap, *buffers], null_count=nulls)
    )


def _lists(name: str, dtype: pl.List, texts: pl.Series, accepted: Array) -> pl.Series:
    """Type the texts of arrays one by one; what does not fit is declined."""
    typed, left = exact.convert(dtype), exact.remainder(dtype)
    values: list[Any] = []
    for row, text in enumerate(texts):
        value = None
        if text is not None and accepted[row]:
            try:
                parsed = exact.load(text.encode())
                if left(parsed) is None:
                    value = typed(parsed)
                else:
                    accepted[row] = False
            except exact.Misfit:
                accepted[row] = False
        values.append(value)
    return exact.series(name, values, dtype)


def _struct_fields(dtype: pl.Struct) -> dict[str, pl.DataType]:
    return {field.name: cast(pl.DataType, field.dtype) for field in dtype.fields}


def _kind(dtype: pl.DataType) -> tuple[int, int, int]:
    """Kind, low and high of a slot."""
    match dtype:
        case pl.Boolean():
            return kernel.BOOLEAN, 0, 0
        case pl.String():
            return kernel.STRING, 0, 0
        case pl.Float64():
            return kernel.NUMBER, 0, 0
        case pl.Decimal(precision=int(precision), scale=scale):
            return kernel.DECIMAL, precision - scale, scale
        case pl.Date():
            return kernel.DATE, 0, 0
        case pl.Datetime(time_unit=unit):
            digits = 3 if unit == "ms" else 6
            # 60 billion seconds, either way, lie well within the years that are allowed.
            return kernel.DATETIME, digits, 60_000_000_000 * 10**digits
        case pl.List():
            return kernel.RAW, 0, 0
        case pl.Struct():
            return kernel.STRUCT, 0, 0
    low, high = exact.integer_range(dtype)
    # The scanner reads up to 18 digits.
    return kernel.INTEGER, max(low, -(10**18)), min(high, 10**18)
