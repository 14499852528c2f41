"""Current state: what is true now, or was true at any moment, and which events made it so."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import polars as pl
from polars.exceptions import PolarsError

from workbench.address import TimeFilter
from workbench.errors import (
    DefinitionError,
    InvalidRange,
    Truncated,
)
from workbench.positions import Position
from workbench.source.display import bundle
from workbench.source.slice import SliceSource, callers_level
from workbench.source.stream import StreamSource
from workbench.source.times import When, from_ms, to_ms
from workbench.table.aggregation import Aggregation
from workbench.table.definition import HIDDEN, check_by, check_fields, define
from workbench.table.diff import Diff, compare
from workbench.table.engine import Engine, Held
from workbench.table.events import Events
from workbench.table.moments import AS_OF, AsOf, Moments
from workbench.table.parts import Parts
from workbench.table.reading import NO_TIME, Counts, Tally, batches, scan
from workbench.table.snapshots import Snapshots
from workbench.table.state import State


class Table:
    """Current state by key, now or as of any moment.

    It is a function of the records: `at(p)` folds those before `p` in each partition, from a
    start that is pinned when the table is made.  Nothing is read until a method asks.
    Thread-safe.

    Parameters
    ----------
    stream
        Where the records come from.
    by
        A column, several, or `"key"` for the record key.  A null is a key of its own.
    aggregates
        Name to Polars expression, of the form `finalise(aggregate(row-wise [.filter(…)]))`:
        sum, len, count, min, max, mean, var, std, first, last and n_unique (which is exact, and
        keeps every distinct value in memory), and any row-wise function of these.  Nulls are
        treated as Polars' `group_by` does.  `first` and `last` go by (timestamp, topic,
        partition, offset).  Integers and Decimals are exact; a sum that leaves its type raises.
        Floats agree within rounding, whatever the order of reading.  Counts and sums of
        integers are Int64 (of UInt64: UInt64).  None with `by="key"` gives the last record of
        each key, coordinates and fields.
    start
        Where the records begin; default the start of the log, now.

    Raises
    ------
    DefinitionError
        For columns that are not there, and for what cannot be merged from parts.

    Notes
    -----
    A record that did not decode never aggregates.  A tombstone (a null value) aggregates
    nowhere.  With `by="key"` it ends its key's row: what the key has before the tombstone, in
    the order above, is gone, from whatever partition and whenever it is read; later records
    begin anew.

    An answer goes on from the nearest one before it: those of this table in memory, and those of
    earlier ones as snapshots in the user's private cache folder.  `WORKBENCH_CACHE` names another
    folder, or is `off`; `WORKBENCH_CACHE_MB` bounds it.  Without them answers are the same, and
    take longer.

    A table whose keys outgrow the memory goes on in temporary files, below `TMPDIR` where that is
    set, with a part of the keys at a time; nothing of it is kept as a snapshot.
    """

    def __init__(
        self,
        stream: StreamSource,
        *,
        by: str | Sequence[str],
        aggregates: Mapping[str, pl.Expr] | None = None,
        start: Position | None = None,
    ) -> None:
        schema = stream.schema
        names = check_by(by, schema)
        if not aggregates:
            if names != ("key",):
                raise DefinitionError(
                    "a table needs aggregates, as balance=pl.col('amount').sum()",
                    hint='without any, by="key" gives the last record of each key',
                )
            columns = [name for name in schema if name not in HIDDEN and name != "key"]
            aggregates = {name: pl.col(name).last() for name in columns}
        self._aggregates = tuple(aggregates)
        engine = Aggregation(define(names, aggregates, schema), schema)
        written = {n: json.loads(e.meta.serialize(format="json")) for n, e in aggregates.items()}
        self._bind(stream, engine, start, {"by": names, "aggregates": written})

    def _bind(
        self,
        stream: StreamSource,
        engine: Engine,
        start: Position | None,
        definition: Mapping[str, Any] | None,
    ) -> None:
        """Set up; `definition` says what the engine does, where that can be said."""
        check_fields(stream.schema)
        self._stream, self._engine = stream, engine
        self._moments = Moments(stream, start)
        self._events = Events(stream, engine)
        self._told_of_truncations = False
        begin = self._moments.start
        self._snapshots = Snapshots(
            engine,
            None
            if definition is None
            else {
                "definition": definition,
                "topics": stream.topics,
                "of": replace(stream.slice(begin, begin).address, hint="").to_dict(),
            },
            self._moments.witness,
        )

    @property
    def start(self) -> Position:
        """Where the records begin; pinned when the table was made."""
        return self._moments.start

    @property
    def by(self) -> tuple[str, ...]:
        """The key columns."""
        return tuple(self._engine.by)

    @property
    def key_schema(self) -> pl.Schema:
        """The key columns and their types."""
        return pl.Schema({name: self._stream.schema[name] for name in self.by})

    def now(self) -> State:
        """The table of all records up to now.  Raises as `at` does, but for compacted topics.

        Of a compacted topic it is the table of what has survived, and says so.
        """
        end = self._moments.position("now")
        return self._state(self._read(end, follows=True), "now", Counts())

    def at(self, when: When, *, as_of: AsOf = "cut") -> State:
        """The table as of a moment.

        Parameters
        ----------
        when
            A time (ISO text, datetime, a duration back), `{partition: offset}`, a `Position`
            such as a consumer group's, `"earliest"` or `"now"`.  Partitions that a position does
            not name count as not read.
        as_of
            What a time means.  `"cut"`: the position cut at that time, so per partition the
            records before the first one stamped at or after it; `counts.late_arrivals` says how
            many records stamped before the time came after the cut.  `"record"`: every record
            stamped before the time, wherever it lies, which may scan to the end of the log.
            `"latest surviving"`: as `"cut"`, over what compaction has left.

        Raises
        ------
        OffsetOutOfRange
            When records of the table have expired, and no snapshot of what they came to is
            left; the message says what is left.  Where there is one, `as_of` of the State says
            so.
        CompactedTopic
            When a topic is compacted and `as_of` is not `"latest surviving"`.
        InvalidRange
            When `when` is not understood, or no time where one is needed.
        DefinitionError
            When a value cannot be computed, as a sum that leaves its type.
        ReadLimitExceeded
            When even the finished rows outgrow the memory that is free, or a `fold` does.
        """
        self._moments.check_as_of(as_of, AS_OF)
        instant = self._moments.instant(when)
        if as_of == "record":
            if instant is None:
                raise InvalidRange('as_of="record" needs a time', hint=f"{when!r} is a position")
            times = TimeFilter(end_ms=to_ms(instant))
            end = self._moments.position("now")
            before = self._read(self._moments.position(instant))
            # What lies before the cut is stamped before the time, if it is stamped at all.
            since = None if before.tally.unstamped else before
            held = self._fold(since or self._nothing(end), end, times)
            return self._state(
                held, f"{self._moments.text(instant)}, by record time", Counts(), times
            )
        position = self._moments.position(when if instant is None else instant)
        held = self._read(position)
        if instant is None:
            return self._state(held, position.describe(), Counts())
        text = f"{self._moments.text(instant)}, the cut at {position.describe()}"
        return self._state(held, text, self._moments.late_arrivals(instant, position))

    def diff(self, a: When, b: When, *, as_of: Literal["cut", "latest surviving"] = "cut") -> Diff:
        """The rows added, removed and changed from `a` to `b`, old and new.

        Both are folded from what they have in common, so a row that no record between them
        touched is the same to the last bit.  Raises as `at` does.
        """
        self._moments.check_as_of(as_of, ("cut", "latest surviving"))
        ends = [self._moments.position(self._moments.instant(when) or when) for when in (a, b)]
        common = self._read(Position({tp: min(ends[0][tp], ends[1][tp]) for tp in ends[0]}))
        old, new = (self._state(self._fold(common, end), end.describe(), Counts()) for end in ends)
        return compare(old, new)

    def explain(self, key: Any, at: When = "now") -> pl.DataFrame:
        """The events that made a row, or several, with the row after each.

        Parameters
        ----------
        key
            The row's key; a tuple or a dict where `by` names several columns.  Or a filter over
            the rows, as `pl.col("balance") < 0`: all rows of that moment that it keeps.
        at
            The moment whose row is meant, as in `at`.

        Returns
        -------
        pl.DataFrame
            A row per event in the order (timestamp, topic, partition, offset), of a fold in
            that of its partition; of several rows, those of one key together.  The columns are
            the coordinates, the fields, with `by="key"` a Boolean `tombstone`, then
            `after_<name>` of each aggregate, null after a tombstone.  Empty for a key that has
            no events.

        Raises
        ------
        ReadLimitExceeded
            When these are more events than the connection's `max_read`.

        And as `at` does.
        """
        events, after = self.trace(key, at)
        marks = ["tombstone"] if self._engine.deletes else []
        return (
            events.rename({"_tombstone": "tombstone"})
            .select(*self._events.fields, *marks)
            .hstack(after.rename(lambda name: f"after_{name}"))
        )

    def history(self, key: Any, at: When = "now") -> pl.DataFrame:
        """The row after each of its events: coordinates, key, aggregates.  See `explain`."""
        events, after = self.trace(key, at)
        columns = dict.fromkeys(["topic", "partition", "offset", "timestamp", *self.by])
        return events.select(name for name in columns if name not in after.columns).hstack(after)

    def trace(self, key: Any, at: When = "now") -> tuple[pl.DataFrame, pl.DataFrame]:
        """What `explain` is made of: the events of a key in order, and its row after each."""
        if at not in ("now", "latest") or isinstance(at, Mapping):
            self._moments.check_compaction('at="now" explains by the records that are left')
        end = self._moments.position(self._moments.instant(at) or at)
        keys = self._kept(key, end) if isinstance(key, pl.Expr) else self._events.keys(key)
        events = self._behind(keys, end, whole=True)
        return events, self._engine.trace(events)

    def changes(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of some keys after each of their events: `by` columns, `_at`, aggregates.

        A row per event in the order (key, timestamp, topic, partition, offset); `_at` (Int64) is
        in milliseconds.  Null aggregates after a tombstone.
        """
        self._moments.check_compaction('as_of="now" meets the rows of the records that are left')
        end = self._moments.position("now")
        events = self._behind(keys, end, whole=False)
        after = self._engine.trace(events)
        stamped = events.select(*self.by, "_at").hstack(after)
        # The rows of a fold follow partitions; what is asked is what was true by time.
        return stamped.sort("_at", maintain_order=True)

    def end(self) -> Position:
        """Where the records end now: another position than before means that `now` may differ."""
        return self._moments.position("now")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle("table", self)

    def __repr__(self) -> str:
        return (
            f"Table of {', '.join(self._stream.topics)} by {', '.join(self.by)}: "
            f"{', '.join(self._aggregates)}; from {self.start.describe()}"
        )

    def _kept(self, where: pl.Expr, end: Position) -> pl.DataFrame:
        """The keys of the rows at a position that a filter keeps."""
        rows = self._engine.finalise(self._read(end).state)
        try:
            return rows.filter(where).select(self.by)
        except PolarsError as error:
            raise DefinitionError(
                f"{where} is no filter over the rows: {str(error).splitlines()[0]}",
                hint=f"their columns are {', '.join(rows.columns)}",
            ) from error

    def _behind(self, keys: pl.DataFrame, end: Position, *, whole: bool) -> pl.DataFrame:
        """The events of some keys before a position, those of a key together and in order."""
        source = self._slice(self._moments.starts(end), end)
        events, truncations = self._events.of(keys, source, whole=whole)
        self._tell_of_truncations(truncations)
        return events

    def _read(self, end: Position, *, follows: bool = False) -> Held:
        """The state at a position: from the nearest snapshot, with what came after it."""
        # What compaction leaves of a topic changes, and with it what is true of a position.
        if self._moments.compacted:
            return self._fold(self._nothing(end), end)
        held = self._snapshots.nearest(end)
        if held is None or self._moments.expired(held.position, end):
            held = self._nothing(end)
        # A partition that was added since is read from its first record.
        begin = self._moments.pinned(end)
        held = replace(held, position=Position({**begin, **held.position}))
        while held.position != end:
            stop = self._moments.toward(held.position, end, self._snapshots.step(held))
            began, before = time.process_time(), held.tally.counts.records
            held = self._fold(held, stop)
            spent, fresh = time.process_time() - began, held.tally.counts.records - before
            self._snapshots.keep(held, fresh, spent, follows=follows)
        return held

    def _nothing(self, end: Position) -> Held:
        return Held(self._engine.empty(), Tally(), self._moments.starts(end))

    def _fold(self, held: Held, end: Position, times: TimeFilter | None = None) -> Held:
        """The state at a later position: what is held, and the records in between."""
        engine, topics = self._engine, self._stream.topics
        parts = Parts(self._slice(held.position, end, times), topics, engine, held.tally)

        def reread(keys: pl.DataFrame) -> Iterator[pl.DataFrame]:
            whole = scan(self._slice(self._moments.starts(end), end, times), topics, engine.columns)
            return batches(whole.join(keys.lazy(), on=engine.by, how="semi"))

        state = engine.fold(held.state, parts, reread)
        return Held(state, parts.tally, end)

    def _tell_of_truncations(self, number: int) -> None:
        """Warn, once, that rows are here which their source has no longer."""
        if number and not self._told_of_truncations:
            self._told_of_truncations = True
            warnings.warn(
                Truncated(
                    f"{', '.join(self._stream.topics)}: the source emptied its table {number} "
                    "time(s); a truncation names no key, so the rows from before it are still here",
                    "pl.col('op') == 't' finds them; a table with a start= after the last "
                    "has what came later",
                ),
                stacklevel=callers_level(),
            )

    def _slice(
        self, start: Position, end: Position, times: TimeFilter | None = None
    ) -> SliceSource:
        return self._stream.slice(start, end, times=times)

    def _state(
        self, held: Held, as_of: str, late: Counts, times: TimeFilter | None = None
    ) -> State:
        counts = held.tally.counts.with_arrivals(late)
        self._tell_of_truncations(counts.truncations)
        begin = self._moments.pinned(held.position)
        gone = self._moments.expired(begin, held.position)
        expired = ", from a snapshot: older records have expired" if gone else ""
        newest = max(held.tally.newest.values(), default=NO_TIME)

        def explain(key: Any) -> pl.DataFrame:
            if times is not None:
                raise DefinitionError(
                    "a state by record time is not explained: its records are no prefix of the log",
                    hint="explain a state as of the cut",
                )
            return self.explain(key, held.position)

        return State(
            frame=self._engine.finalise(held.state),
            position=held.position,
            newest=None if newest == NO_TIME else from_ms(newest),
            counts=counts,
            address=self._slice(begin, held.position, times).address,
            as_of=self._moments.reservation + as_of + expired,
            by=self.by,
            _explain=explain,
        )
