"""What a player drives: a monitor, a table, a trail, each as of the player's position."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from workbench.monitor import Monitor
from workbench.positions import Position
from workbench.source.display import Shown, bundle
from workbench.source.slice import SliceSource
from workbench.table import State, Table
from workbench.trail import Trail

if TYPE_CHECKING:
    from workbench.player.player import Player


#: What only the player calls.
_FOLLOWS = frozenset({"arrive", "feed", "rewind"})


class Driven(Protocol):
    """What follows a player.  Called by one thread at a time."""

    def rewind(self) -> None:
        """Back to before the first record."""

    def feed(self, batch: pl.DataFrame) -> None:
        """More records, each partition in ascending offsets."""

    def arrive(self, position: Position, *, finished: bool) -> None:
        """All records before the position, and none after it, have been fed."""


class PlayedMonitor(Monitor):
    """A monitor of what its player has played so far.  Safe to share between threads."""

    _inner = Monitor._inner | _FOLLOWS

    def __init__(self, player: Player, source: SliceSource, **definition: Any) -> None:
        super().__init__(source, **definition)
        self.player = player
        self._given = definition

    def rewind(self) -> None:
        """Back to before the first record."""
        with self._lock:
            self._engine = Monitor(self.source, **self._given)._engine
            self._finished = False

    def arrive(self, position: Position, *, finished: bool) -> None:
        """At the end of the slice every window closes."""
        if finished:
            self.finish()

    def _rows(self, *, with_open: bool = False) -> pl.DataFrame:
        """The engine's rows: the slice is read by the player."""
        with self._lock:
            return self._engine.rows(with_open=with_open)


class PlayedTable(Shown):
    """A table as of its player's position.  Safe to share between threads.

    Going back costs no more than going forward: both ask `table.at`, once somebody looks.
    """

    _inner = _FOLLOWS

    def __init__(self, player: Player, table: Table) -> None:
        self.player = player
        self.table = table
        self._lock = threading.Lock()
        self._position = player.position
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The table at the position.  Raises as `table.at` does."""
        with self._lock:
            position, state = self._position, self._state
        if state is None:
            state = self.table.at(position)
            with self._lock:
                if self._position == position:
                    self._state = state
        return state

    @property
    def position(self) -> Position:
        """Per partition the next offset."""
        with self._lock:
            return self._position

    def rewind(self) -> None:
        """Nothing is held of what was fed."""

    def feed(self, batch: pl.DataFrame) -> None:
        """The table reads for itself."""

    def arrive(self, position: Position, *, finished: bool) -> None:
        """The next look is at this position."""
        with self._lock:
            if position != self._position:
                self._position, self._state = position, None

    def explain(self, key: Any) -> pl.DataFrame:
        """The events that made a row, up to the position."""
        return self.table.explain(key, at=self.position)

    def __repr__(self) -> str:
        return repr(self.state)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle("table", self)


class PlayedTrail(Shown):
    """The part of a trail that its player has played.  Safe to share between threads."""

    _inner = _FOLLOWS

    def __init__(self, player: Player, trail: Trail) -> None:
        self.player = player
        self.trail = trail
        self.position = player.position

    def frame(self) -> pl.DataFrame:
        """The events before the position, with the columns of `Trail.frame`."""
        ends = pl.DataFrame(
            [(*tp, offset) for tp, offset in self.position.items()],
            schema={"topic": pl.String, "partition": pl.Int32, "__end": pl.Int64},
            orient="row",
        )
        events = self.trail.frame()
        known = events.select(pl.col("topic").cast(pl.String), "partition", "offset")
        played = known.join(ends, on=["topic", "partition"], how="left", maintain_order="left")
        return events.filter((played["offset"] < played["__end"]).fill_null(False))

    def rewind(self) -> None:
        """Nothing is held of what was fed."""

    def feed(self, batch: pl.DataFrame) -> None:
        """The trail was read when it was made."""

    def arrive(self, position: Position, *, finished: bool) -> None:
        """The events before the position count."""
        self.position = position

    def __repr__(self) -> str:
        total = self.trail.frame().height
        return f"{self.frame().height:,} of {total:,} events played\n{self.trail!r}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle("trail", self)
