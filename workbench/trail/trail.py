"""The trail of one entity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import DefinitionError, did_you_mean
from workbench.positions import Position
from workbench.records import COORDINATES
from workbench.source import display
from workbench.source.event_time import time_column
from workbench.source.export import flat, harmless, writing
from workbench.source.slice import SliceSource
from workbench.trail.rows import before_and_after, last_known, of_table
from workbench.trail.scan import LATE, TIME, TOMBSTONE, scan
from workbench.trail.show import as_html, describe, page

#: What a trail adds to the columns of its slice; a payload field of such a name is `value_<name>`.
ADDED = ("late", "duplicate_of", "before", "after", "changed")


class Rows(Protocol):
    """A table, as far as a trail asks it."""

    @property
    def by(self) -> tuple[str, ...]:
        """The key columns."""

    def trace(self, key: Any, at: Position) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The events of a key up to a position, in order, and its row after each of them."""


class Trail:
    """Every event of one entity in a slice, with what each changed, and what may be missing.

    Making a trail reads the slice twice, in bounded memory: for the events, and for the ledger.
    What it found is then held.  Immutable; safe to share between threads.

    Parameters
    ----------
    source
        The slice.
    entity
        The value that names the entity, such as an account's number.
    by
        The column that holds it.
    duplicates_by
        A column with a business id.  Of the events that share one, all but the first (by topic,
        partition, offset) are marked as duplicates; none is dropped.
    time
        The column whose time orders the events: by default the stream's event time if it names
        one, else the record's `timestamp`.
    table
        A table by the same column, as of the slice's end: `before` and `after` are then its rows
        before and after each event, counted from the table's start and not from the slice's;
        nulls for an event that is not in the table.  By default the row is the last known value
        of each payload field; a null leaves what was known, a tombstone (where `by` is the key)
        clears it.
    actor
        The column, or columns, that say who did it, such as `"booked_by"`: shown beside the
        times, and counted by `actors()`.

    Attributes
    ----------
    counts
        How many records are about the entity (`match`), about something else (`no_match`), or
        did not decode, so that it cannot be known (`error`).
    undecodable
        The latter (the first thousand): `topic`, `partition`, `offset`, `timestamp`, `key`,
        `decode_error`.  Where `by` is the key, every record tells whether it is a match.
    late, duplicates
        The events of `frame()` that are marked so.  An event is late when an earlier offset of its
        partition has a later time, whatever that record is about; `time` says which time.
    gaps
        The missing offsets of the slice: `topic`, `partition`, `start`, `end`, `reason`.
    completeness
        The slice's ledger; its statement says "complete" only where records and explained gaps
        are exactly the range.

    Raises
    ------
    DefinitionError
        For a column that is not there, an entity that its type cannot hold, or a table by
        another key.
    """

    def __init__(
        self,
        source: SliceSource,
        entity: Any,
        *,
        by: str = "key",
        duplicates_by: str | None = None,
        time: str | None = None,
        table: Rows | None = None,
        actor: str | Sequence[str] = (),
    ) -> None:
        schema = source.schema
        if not isinstance(actor, str | Sequence):
            raise DefinitionError(f"actor= names columns, not {actor!r}", hint='actor="booked_by"')
        self.actor = (actor,) if isinstance(actor, str) else tuple(actor)
        optional = [name for name in (duplicates_by, time) if name is not None]
        for name in (by, *optional, *self.actor):
            if not isinstance(name, str):
                raise DefinitionError(f"a column has a name, not {name!r}", hint='by="account"')
            if name not in schema:
                raise DefinitionError(f"no column {name!r}", hint=did_you_mean(name, schema))
        if table is not None and not hasattr(table, "trace"):
            raise DefinitionError(
                f"table= is a table, not {table!r}", hint="stream.table(by=…) makes one"
            )
        if table is not None and table.by != (by,):
            raise DefinitionError(
                f"the table is by {', '.join(table.by)}, the trail by {by}",
                hint="give a table by the same column",
            )
        self.source = source
        self.entity = entity
        self.by = by
        self.time = time_column(source.address.decoding, schema, time)
        self.has_rows = table is not None
        found = scan(source, _literal(entity, by, schema[by]), by, self.time)
        self.counts = found.counts
        self.undecodable = found.undecodable
        history = None if table is None else table.trace(entity, source.end)
        self._frame = _frame(found.events, _fields(schema, by), duplicates_by, history)
        self.late = self._frame.filter("late")
        self.duplicates = self._frame.filter(pl.col("duplicate_of").is_not_null())
        self.completeness = source.ledger()
        self.gaps = self.completeness.gap_frame()

    def frame(self) -> pl.DataFrame:
        """A row per event, in display order: time, topic, partition, offset.

        Columns: those of the slice, then `late` (Boolean: an earlier offset of its partition has
        a later time), `duplicate_of` (String: the place `topic partition:offset` of the first
        event with its business id, or null), `before` and `after` (Struct: the entity's row; null
        before the first event), `changed` (List of String: the fields that differ).  A payload
        field with one of these names is called `value_<name>`.

        There is no order across partitions; within one, the offsets are authoritative.
        """
        return self._frame

    def actors(self) -> pl.DataFrame:
        """A row per actor, in the order in which they first acted.

        Columns: those of `actor`, `events` (UInt32), `first` and `last` (the times of their first
        and last event).  Raises DefinitionError where the trail has not been told the actor.
        """
        if not self.actor:
            raise DefinitionError("no actor is named", hint='trail(…, actor="booked_by")')
        names = {name: f"value_{name}" if name in ADDED else name for name in self.actor}
        time = pl.col(f"value_{self.time}" if self.time in ADDED else self.time)
        who = [pl.col(column).alias(name) for name, column in names.items()]
        return self._frame.group_by(who, maintain_order=True).agg(
            events=pl.len(), first=time.min(), last=time.max()
        )

    def to_csv(self, path: str | Path) -> None:
        """Write `frame()` as CSV for spreadsheets, nothing lost.

        Times are RFC 3339, bytes Base64, lists and rows JSON in which integers beyond 2^53 are
        text.  An apostrophe stands before text that a spreadsheet would take for a formula (or
        that begins with one), and before numbers that it would round.
        """
        with writing(path) as file:
            harmless(flat(self._frame)).write_csv(file)

    def to_parquet(self, path: str | Path) -> None:
        """Write `frame()` as Parquet, types and all."""
        with writing(path) as file:
            self._frame.write_parquet(file)

    def to_html(self, path: str | Path) -> None:
        """Write one page for printing (A4, landscape): every event, every value whole.

        What is known of the clocks, of missing offsets and of records that did not decode is
        there too.
        """
        with writing(path) as file:
            file.write_text(page(self), encoding="utf-8")

    def chart(self) -> Any:
        """The events on a time line as an `altair.Chart`; late ones and duplicates are marked."""
        return display.chart("trail chart", self)

    def __repr__(self) -> str:
        return describe(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return display.bundle("trail", self, as_html)


def _literal(entity: object, by: str, dtype: pl.DataType) -> pl.Expr:
    """The entity as a value of the column.  Raises DefinitionError where that changes it."""
    try:
        given = pl.Series([entity])
        value = given.cast(dtype)
        # A number that the column would round names another entity.
        exact = pl.Float64() if dtype.is_numeric() else dtype
        rounded = dtype.is_float() and type(entity) is int and value[0] != entity
        if entity is None or rounded or value.cast(exact)[0] != given.cast(exact)[0]:
            raise TypeError("it would become another value")
    except (PolarsError, TypeError) as error:
        raise DefinitionError(
            f"{entity!r} cannot be in column {by!r}, which is {dtype}",
            hint="name the entity as the column holds it",
        ) from error
    return pl.lit(value[0], dtype)


def _fields(schema: pl.Schema, by: str) -> list[str]:
    """The payload fields that make the entity's row."""
    return [name for name in schema if name not in (*COORDINATES, "decode_error", by)]


def _frame(
    events: pl.DataFrame,
    fields: list[str],
    duplicates_by: str | None,
    history: tuple[pl.DataFrame, pl.DataFrame] | None,
) -> pl.DataFrame:
    place = pl.format("{} {}:{}", pl.col("topic").cast(pl.String), "partition", "offset")
    id_ = pl.lit(None) if duplicates_by is None else pl.col(duplicates_by)
    ordered = (
        events.sort("topic", "partition", "offset")
        .with_columns(__place=place, __id=id_)
        .with_columns(__first=pl.col("__place").first().over("__id"))
        .sort(TIME, "topic", "partition", "offset", nulls_last=True)
    )
    again = pl.col("__id").is_not_null() & (pl.col("__first") != pl.col("__place"))
    plain = ordered.select(events.columns).drop(TIME, LATE)
    if history is None:
        sides = before_and_after(last_known(plain, fields, TOMBSTONE), plain.height)
    else:
        sides = of_table(plain, *history)
    plain = plain.drop(TOMBSTONE)
    marks = ordered.select(
        pl.col(LATE).alias("late"), pl.when(again).then("__first").alias("duplicate_of")
    )
    renamed = {name: f"value_{name}" for name in ADDED if name in plain.columns}
    return plain.rename(renamed).hstack(marks).hstack(sides)
