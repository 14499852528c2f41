"""The events behind rows: what explains them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import DefinitionError, ReadLimitExceeded
from workbench.source.keyed import Keyed
from workbench.source.slice import FEW_KEYS, SliceSource
from workbench.source.stream import StreamSource
from workbench.table.definition import HIDDEN
from workbench.table.engine import Engine
from workbench.table.reading import TRUNCATIONS, is_changes, marked


class Events:
    """The events of a table's keys, with all their fields.  Thread-safe."""

    def __init__(self, stream: StreamSource, engine: Engine) -> None:
        self._stream, self._engine = stream, engine
        self._keyed = Keyed(engine.by[0])

    @property
    def fields(self) -> list[str]:
        """The columns that people see."""
        return [name for name in self._stream.schema if name not in HIDDEN]

    def keys(self, key: Any) -> pl.DataFrame:
        """A key as somebody writes it, as a frame of one row.  Raises DefinitionError."""
        by = self._engine.by
        if isinstance(key, Mapping):
            values = dict(key)
        else:
            parts = key if isinstance(key, tuple) and len(by) > 1 else (key,)
            fits = len(parts) == len(by)
            values = dict(zip(by, parts, strict=True)) if fits else {}
        if values.keys() != set(by):
            raise DefinitionError(f"{key!r} is no key by {', '.join(by)}")
        return pl.DataFrame([self._value(name, values[name]) for name in by])

    def of(
        self, keys: pl.DataFrame, source: SliceSource, *, whole: bool
    ) -> tuple[pl.DataFrame, int]:
        """The events of some keys in a slice of the stream, those of a key together, in order.

        `whole` is with all fields, and of no more events than `max_read`: else ReadLimitExceeded.
        And how many truncations are among the slice's records: these are of all keys.
        """
        by, engine = self._engine.by, self._engine
        changes = is_changes(source)
        records, most, exact = self._records(keys, source, changes)
        dead = pl.col("_tombstone") & engine.deletes & pl.col(by[0]).is_not_null()
        fields = self.fields if whole else [*by, *engine.columns, "offset"]
        events = marked(records, self._stream.topics, fields).filter(pl.col("_counts") | dead)
        if not exact:
            events = events.join(keys.lazy(), on=by, how="semi", nulls_equal=True)
        if whole:
            self._check(events, most)
        ordered = events.sort(*by, *engine.order, nulls_last=True)
        if not changes:
            return ordered.collect(), 0
        found, number = pl.collect_all([ordered, records.select(TRUNCATIONS)])
        return found, number.item()

    def _check(self, events: pl.LazyFrame, at_most: int) -> None:
        """Raise ReadLimitExceeded for more events than may be read; they are counted if need be."""
        most = self._stream.max_read
        if most is None or at_most <= most:
            return
        number = events.select(pl.len()).collect().item()
        if number > most:
            raise ReadLimitExceeded(
                f"{number:,} events made these rows, max_read is {most:,}",
                hint="ask for fewer rows, or for an earlier moment",
            )

    def _records(
        self, keys: pl.DataFrame, source: SliceSource, changes: bool
    ) -> tuple[pl.LazyFrame, int, bool]:
        """At least the records of some keys; how many at most; and whether they are just those."""
        wanted = keys.to_series(0).unique()
        if wanted.is_empty():
            return source.lazy(marks=True).clear(), 0, True
        if len(wanted) > FEW_KEYS:
            return source.lazy(marks=True), source.address.most_records, False
        if changes:  # a truncation is of no row, so it has none of its columns, and no key
            wanted = wanted.extend_constant(None, 1)
        found = self._keyed.find(source, wanted)
        return found.lazy(), found.height, keys.width == 1 and not changes

    def _value(self, name: str, value: Any) -> pl.Series:
        """A part of a key as the column has it."""
        dtype = self._stream.schema[name]
        try:
            return pl.Series(name, [value], dtype=dtype, strict=True)
        except (TypeError, PolarsError) as error:
            raise DefinitionError(f"{value!r} is no {dtype}, which {name!r} is") from error
