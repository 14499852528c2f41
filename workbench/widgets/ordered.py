"""A frame as a person looks through it: searched, filtered, sorted, a window at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import DefinitionError
from workbench.source.display import text
from workbench.source.times import readable


@dataclass(frozen=True)
class Look:
    """How a frame is looked at.

    `search` is text that some column holds, in capitals or not, `where` a condition in SQL
    (`balance > 1000`), `column` what is sorted by.
    """

    search: str = ""
    where: str = ""
    column: str | None = None
    descending: bool = False

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows that are wanted, in order, with `__row`: their number in the frame.

        Raises DefinitionError for a condition that cannot be computed.
        """
        wanted = frame.with_row_index("__row")
        if self.where.strip():
            try:
                wanted = wanted.filter(pl.sql_expr(self.where))
            except PolarsError as error:
                reason = str(error).strip().split("\n", 1)[0]
                raise DefinitionError(
                    f"the condition {self.where!r} cannot be computed: {reason}",
                    hint="write SQL over the columns, for example amount > 100",
                ) from error
        if self.search:
            search = self.search.lower()
            held = [
                _texts(wanted, name).str.to_lowercase().str.contains(search, literal=True)
                for name in frame.columns
            ]
            wanted = wanted.filter(reduce(or_, held).fill_null(False)) if held else wanted
        if self.column in frame.columns:
            wanted = wanted.sort(
                self.column, descending=self.descending, nulls_last=True, maintain_order=True
            )
        return wanted

    def sorted_by(self, column: str) -> Look:
        """Sorted by a column: from its least, asked again from its greatest, then not at all."""
        if self.column != column:
            return replace(self, column=column, descending=False)
        if not self.descending:
            return replace(self, descending=True)
        return replace(self, column=None, descending=False)


def cells(frame: pl.DataFrame) -> list[list[str | None]]:
    """A row per row: what people read, null as null."""
    return [
        [None if value is None else text(value) for value in row]
        for row in readable(frame).iter_rows()
    ]


def columns(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Name of each column, and whether it is of numbers."""
    return [{"name": name, "number": dtype.is_numeric()} for name, dtype in frame.schema.items()]


def _texts(frame: pl.DataFrame, name: str) -> pl.Series:
    column = frame[name]
    if column.dtype == pl.Binary or column.dtype.is_nested():
        return pl.Series(name, [None if v is None else text(v) for v in column], pl.String)
    return column.cast(pl.String)
