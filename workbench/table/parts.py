"""A slice read for an engine part by part, counted on the way.

Of a long slice the segments that say of themselves what there is to count are not looked at for
it: their records go to the engine as a plan, of which Polars reads the columns that are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from workbench.log.facts import Facts, told
from workbench.records import Chunk
from workbench.source.columns import is_stored
from workbench.source.pieces import joined
from workbench.source.progress import progress
from workbench.source.slice import SliceSource
from workbench.table.engine import Engine
from workbench.table.reading import NO_TIME, Tally, batches, is_changes, lane, marked, scan

#: Of fewer records than this, to look at them costs less than to ask segments about them.
LEAST_ROWS = 50_000

#: How many records go to the engine as one plan: it takes memory by their keys, not by them.
PLAN_ROWS = 4_000_000


class Parts:
    """The records of a slice, in order.  For one reader.

    `tally` is that of the records handed out so far.
    """

    def __init__(
        self, source: SliceSource, topics: Sequence[str], engine: Engine, tally: Tally
    ) -> None:
        self._source, self._topics, self._engine = source, topics, engine
        self.tally = tally
        self._changes = is_changes(source)
        self._columns = [*engine.columns, *(["op"] if self._changes else [])]

    def __iter__(self) -> Iterator[pl.DataFrame | pl.LazyFrame]:
        most = self._source.address.most_records
        with progress(most, "records") as bar:
            for part, rows in self._parts(most):
                bar.update(rows)
                yield part

    def _parts(self, most: int) -> Iterator[tuple[pl.DataFrame | pl.LazyFrame, int]]:
        address, engine = self._source.address, self._engine
        if not engine.takes_plans or most <= LEAST_ROWS or address.filtered:
            records = scan(self._source, self._topics, self._columns)
            yield from self._looked_at(records, most)
            return
        pending: list[Chunk] = []
        plan: list[Chunk] = []
        for chunk in self._source.chunks():
            facts = self._facts(chunk)
            if facts is not None and pending:  # are its records later than those?
                yield from self._pending(pending)
                pending = []
            newest = self.tally.newest.get(self._lane(chunk), NO_TIME)
            if facts is None or facts.first_ms < newest:
                pending.append(chunk)
                continue
            self.tally = self.tally.add_told(facts.rows, self._lane(chunk), facts.last_ms)
            plan.append(chunk)
            if sum(c.rows or 0 for c in plan) >= PLAN_ROWS:
                yield self._plan(plan)
                plan = []
        yield from self._pending(pending)
        if plan:
            yield self._plan(plan)

    def _facts(self, chunk: Chunk) -> Facts | None:
        """What a whole segment says of itself, if with that there is nothing left to count."""
        if chunk.typed_path is None or not is_stored(chunk, self._source.address.decoding):
            return None
        facts = told(chunk.typed_path)
        if facts is None or facts.rows != chunk.rows or set(facts.nulls) & set(self._engine.by):
            return None
        return facts

    def _plan(self, chunks: list[Chunk]) -> tuple[pl.LazyFrame, int]:
        frames = [self._source.decode(chunk, marks=True) for chunk in chunks]
        columns = dict.fromkeys(self._engine.columns)
        records = pl.concat(frames, how="diagonal").select(*columns, _counts=pl.lit(True))
        return records, sum(chunk.rows or 0 for chunk in chunks)

    def _pending(self, chunks: list[Chunk]) -> Iterator[tuple[pl.DataFrame, int]]:
        if chunks:
            frames = [self._source.decode(chunk, marks=True) for chunk in joined(chunks)]
            whole = pl.concat(frames, how="diagonal")
            most = sum(chunk.end - chunk.start for chunk in chunks)
            yield from self._looked_at(marked(whole, self._topics, self._columns), most)

    def _looked_at(self, records: pl.LazyFrame, most: int) -> Iterator[tuple[pl.DataFrame, int]]:
        for frame in batches(records, most, by_lane=self._engine.by_lane):
            self.tally = self.tally.add(frame, self._engine.by, changes=self._changes)
            yield frame, frame.height

    def _lane(self, chunk: Chunk) -> int:
        return lane(self._topics, chunk.topic, chunk.partition)
