"""An index of the records of some segments by one column: its file, and what is found in it."""

from __future__ import annotations

import io
import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path

import polars as pl

from workbench.records import Chunk

#: How many records of an index are read to find those of one key.
PIECE_ROWS = 512

_HASH = "_hash"

#: An index's file is a stream of Arrow's, a message or more for each piece; it ends with what it
#: says of itself, as JSON, and the length of that.
_LENGTH = 8
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True)
class Index:
    """A copy of segments in pieces.

    `bounds` is the hash that each piece begins with, good for one version of Polars; `places` is
    where in the file it does, and where the last one ends; `schema` is what is before the first.
    """

    path: str
    schema: bytes
    bounds: list[int]
    places: list[int]
    segments: list[str]
    rows: int

    def pieces(self, hashed: int) -> range:
        """The pieces in which records of that hash are, if there are any."""
        first = max(0, bisect_left(self.bounds, hashed) - 1)
        return range(first, max(first + 1, bisect_right(self.bounds, hashed)))

    def read(self, pieces: Collection[int]) -> bytes:
        """The messages of some pieces.  Raises FileNotFoundError where the file is not whole."""
        messages = []
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123
            for piece in pieces:
                file.seek(self.places[piece])
                size = self.places[piece + 1] - self.places[piece]
                message = file.read(size)
                if len(message) < size:
                    raise FileNotFoundError(self.path)
                messages.append(message)
        return b"".join(messages)

    @classmethod
    def of(cls, path: Path, content: bytes) -> Index:
        """The index that a file holds."""
        length = int.from_bytes(content[-_LENGTH:], "big")
        told = json.loads(content[-_LENGTH - length : -_LENGTH])
        return cls(os.fspath(path), content[: told["places"][0]], **told)


def indexed(records: pl.DataFrame, column: str, segments: Collection[str]) -> bytes:
    """The file of an index of some segments' records by a column."""
    hashed = records.with_columns(records[column].hash().alias(_HASH)).sort(_HASH)
    rows = hashed.drop(_HASH)
    schema = _stream(rows.clear())
    schema = schema[: _LENGTH + int.from_bytes(schema[4:_LENGTH], "little")]
    parts, places = [schema], [len(schema)]
    for piece in rows.iter_slices(PIECE_ROWS) if rows.height else [rows]:
        parts.append(_stream(piece)[len(schema) : -len(_END_OF_STREAM)])
        places.append(places[-1] + len(parts[-1]))
    told = {
        "bounds": hashed[_HASH].gather_every(PIECE_ROWS).to_list(),
        "places": places,
        "segments": sorted(segments),
        "rows": rows.height,
    }
    text = json.dumps(told).encode()
    return b"".join([*parts, _END_OF_STREAM, text, len(text).to_bytes(_LENGTH, "big")])


def _stream(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="zstd")
    return buffer.getvalue()


@dataclass
class Run:
    """Chunks that follow each other and have indexes: those."""

    chunks: list[Chunk]
    indexes: list[Index]

    def add(self, chunk: Chunk, index: Index) -> None:
        """With the chunk that follows."""
        self.chunks.append(chunk)
        if self.indexes[-1] is not index:
            self.indexes.append(index)

    def pieces(self, hashes: Sequence[int]) -> list[tuple[Index, list[int]]]:
        """Of each index the pieces in which records of those hashes are."""
        return [
            (index, sorted({piece for one in hashes for piece in index.pieces(one)}))
            for index in self.indexes
        ]

    def rows(self, hashes: Sequence[int]) -> int:
        """How many records are read to find those of some hashes."""
        return sum(len(pieces) for _, pieces in self.pieces(hashes)) * PIECE_ROWS


def narrowed(
    runs: Sequence[Run], column: str, values: pl.Series, hashes: Sequence[int]
) -> list[Chunk] | None:
    """Of each run the records with one of some values, which have those hashes, as one chunk.

    All are looked up at once.  None where an index has gone.
    """
    try:
        messages = [index.read(pieces) for run in runs for index, pieces in run.pieces(hashes)]
    except FileNotFoundError:  # another process joined indexes, or trimmed the folder
        return None
    # All indexes of a column are alike, so their pieces are read as one stream.
    stream = b"".join([runs[0].indexes[0].schema, *messages, _END_OF_STREAM])
    rows = pl.read_ipc_stream(io.BytesIO(stream))
    # Of so few rows columns are compared sooner than an expression is planned.
    held = rows[column]
    same = reduce(or_, (held.eq_missing(values.slice(n, 1)) for n in range(len(values))))
    found = rows.filter(same).sort("partition", "offset")
    return [_cut(run, found) for run in runs]


def _cut(run: Run, found: pl.DataFrame) -> Chunk:
    """The records of a run, of some in order."""
    import numpy as np  # here, since a process that looks nothing up does without

    first, end = run.chunks[0], run.chunks[-1].end
    begin, after = np.searchsorted(
        found["partition"].to_numpy(), [first.partition, first.partition + 1]
    )
    low, high = begin + np.searchsorted(found["offset"].to_numpy()[begin:after], [first.start, end])
    rows = found.slice(low, high - low)
    if (np.diff(rows["offset"].to_numpy()) == 0).any():  # two indexes have a segment
        rows = rows.unique("offset", maintain_order=True)
    return replace(first, end=end, typed=rows.lazy(), typed_path=None, rows=rows.height)
