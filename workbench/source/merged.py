"""A slice of several partitions as one sequence in display order."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from workbench.positions import Position
from workbench.source.slice import SliceSource

#: How many records per partition are held at a time.
READ_AHEAD_ROWS = 20_000

#: Where a record stands, in ms, before which its partition has no timestamp at all.
BEFORE_ALL_MS = -(2**62)


def merged(source: SliceSource, *, raw: bool = False) -> Iterator[pl.DataFrame]:
    """Yield the records of all partitions by time, each partition in its own offset order.

    A record takes its place by the highest timestamp of its partition so far, so a late record, or
    one without a timestamp, comes right after its predecessor and never overtakes it; ties go by
    topic, partition, offset.
    There is no total order across partitions: this is one for display and replay.  The sequence
    depends on the slice alone.  Memory is bounded by a read-ahead per partition.
    """
    readers = {tp: _ordered(source, tp, raw=raw) for tp in source.end}
    held: dict[tuple[str, int], pl.DataFrame] = {}
    for tp in list(readers):
        _refill(tp, readers, held)
    while held:
        # Only what lies before every partition's horizon is certain to be next.
        horizons = {tp: frame["_order"][-1] for tp, frame in held.items() if tp in readers}
        if horizons:
            nearest, horizon = min(horizons.items(), key=lambda item: (item[1], item[0]))
            ready = [frame.filter(pl.col("_order") < horizon) for frame in held.values()]
            held = {
                tp: rest
                for tp, frame in held.items()
                if (rest := frame.filter(pl.col("_order") >= horizon)).height or tp in readers
            }
            _refill(nearest, readers, held)
        else:
            ready, held = list(held.values()), {}
        batch = pl.concat(ready).sort(
            "_order", pl.col("topic").cast(pl.String), "partition", "offset"
        )
        if batch.height:
            yield batch.drop("_order")


def _ordered(source: SliceSource, tp: tuple[str, int], *, raw: bool) -> Iterator[pl.DataFrame]:
    """One partition's batches with `_order`: the highest timestamp so far."""
    alone = source.cut(start=Position({tp: source.start[tp]}), end=Position({tp: source.end[tp]}))
    highest = BEFORE_ALL_MS
    for frame in alone.batches(rows=READ_AHEAD_ROWS, raw=raw):
        stamps = pl.col("timestamp").dt.epoch("ms").fill_null(BEFORE_ALL_MS)
        frame = frame.with_columns(_order=pl.max_horizontal(stamps.cum_max(), pl.lit(highest)))
        highest = frame["_order"][-1]
        yield frame


def _refill(
    tp: tuple[str, int],
    readers: dict[tuple[str, int], Iterator[pl.DataFrame]],
    held: dict[tuple[str, int], pl.DataFrame],
) -> None:
    """Add a partition's next batch, or forget its reader at the end."""
    frame = next(readers[tp], None)
    if frame is None:
        del readers[tp]
        if tp in held and held[tp].is_empty():
            del held[tp]
    else:
        held[tp] = pl.concat([held[tp], frame]) if tp in held else frame
