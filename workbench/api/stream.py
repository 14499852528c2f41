"""Stream: one or several topics of a log, as a person types on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from workbench.api.slice import Slice
from workbench.errors import DefinitionError
from workbench.monitor import Monitor
from workbench.positions import Position
from workbench.records import Lateness
from workbench.source import peek
from workbench.source.display import html_table
from workbench.source.follow import follow
from workbench.source.stream import StreamSource
from workbench.source.times import When, parse_duration
from workbench.table import Fold, Table


class Stream:
    """Topics of one log and how their records become columns.

    Made by `log.stream(…)`.  Nothing is read until a method asks; a topic without a declared
    schema has one inferred from a sample then, and pinned.  Thread-safe.
    """

    def __init__(self, source: StreamSource) -> None:
        self._source = source

    @property
    def source(self) -> StreamSource:
        """What consumers are given: this stream without its face."""
        return self._source

    @property
    def schema(self) -> pl.Schema:
        """Columns and types of the decoded frame."""
        return self._source.schema

    @property
    def decided(self) -> dict[str, str]:
        """By topic what its records are decoded as, and why: one sentence each."""
        return self._source.decided

    def tail(self, n: int = 20, *, raw: bool = False) -> pl.DataFrame:
        """The `n` newest records; reads only the ends of the partitions."""
        return peek.tail(self._source, n, raw=raw)

    def sample(self, n: int = 10_000, *, raw: bool = False) -> pl.DataFrame:
        """About `n` records in runs spread evenly over the offsets; the same ones each time."""
        return peek.sample(self._source, n, raw=raw)

    def all(self) -> Slice:
        """Everything up to now, pinned."""
        return self.between("earliest", "now")

    def between(self, start: When, end: When = "now", *, late: str | None = None) -> Slice:
        """The slice from `start` to `end`.

        Parameters
        ----------
        start, end
            ISO times (naive ones in the connection's `tz`), datetimes, durations back (`"-1h"`:
            from now on a live log, from the last record on a recording), `"earliest"`, `"now"`,
            `{partition: offset}`, or a `Position`.  Two times keep the records stamped in
            `[start, end)`, late ones too; offsets cut there and filter nothing.
        late
            How far beyond the end of a time range to look for late records on a log that keeps
            no index of times; `"all"` reads to the pinned end.  Has no effect on the embedded
            log, where time ranges are exact.

        Raises
        ------
        InvalidRange
            When the range is empty or reversed, or a bound is not understood.
        """
        late_ms: Lateness
        if late is None or late == "all":
            late_ms = None if late is None else "all"
        else:
            late_ms = parse_duration(late)
        return Slice(self._source.between(start, end, late_ms=late_ms), tz=self._source.tz)

    def position(self, when: When) -> Position:
        """The position that `when` names: a time is the position cut at that time."""
        return self._source.resolve(when)

    def table(
        self,
        by: str | list[str],
        *,
        start: When = "earliest",
        **aggregates: pl.Expr,
    ) -> Table:
        """Current state, now or at any moment: see `Table`.

        `by` names fields, or `"key"` for the record key; each aggregate is a Polars expression of
        the form `finalise(aggregate(row-wise))`.  Without aggregates and with `by="key"`, the
        last record per key; a tombstone deletes.
        """
        return Table(self._source, by=by, aggregates=aggregates, start=self._begin(start))

    def fold(
        self,
        by: str | list[str],
        step: Callable[[Any, dict[str, Any]], Any],
        *,
        initial: Any,
        version: str | None = None,
        merge: Callable[[Any, Any], Any] | None = None,
        start: When = "earliest",
    ) -> Fold:
        """State by any Python function `step(state, record) -> state`: see `Fold`."""
        return Fold(
            self._source,
            by=by,
            step=step,
            initial=initial,
            version=version,
            merge=merge,
            start=self._begin(start),
        )

    def enrich(self, table: Table, *, on: str | list[str], as_of: When = "record") -> pl.DataFrame:
        """All records up to now, each with a table's row: see `Slice.enrich`."""
        return self.all().enrich(table, on=on, as_of=as_of)

    def monitor(self, *, window: str, every: str | None = None, **definition: Any) -> Monitor:
        """Windowed metrics and alerts over what comes.

        `by` is a column or columns to group by in each window, `alerts` maps names to conditions on
        the rows, `late` says how far times may step back, `on_late` what becomes of late records,
        `time` which column decides, `idle` when a quiet partition holds nothing open.  Every other
        name is a metric, a Polars expression: `volume=pl.col("amount").sum()`.  All of it:
        `help(workbench.monitor.Monitor)`.
        """
        return Monitor(self._source, window=window, every=every, **definition)

    def follow(
        self,
        group: str | None = None,
        *,
        start: When = "earliest",
        until: When | None = None,
        timeout: float | str | None = None,
        join_existing: bool | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield new records as they come, a frame at a time.

        Parameters
        ----------
        group
            A durable consumer: its position is committed when the loop body has finished and asks
            for the next batch.  After `break`, an error or a crash in the body that batch comes
            again.  Several processes of one group share the partitions.
        start
            Where to begin where the group has no position yet.
        until
            Stop there; by default never.  Partitions that it does not name are not read.
        timeout
            Stop when nothing came for this long: seconds, or `"30s"`.
        join_existing
            By default a group of this user is joined, and on a cluster one that others use or have
            committed is refused (GroupInUse).  True joins that too; False wants a group that
            nobody uses or has committed.
        """
        if group is not None and not group.strip():
            raise DefinitionError("a group needs a name")
        return follow(
            self._source,
            self._source.resolve(start),
            group=group,
            until=None if until is None else self._stop(until),
            timeout=parse_duration(timeout) / 1000 if isinstance(timeout, str) else timeout,
            join_existing=join_existing,
        )

    def _begin(self, start: When | pl.Expr) -> Position:
        """Where a table begins."""
        if isinstance(start, pl.Expr):
            raise DefinitionError(
                f"start={start} is no moment: start= says where the records begin",
                hint="give the aggregate another name, as first=",
            )
        return self._source.resolve(start)

    def _stop(self, until: When) -> Position:
        """Where to stop in each partition: before its first record where `until` does not say."""
        return Position({**dict.fromkeys(self._source.end(), 0), **self._source.resolve(until)})

    def __repr__(self) -> str:
        topics = ", ".join(self._source.topics)
        return f"Stream {topics} in {self._source.backend.hint}"

    def _repr_html_(self) -> str:
        schema = self.schema
        fields = pl.DataFrame({"column": schema.names(), "type": map(str, schema.dtypes())})
        return html_table(fields, caption=repr(self), rows=fields.height)


def schemas_by_topic(schema: Any, topics: tuple[str, ...]) -> Mapping[str, Any]:
    """`schema=` as given: one for all topics, or one per topic."""
    if schema is None:
        return {}
    if (
        isinstance(schema, Mapping)
        and set(schema) <= set(topics)
        and all(isinstance(one, Mapping) for one in schema.values())
    ):
        return schema
    return dict.fromkeys(topics, schema)
