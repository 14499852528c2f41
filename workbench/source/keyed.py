"""Finding the records of one key without reading all others.

Segments are ordered by offset, so that each holds nearly every key and nothing can be left out.
The index of a segment is a copy of its decoded columns in the order of the hash of one of them:
the records of a key lie together in it, in one small group of rows, and the hashes that groups
begin with say in which.  Indexes are files in the private folder; they are made as looking
without them has cost as much as making them costs, and deleting them changes nothing but time.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import polars as pl

from workbench.records import Chunk
from workbench.source.columns import frame_schema
from workbench.source.private import private_folder, write_private
from workbench.source.slice import SliceSource

#: Changes whenever older indexes would be misread.
FORMAT = 3

#: How many records of a segment are read to find those of one key.
GROUP_ROWS = 8_192

#: Looking without an index has to cost so many times what the index costs before it is made.
WORTH = 1.0

#: Under this an index's file keeps its bounds; they are good for one version of Polars.
_METADATA = "workbench"
_HASH = "_hash"

#: Segments are ordered well enough to be looked up by these.
_PLACES = ("topic", "partition", "offset", "timestamp")


@dataclass(frozen=True)
class _Index:
    """A segment's copy; `bounds` is the hash that each group of rows begins with."""

    path: Path
    bounds: list[int]
    schema: pl.Schema

    def near(self, hashed: int) -> pl.LazyFrame:
        """The groups of rows in which records of that hash are, if there are any."""
        first = max(0, bisect_left(self.bounds, hashed) - 1)
        last = bisect_right(self.bounds, hashed)
        # With its schema known a file is opened once, when it is read.
        rows = pl.scan_parquet(self.path, glob=False, schema=self.schema)
        return rows.slice(first * GROUP_ROWS, (last - first) * GROUP_ROWS)


class Keyed:
    """Looks up records by the values of one column: a payload field, or `key`.  Thread-safe."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._checked: dict[str, _Index] = {}
        self._lock = Lock()
        self._owed = 0.0
        # What a record costs to index, in seconds: a guess until it has been measured.
        self._record_cost = 1e-6

    def find(self, source: SliceSource, value: pl.Series) -> pl.DataFrame:
        """The records with one value, null included, as `SliceSource.lazy(marks=True)` has them.

        `value` has one element, of the column's type.
        """
        column = pl.col(self._column)
        wanted = column.is_null() if value.has_nulls() else column == pl.lit(value[0], value.dtype)
        hashed = int(value.hash()[0])
        decoding = source.address.decoding
        stored = {topic: schema.fingerprint for topic, schema in decoding.schemas}
        folder = None if self._column in _PLACES else private_folder("keys")
        schema = frame_schema(decoding, source.address.topics, marks=True)
        frames = [pl.LazyFrame(schema=schema)]
        missing: list[tuple[Path, Chunk]] = []
        for indexed, chunk in self._runs(source, stored, folder, missing):
            if indexed:
                inside = pl.col("offset").is_between(chunk.start, chunk.end, closed="left")
                # One by one these are found sooner than as one frame with a filter.
                near = [index.near(hashed).filter(wanted, inside) for index in indexed]
                ordered = pl.concat(pl.collect_all(near)).sort("offset")
                chunk = replace(chunk, typed=ordered.lazy())
                frames.append(source.decode(chunk, marks=True))
            else:
                frames.append(source.decode(chunk, marks=True).filter(wanted))
        began = time.perf_counter()
        found = pl.concat(frames, how="diagonal").collect().select(schema.names())
        if missing:
            with self._lock:
                self._owed += time.perf_counter() - began
            for path, chunk in missing:
                if not self._make(path, chunk):
                    break
        return found

    def _runs(
        self,
        source: SliceSource,
        stored: Mapping[str, str],
        folder: Path | None,
        missing: list[tuple[Path, Chunk]],
    ) -> Iterator[tuple[list[_Index], Chunk]]:
        """Chunks; those that follow each other and have an index are one, with the indexes.

        Adds to `missing` those that could have an index.
        """
        indexed: list[_Index] = []
        run: Chunk | None = None
        for chunk in source.chunks():
            index = None
            if folder is not None and chunk.typed_schema == stored.get(chunk.topic, ""):
                name = self._name(chunk)
                index = self._index(folder, name)
                if index is None and self._has_column(source, chunk):
                    missing.append((folder / name, chunk))
            if run is not None:
                here = (run.topic, run.partition, run.end)
                if index is not None and here == (chunk.topic, chunk.partition, chunk.start):
                    indexed.append(index)
                    run = replace(run, end=chunk.end)
                    continue
                yield indexed, run
                run = None
            if index is None:
                yield [], chunk
            else:
                run, indexed = chunk, [index]
        if run is not None:
            yield indexed, run

    def _has_column(self, source: SliceSource, chunk: Chunk) -> bool:
        """Whether the segment has the column in the form that the slice has it in.

        Keys are bytes in a segment where one of them is no text; such a segment has no index, so
        that all indexes are alike.
        """
        held = {} if chunk.typed is None else chunk.typed.collect_schema()
        same = held.get(self._column) == source.schema[self._column]
        return same and held.get("key") == pl.String

    def _name(self, chunk: Chunk) -> str:
        """The segment's path is its own: it is never used again for other records."""
        text = repr((FORMAT, pl.__version__, self._column, chunk.typed_path, chunk.typed_schema))
        return hashlib.sha256(text.encode()).hexdigest()

    def _index(self, folder: Path, name: str) -> _Index | None:
        """The index of a segment, if there is one and it is whole; that is looked at once."""
        known = self._checked.get(name)
        if known is not None and known.path.exists():
            return known
        for path in folder.glob(f"{name}-*.parquet"):
            with suppress(OSError):
                if path.stem == f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()}":
                    path.touch()  # was used just now
                    bounds = json.loads(pl.read_parquet_metadata(path)[_METADATA])
                    schema = pl.Schema(pl.read_parquet_schema(path))
                    self._checked[name] = _Index(path, bounds, schema)
                    return self._checked[name]
                path.unlink()
        return None

    def _make(self, path: Path, chunk: Chunk) -> bool:
        """Make an index if looking without it has paid for it."""
        cost = WORTH * self._record_cost * (chunk.end - chunk.start)
        with self._lock:
            if self._owed < cost:
                return False
            self._owed -= cost
        began = time.perf_counter()
        # The whole segment, also where the slice has a part of it.
        whole = pl.read_parquet(chunk.typed_path or "", glob=False)
        hashed = whole.with_columns(whole[self._column].hash().alias(_HASH)).sort(_HASH)
        bounds = hashed[_HASH].gather_every(GROUP_ROWS).to_list()
        buffer = io.BytesIO()
        hashed.drop(_HASH).write_parquet(
            buffer,
            compression="zstd",
            statistics=False,
            row_group_size=GROUP_ROWS,
            metadata={_METADATA: json.dumps(bounds)},
        )
        content = buffer.getvalue()
        made = path.with_name(f"{path.name}-{hashlib.sha256(content).hexdigest()}.parquet")
        write_private(made, content)
        self._record_cost = (time.perf_counter() - began) / max(whole.height, 1000)
        return True
