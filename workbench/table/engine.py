"""What a table needs of the engine that makes its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import polars as pl

from workbench.positions import Position
from workbench.table.reading import Tally


class Engine(Protocol):
    """What makes rows from records.  `Held` below is what it makes on the way."""

    by: list[str]
    columns: Sequence[str]
    deletes: bool
    order: tuple[str, ...]
    #: Whether it is quicker with records of one partition at a time.
    by_lane: bool
    #: Whether `fold` takes plans, where there is nothing to be known of single records.
    takes_plans: bool

    def empty(self) -> Any:
        """The state of nothing."""

    def fold(self, state: Any, frames: Iterable[Any], reread: Any) -> Any:
        """The state with more records; the state given stays as it is.

        Records come as frames; where `takes_plans`, those that all count also as LazyFrames.
        """

    def finalise(self, state: Any) -> pl.DataFrame:
        """The table."""

    def trace(self, events: pl.DataFrame) -> pl.DataFrame:
        """The row after each event; the events of a key follow each other, in order."""

    def pack(self, state: Any) -> pl.DataFrame | None:
        """The state as a frame that Parquet can hold; None where it cannot."""

    def unpack(self, frame: pl.DataFrame) -> Any:
        """The state that `pack` made the frame of.  Raises ValueError for another frame."""

    def size(self, state: Any) -> tuple[int, int]:
        """How many rows a state has, and about how many bytes."""


@dataclass(frozen=True, eq=False)
class Held:
    """An engine's state, its counts, and the position they are at."""

    state: Any
    tally: Tally
    position: Position

    @cached_property
    def distance(self) -> int:
        """How many offsets are before its position."""
        return sum(self.position.values())
