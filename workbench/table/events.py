"""The events behind rows: what explains them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import DefinitionError
from workbench.source.keyed import Keyed
from workbench.source.slice import SliceSource
from workbench.source.stream import StreamSource
from workbench.table.definition import HIDDEN
from workbench.table.engine import Engine
from workbench.table.reading import marked

#: The events of so many keys are looked up one by one; those of more are found in one scan.
LOOKED_UP = 16


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

    def of(self, keys: pl.DataFrame, source: SliceSource) -> pl.DataFrame:
        """The events of some keys in a slice of the stream, those of a key together, in order."""
        by = self._engine.by
        firsts = keys.to_series(0).unique()
        if len(firsts) <= LOOKED_UP:
            found = [
                self._keyed.find(source, firsts.slice(i, 1)).lazy() for i in range(len(firsts))
            ]
            records = pl.concat(found) if found else source.lazy(marks=True).clear()
        else:
            records = source.lazy(marks=True)
        dead = pl.col("_tombstone") & self._engine.deletes & pl.col(by[0]).is_not_null()
        return (
            marked(records, self._stream.topics, self.fields)
            .filter(pl.col("_counts") | dead)
            .join(keys.lazy(), on=by, how="semi", nulls_equal=True)
            .collect()
            .sort(*by, *self._engine.order, nulls_last=True)
        )

    def _value(self, name: str, value: Any) -> pl.Series:
        """A part of a key as the column has it."""
        dtype = self._stream.schema[name]
        try:
            return pl.Series(name, [value], dtype=dtype, strict=True)
        except (TypeError, PolarsError) as error:
            raise DefinitionError(f"{value!r} is no {dtype}, which {name!r} is") from error
