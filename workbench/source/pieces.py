"""The chunks of a log as the pieces that are decoded: not too large, and not too small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice, pairwise

import polars as pl

from workbench.records import Chunk

#: Chunks of so few records, which take so little room, are decoded by so many at a time.
_SMALL_ROWS, _SMALL_BYTES, _TOGETHER = 100, 64 << 10, 100


def is_small(chunk: Chunk) -> bool:
    """Whether a chunk holds so little that others are decoded with it."""
    if chunk.typed is not None or chunk.rows is None or chunk.rows > _SMALL_ROWS:
        return False
    return chunk.raw.collect().estimated_size() <= _SMALL_BYTES


def joined(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same records in the same order, small chunks of one topic as one.

    To be decoded: that takes a millisecond for a few records as for many.  What a piece says of
    its partition and offsets is what its first chunk says.
    """
    for (_, small), run in groupby(chunks, lambda chunk: (chunk.topic, is_small(chunk))):
        if not small:
            yield from run
        else:
            while few := list(islice(run, _TOGETHER)):
                yield replace(few[0], raw=pl.concat(chunk.raw for chunk in few), rows=None)


def cut_rows(chunk: Chunk, rows: int) -> Iterator[Chunk]:
    """A chunk as pieces of at most `rows` offsets, so that each fits in memory."""
    bounds = [*range(chunk.start, chunk.end, rows), chunk.end]
    if len(bounds) <= 2:
        yield chunk
        return
    for first, last in pairwise(bounds):
        inside = pl.col("offset").is_between(first, last, closed="left")
        yield replace(
            chunk,
            start=first,
            end=last,
            raw=chunk.raw.filter(inside),
            typed=None if chunk.typed is None else chunk.typed.filter(inside),
            rows=None,
        )
