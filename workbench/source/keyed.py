"""Finding the records of one key without reading all others.

Segments are ordered by offset, so that each holds nearly every key and nothing can be left out.
An index is a copy of the decoded columns of some segments that follow each other, in the order of
the hash of one column: the records of a key lie together in it, in one small piece, and the hashes
that pieces begin with say in which.  Pieces are messages of one Arrow stream, and their places are
at the end of the file: of one Parquet file with as many row groups, to read what it says of itself
takes longer than to read a group.  What a look-up costs is the number of indexes, so
the small ones of new segments are joined as they come to be many.  Indexes are files in the
private folder; they are made as looking without them has cost as much as making them costs, and
deleting them changes nothing but time.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache, reduce
from operator import or_
from pathlib import Path
from threading import Lock

import polars as pl

from workbench.private import private_folder, write_private
from workbench.records import Chunk
from workbench.source.columns import frame_schema
from workbench.source.index import Index, Run, indexed, narrowed
from workbench.source.slice import SliceSource

#: Changes whenever older indexes would be misread.
FORMAT = 7

#: An index of so many records is not joined with others: it is sorted in memory.
FULL_ROWS = 1_500_000

#: Of so many runs the records are looked up at once.
TOGETHER = 16

#: Looking without an index has to cost so many times what the index costs before it is made.
WORTH = 1.0

#: Segments are ordered well enough to be looked up by these.
_PLACES = ("topic", "partition", "offset", "timestamp")


#: A segment that could have an index, or one with others; and the index that it has.
_Want = tuple[Chunk, Index | None]


class Keyed:
    """Looks up records by the values of one column: a payload field, or `key`.  Thread-safe."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._checked: dict[Path, Index] = {}
        self._lock = Lock()
        self._owed = 0.0
        # What a record costs to index, in seconds: a guess until it has been measured.
        self._record_cost = 1e-6

    def find(self, source: SliceSource, values: pl.Series) -> pl.DataFrame:
        """The records with one of some values, as `SliceSource.lazy(marks=True)` has them.

        `values` are few, null may be among them, and are of the column's type.
        """
        column = pl.col(self._column)
        wanted = reduce(
            or_,
            [
                column.is_null() if value is None else column == pl.lit(value, values.dtype)
                for value in values.unique()
            ],
        )
        schema = frame_schema(source.address.decoding, source.address.topics, marks=True)
        frames = [pl.LazyFrame(schema=schema)]
        with self.looking(source, values) as chunks:
            frames += [source.decode(chunk, marks=True).filter(wanted) for chunk in chunks]
            return pl.concat(frames, how="diagonal").select(schema.names()).collect()

    def chunks(
        self, source: SliceSource, values: pl.Series, most: int | None = None
    ) -> Iterator[Chunk]:
        """The chunks of a slice that may hold records with one of some values.

        Of what has an index they are those records alone, without their raw bytes and without a
        path, unless these are more than `most`.
        """
        return self._chunks(source, values.unique(), self._folder(), [], most)

    @contextmanager
    def looking(
        self, source: SliceSource, values: pl.Series, most: int | None = None
    ) -> Iterator[Iterator[Chunk]]:
        """What `chunks` gives, to be read inside: indexes are made as that has paid for them."""
        folder = self._folder()
        wants: list[_Want] = []
        began = time.perf_counter()
        yield self._chunks(source, values.unique(), folder, wants, most)
        batches = list(_batches(wants))
        if batches and folder is not None:
            with self._lock:
                self._owed += time.perf_counter() - began
            for batch in batches:
                if not self._make(folder, batch):
                    break

    def _folder(self) -> Path | None:
        return None if self._column in _PLACES else private_folder("keys")

    def _chunks(
        self,
        source: SliceSource,
        values: pl.Series,
        folder: Path | None,
        wants: list[_Want],
        most: int | None,
    ) -> Iterator[Chunk]:
        hashes = values.hash().to_list()

        def looked_up(runs: list[Run]) -> list[Chunk]:
            found = narrowed(runs, self._column, values, hashes) if runs else []
            return [chunk for run in runs for chunk in run.chunks] if found is None else found

        together: list[Run] = []
        room = most
        for part in self._runs(source, folder, wants):
            rows = part.rows(hashes) if isinstance(part, Run) else 0
            full = len(together) == TOGETHER or (room is not None and rows > room)
            if together and (full or not _alike(part, together)):
                yield from looked_up(together)
                together, room = [], most
            if isinstance(part, Chunk):
                yield part
            elif most is not None and rows > most:
                yield from part.chunks
            else:
                together.append(part)
                room = None if room is None else room - rows
        yield from looked_up(together)

    def _runs(
        self,
        source: SliceSource,
        folder: Path | None,
        wants: list[_Want],
    ) -> Iterator[Chunk | Run]:
        """Chunks; those that follow each other and have indexes as one.  Adds to `wants`."""
        stored = {topic: schema.fingerprint for topic, schema in source.address.decoding.schemas}
        shelves: dict[tuple[str, int], dict[str, Index]] = {}
        run: Run | None = None
        for chunk in source.chunks():
            index = None
            if folder is not None and chunk.typed_schema == stored.get(chunk.topic, ""):
                place = (chunk.topic, chunk.partition)
                if place not in shelves:
                    shelves[place] = self._indexes(folder, self._shelf(chunk))
                index = shelves[place].get(_name(chunk))
                if index is not None or self._has_column(source, chunk):
                    wants.append((chunk, index))
            if run is not None:
                if index is not None and _follows(chunk, run.chunks[-1]):
                    run.add(chunk, index)
                    continue
                yield run
                run = None
            if index is None:
                yield chunk
            else:
                run = Run([chunk], [index])
        if run is not None:
            yield run

    def _has_column(self, source: SliceSource, chunk: Chunk) -> bool:
        """Whether the segment has the column in the form that the slice has it in.

        Keys are bytes in a segment where one of them is no text; such a segment has no index, so
        that all indexes are alike.
        """
        held = {} if chunk.typed is None else chunk.typed.collect_schema()
        same = held.get(self._column) == source.schema[self._column]
        return same and held.get("key") == pl.String

    def _shelf(self, chunk: Chunk) -> str:
        """What the names of indexes begin with: those of one partition, column and schema."""
        place = (chunk.typed_path or "").rpartition(os.sep)[0]
        return _digest(
            FORMAT,
            pl.__version__,
            self._column,
            place,
            chunk.topic,
            chunk.partition,
            chunk.typed_schema,
        )

    def _indexes(self, folder: Path, shelf: str) -> dict[str, Index]:
        """By segment the index that has it: the largest that is whole; that is looked at once."""
        found, names = [], list[str]()
        with suppress(FileNotFoundError):
            names = os.listdir(folder)  # noqa: PTH208 - for each look, where Paths take longer
        for name in names:
            if not (name.startswith(f"{shelf}-") and name.endswith(".keys")):
                continue
            path = folder / name
            with suppress(OSError):
                if path not in self._checked:
                    content = path.read_bytes()
                    if path.stem != f"{shelf}-{hashlib.sha256(content).hexdigest()}":
                        path.unlink()
                        continue
                    self._checked[path] = Index.of(path, content)
                os.utime(path)  # was used just now; one that has gone is not made anew
                found.append(self._checked[path])
        found.sort(key=lambda index: index.rows)
        return {name: index for index in found for name in index.segments}

    def _make(self, folder: Path, batch: list[_Want]) -> bool:
        """Make one index of some segments if looking without it has paid for it."""
        cost = WORTH * self._record_cost * sum(chunk.end - chunk.start for chunk, _ in batch)
        with self._lock:
            if self._owed < cost:
                return False
            self._owed -= cost
        began = time.perf_counter()
        # Whole segments, also where the slice has a part of one.
        whole = pl.concat(pl.read_parquet(c.typed_path or "", glob=False) for c, _ in batch)
        names = {_name(chunk) for chunk, _ in batch}
        content = indexed(whole, self._column, names)
        name = f"{self._shelf(batch[0][0])}-{hashlib.sha256(content).hexdigest()}.keys"
        if write_private(folder / name, content):
            for small in [index for _, index in batch if index is not None]:
                if names.issuperset(small.segments):
                    Path(small.path).unlink(missing_ok=True)
        self._record_cost = (time.perf_counter() - began) / max(whole.height, 1000)
        return True


@cache
def by_key() -> Keyed:
    """What all slices of this process look up record keys by."""
    return Keyed("key")


def _batches(
    wants: list[_Want],
) -> Iterator[list[_Want]]:
    """What is to be indexed together: as much as makes a full index, else what has none."""
    batch: list[_Want] = []

    def rest() -> Iterator[list[_Want]]:
        without = [want for want in batch if want[1] is None]
        if without:
            yield without

    for chunk, index in wants:
        full = index is not None and index.rows >= FULL_ROWS
        if batch and (full or not _follows(chunk, batch[-1][0])):
            yield from rest()
            batch = []
        if full:
            continue
        batch.append((chunk, index))
        if sum(c.end - c.start for c, _ in batch) >= FULL_ROWS:
            yield batch
            batch = []
    yield from rest()


def _alike(part: Chunk | Run, others: list[Run]) -> bool:
    """Whether a run is of the topic of others, so that its indexes are like theirs."""
    return isinstance(part, Run) and part.chunks[0].topic == others[0].chunks[0].topic


def _follows(chunk: Chunk, other: Chunk) -> bool:
    here = (chunk.topic, chunk.partition, chunk.start)
    return here == (other.topic, other.partition, other.end)


def _name(chunk: Chunk) -> str:
    """The segment's path is its own: it is never used again for other records."""
    return (chunk.typed_path or "").rpartition(os.sep)[2]


@lru_cache(maxsize=1024)
def _digest(*known: object) -> str:
    return hashlib.sha256(repr(known).encode()).hexdigest()
