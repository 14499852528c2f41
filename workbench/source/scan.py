"""A slice as a LazyFrame that reads when it is collected, and only what its filters leave.

For a log that holds its chunks in memory when it hands them out; those of files are for Polars to
scan.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from workbench.log.protocol import LogBackend
from workbench.positions import Position, TopicPartition
from workbench.records import TIMESTAMP
from workbench.source.columns import TOPIC, frame_schema
from workbench.source.pieces import joined
from workbench.source.slice import SliceSource

#: The columns for which no value has to be decoded.
_UNDECODED = {"topic", "partition", "offset", "timestamp"}

#: What the two sides of `is_between` are, by what it includes.
_SIDES = {
    "Both": ("GtEq", "LtEq"),
    "Left": ("GtEq", "Lt"),
    "Right": ("Gt", "LtEq"),
    "None": ("Gt", "Lt"),
}


def scan(source: SliceSource, **columns: bool) -> pl.LazyFrame:
    """See `SliceSource.lazy`, whose options `columns` are.  Each collecting reads anew."""
    decoding, topics = source.address.decoding, source.address.topics
    schema = frame_schema(decoding, topics, **columns)
    lacking = {
        topic: [
            pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in schema.items()
            if name not in frame_schema(decoding, [topic], **columns)
        ]
        for topic in topics
    }

    def read(
        wanted: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        # The first rows are those before any filter.
        part = source if predicate is None or rows is not None else left_by(source, predicate)
        used = set(schema if wanted is None else wanted)
        used.update([] if predicate is None else predicate.meta.root_names())
        reader = source.as_bytes() if used <= _UNDECODED else source
        for chunk in joined(part.chunks()):
            frame = reader.decode(chunk, **columns).with_columns(lacking[chunk.topic])
            if rows is not None:
                first = frame.head(rows).collect()
                rows -= first.height
                frame = first.lazy()
            if predicate is not None:
                frame = frame.filter(predicate)
            yield frame.select(schema.names() if wanted is None else wanted).collect()
            if rows == 0:
                return

    return register_io_source(read, schema=schema, is_pure=True)


def left_by(source: SliceSource, predicate: pl.Expr) -> SliceSource:
    """The slice without offsets of which no record matches; not all that is left does.

    Of conditions that have to hold together three kinds are understood: those on topic and
    partition alone, comparisons of the offset with a number, and what bounds the timestamp from
    below, for which a look-up of the log is exact.  From above it is not: a cluster knows the
    highest time of a piece of its log and not the lowest, and times do not ascend with offsets,
    nor do those of brokers surely, whose clocks step and differ.  A key's partition is not known,
    since its producer chose it, of the partitions that there were then.
    """
    ranges = {tp: (first, source.end[tp]) for tp, first in source.start.items()}
    after_ms: int | None = None
    for tree in _together(_tree(predicate)):
        condition = _expr(tree)
        names = set(condition.meta.root_names())
        if names and names <= {"topic", "partition"}:
            schema = {"topic": TOPIC, "partition": pl.Int32()}
            places = pl.DataFrame(list(ranges), schema=schema, orient="row")
            kept = set(places.filter(condition).rows())
            ranges = {tp: both for tp, both in ranges.items() if tp in kept}
        for name, sign, value in _comparisons(tree):
            if value.null_count():
                continue  # nothing compares so; the filter will say that
            if name == "offset" and value.dtype.is_integer():
                low, high = _bounds(sign, value.item())
                ranges = {tp: (max(a, low), min(b, high)) for tp, (a, b) in ranges.items()}
            elif name == "timestamp" and sign in ("GtEq", "Gt", "Eq"):
                at_ms = value.cast(TIMESTAMP).to_physical().item()
                after_ms = at_ms if after_ms is None else max(after_ms, at_ms)
    if after_ms is not None:
        ranges = _from_time(source.backend, ranges, after_ms)
    left = {tp: both for tp, both in ranges.items() if both[0] < both[1]}
    return source.cut(
        start=Position({tp: low for tp, (low, _) in left.items()}),
        end=Position({tp: high for tp, (_, high) in left.items()}),
    )


def _from_time(
    backend: LogBackend, ranges: Mapping[TopicPartition, tuple[int, int]], at_ms: int
) -> dict[TopicPartition, tuple[int, int]]:
    """The ranges from the first record on that is stamped at or after a time.

    One that begins with what has expired stays: of those records nobody knows their times.
    """
    found: dict[TopicPartition, tuple[int, int]] = {}
    for topic in {topic for topic, _ in ranges}:
        firsts = backend.offset_for_time(topic, at_ms)
        for part in backend.partitions(topic):
            low, high = ranges.get((topic, part.partition), (0, 0))
            first = firsts.get(part.partition)
            if low >= part.start:
                low = high if first is None else max(low, first)
            found[topic, part.partition] = (low, high)
    return found


def _tree(expr: pl.Expr) -> Any:
    """The expression as JSON; None for what JSON does not hold, such as a function."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of functions, which are slow
            return json.loads(expr.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ModuleNotFoundError):  # as without cloudpickle
        return None


def _expr(tree: Any) -> pl.Expr:
    return pl.Expr.deserialize(io.StringIO(json.dumps(tree)), format="json")


def _together(tree: Any) -> Iterator[Any]:
    """The conditions that a predicate joins by "and"."""
    inner = tree.get("BinaryExpr") if tree else None
    if inner and inner["op"] == "And":
        yield from _together(inner["left"])
        yield from _together(inner["right"])
    elif tree:
        yield tree


def _comparisons(tree: Any) -> Iterator[tuple[str, str, pl.Series]]:
    """Column, sign and value of a comparison of a column with a literal; two of a range."""
    match tree:
        case {"BinaryExpr": {"left": {"Column": name}, "op": sign, "right": {"Literal": _} as one}}:
            yield name, sign, _value(one)
        case {
            "Function": {
                "input": [{"Column": name}, {"Literal": _} as low, {"Literal": _} as high],
                "function": {"Boolean": {"IsBetween": {"closed": closed}}},
            }
        }:
            above, below = _SIDES[closed]
            yield name, above, _value(low)
            yield name, below, _value(high)


def _value(tree: Any) -> pl.Series:
    return pl.select(_expr(tree)).to_series()


def _bounds(sign: str, value: int) -> tuple[int, int]:
    """The offsets `[low, high)` that compare so with a value."""
    low = {"GtEq": value, "Gt": value + 1, "Eq": value}.get(sign, 0)
    high = {"LtEq": value + 1, "Lt": value, "Eq": value + 1}.get(sign, sys.maxsize)
    return low, high
