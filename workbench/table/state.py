"""A table at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from workbench.address import Address
from workbench.positions import Position
from workbench.source.display import bundle, html_block, html_table
from workbench.table.reading import Counts


@dataclass(frozen=True, eq=False, repr=False)
class State:
    """A table at one moment.  Immutable; safe to share between threads.

    Attributes
    ----------
    frame
        A row per key: the `by` columns, then the aggregates; sorted by key, nulls last.
    position
        Per partition, the next offset that is not in it.
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
    counts: Counts
    address: Address
    as_of: str
    by: tuple[str, ...]

    @property
    def title(self) -> str:
        """One line: rows, key, moment."""
        return f"State of {self.frame.height:,} rows by {', '.join(self.by)}, as of {self.as_of}"

    def __repr__(self) -> str:
        return f"{self.title}\n{self.counts}\n{self.frame}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle("state", self, State._repr_html_)

    def _repr_html_(self) -> str:
        return html_block(self.title, [html_table(self.frame, caption=str(self.counts))])
