"""The chunks of a log as the pieces that are decoded: not too large, and not too small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice, pairwise

import polars as pl

from workbench.records import Chunk

#: Chunks of so few records, which take so little room, are decoded by so many at a time.
_SMALL_ROWS, _SMALL_BYTES, _TOGETHER = 100, 64 << 10, 100


def few_records(chunk: Chunk) -> pl.DataFrame | None:
    """The records of a chunk that holds so little that others are decoded with it."""
    if chunk.typed is not None or chunk.rows is None or chunk.rows > _SMALL_ROWS:
        return None
    records = chunk.raw.collect()
    return records if records.estimated_size() <= _SMALL_BYTES else None


def joined(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same records in the same order, small chunks of one topic as one.

    To be decoded: that takes a millisecond for a few records as for many.  What a piece says of
    its partition and offsets is what its first chunk says.
    """
    pieces = ((chunk, few_records(chunk)) for chunk in chunks)
    for (_, large), run in groupby(pieces, lambda piece: (piece[0].topic, piece[1] is None)):
        if large:
            yield from (chunk for chunk, _ in run)
        else:
            yield from together((chunk, few) for chunk, few in run if few is not None)


def together(pieces: Iterable[tuple[Chunk, pl.DataFrame]]) -> Iterator[Chunk]:
    """Small chunks, each with its records, as larger ones of one topic each."""
    for _, run in groupby(pieces, lambda piece: piece[0].topic):
        while few := list(islice(run, _TOGETHER)):
            records = pl.concat(frame for _, frame in few)
            yield replace(few[0][0], raw=records.lazy(), rows=records.height)


def cut_rows(chunk: Chunk, rows: int) -> Iterator[Chunk]:
    """A chunk as pieces of at most `rows` records, so that each fits in memory."""
    bounds = [*range(chunk.start, chunk.end, rows), chunk.end]
    if len(bounds) <= 2 or (chunk.rows is not None and chunk.rows <= rows):
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
