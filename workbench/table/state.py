"""A table at one moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from workbench.address import Address
from workbench.positions import Position
from workbench.source.display import bundle, html_block, html_table
from workbench.table.reading import Counts
from workbench.words import counted


@dataclass(frozen=True, eq=False, repr=False)
class State:
    """A table at one moment.  Immutable; safe to share between threads.

    Attributes
    ----------
    frame
        A row per key: the `by` columns, then the aggregates; sorted by key, nulls last.
    position
        Per partition, the next offset that is not in it.
    newest
        The latest timestamp (UTC) of the records in it; None where none has one.
    counts
        What it was made from: records, late, undecodable, null keys, tombstones.
    address
        The slice it was made from.
    as_of
        Which question it answers, in words.
    by
        The key columns.
    """

    frame: pl.DataFrame
    position: Position
    newest: datetime | None
    counts: Counts
    address: Address
    as_of: str
    by: tuple[str, ...]
    _explain: Callable[[Any], pl.DataFrame]

    def explain(self, key: Any) -> pl.DataFrame:
        """The events that made a row, with the row after each: `Table.explain` at its position.

        Raises DefinitionError for a state by record time, and as `Table.explain` does.
        """
        return self._explain(key)

    @property
    def title(self) -> str:
        """One line: rows, key, moment, position."""
        position = self.position.describe()
        at = "" if position in self.as_of else f", at {position}"
        rows = counted(self.frame.height, "row")
        return f"State of {rows} by {', '.join(self.by)}, as of {self.as_of}{at}"

    @property
    def made_from(self) -> str:
        """One line: how many records, of which late and so on, and how new."""
        newest = (
            "" if self.newest is None else f", the newest of {self.newest:%Y-%m-%d %H:%M:%S} UTC"
        )
        return f"{self.counts}{newest}"

    def to_parquet(self, path: str | Path, **options: Any) -> None:
        """Write the frame as Parquet; options are those of `pl.DataFrame.write_parquet`."""
        self.frame.write_parquet(path, **options)

    def to_database(self, table: str, connection: Any, **options: Any) -> int:
        """Write the frame to a database; all is as in `pl.DataFrame.write_database`.

        It needs what Polars needs for that: the drivers of ADBC or SQLAlchemy, and pyarrow or
        pandas.
        """
        return self.frame.write_database(table, connection, **options)

    def __repr__(self) -> str:
        return f"{self.title}\n{self.made_from}\n{self.frame}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle("state", self, State._repr_html_)

    def _repr_html_(self) -> str:
        return html_block(self.title, [html_table(self.frame, caption=self.made_from)])
