"""An index of the records of some segments by one column: its file, and what is found in it."""

from __future__ import annotations

import io
import json
from bisect import bisect_left, bisect_right
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import polars as pl

from workbench.records import Chunk

#: How many records of an index are read to find those of one key.
PIECE_ROWS = 2_048

_HASH = "_hash"

#: An index's file ends with what it says of itself, as JSON, and the length of that.
_LENGTH = 8


@dataclass(frozen=True)
class Index:
    """A copy of segments in pieces.

    `bounds` is the hash that each piece begins with, good for one version of Polars; `places` is
    where in the file it does, and where the last one ends.
    """

    path: Path
    bounds: list[int]
    places: list[int]
    segments: list[str]
    rows: int

    def pieces(self, hashed: int) -> tuple[int, int]:
        """From which piece to which, half-open, records of that hash are, if there are any."""
        first = max(0, bisect_left(self.bounds, hashed) - 1)
        return first, max(first + 1, bisect_right(self.bounds, hashed))

    def near(self, hashed: int) -> pl.DataFrame:
        """The pieces in which records of that hash are, if there are any."""
        first, last = self.pieces(hashed)
        start, *ends = self.places[first : last + 1]
        with self.path.open("rb") as file:
            file.seek(start)
            pieces = [file.read(end - begin) for begin, end in pairwise([start, *ends])]
        return pl.concat(pl.read_ipc(io.BytesIO(piece)) for piece in pieces)

    @classmethod
    def of(cls, path: Path, content: bytes) -> Index:
        """The index that a file holds."""
        length = int.from_bytes(content[-_LENGTH:], "big")
        return cls(path, **json.loads(content[-_LENGTH - length : -_LENGTH]))


def indexed(records: pl.DataFrame, column: str, segments: Collection[str]) -> bytes:
    """The file of an index of some segments' records by a column."""
    hashed = records.with_columns(records[column].hash().alias(_HASH)).sort(_HASH)
    buffer, places = io.BytesIO(), [0]
    rows = hashed.drop(_HASH)
    for piece in rows.iter_slices(PIECE_ROWS) if rows.height else [rows]:
        piece.write_ipc(buffer, compression="zstd")
        places.append(buffer.tell())
    told = {
        "bounds": hashed[_HASH].gather_every(PIECE_ROWS).to_list(),
        "places": places,
        "segments": sorted(segments),
        "rows": rows.height,
    }
    text = json.dumps(told).encode()
    return buffer.getvalue() + text + len(text).to_bytes(_LENGTH, "big")


@dataclass
class Run:
    """Chunks that follow each other and have indexes, with the offsets to be found in each."""

    chunks: list[Chunk]
    parts: list[tuple[Index, int, int]]

    def add(self, chunk: Chunk, index: Index) -> None:
        """With the chunk that follows."""
        last, start, _ = self.parts[-1]
        if last is index:
            self.parts[-1] = (index, start, chunk.end)
        else:
            self.parts.append((index, chunk.start, chunk.end))
        self.chunks.append(chunk)

    def narrowed(self, column: str, values: pl.Series, most: int | None) -> Chunk | None:
        """The records with one of some values as one chunk.

        None where more than `most` would have to be held, and where an index has gone.
        """
        hashes = values.hash().to_list()
        spans = [index.pieces(one) for index, _, _ in self.parts for one in hashes]
        if most is not None and sum(last - first for first, last in spans) * PIECE_ROWS > most:
            return None
        near = []
        try:
            for index, first, end in self.parts:
                for place, hashed in enumerate(hashes):
                    # Of so few rows columns are compared sooner than an expression is planned.
                    rows = index.near(hashed)
                    offset = rows["offset"]
                    same = rows[column].eq_missing(values.slice(place, 1))
                    near.append(rows.filter(same & (offset >= first) & (offset < end)))
        except FileNotFoundError:  # another process joined indexes, or trimmed the folder
            return None
        found = pl.concat(near).sort("offset")
        return replace(
            self.chunks[0],
            end=self.chunks[-1].end,
            typed=found.lazy(),
            typed_path=None,
            rows=found.height,
        )
