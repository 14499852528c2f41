"""A table's rows: sorted, filtered and searched here, seen a window at a time there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl

from workbench.errors import WorkbenchError
from workbench.positions import Position
from workbench.source.display import text
from workbench.table import State
from workbench.widgets.ordered import Look, cells, columns
from workbench.widgets.view import View, rest_s

#: How many rows a page may ask for at a time, and how many events explain a row at most.
MOST_ROWS = 400
MOST_EVENTS = 500

#: A table that follows its stream is computed again at most this often, and this share of the time.
AGAIN_S = 0.25
SHARE = 0.1


class TableView(View):
    """The live view of a state: its rows, and the events behind one of them.

    Parameters
    ----------
    state
        Gives the state to show.
    moment
        Gives something that differs when the state may; None for a state that stays.
    explain
        Gives the events behind a key, where they can be asked for.
    """

    entry: ClassVar[str] = "table.js"
    latest: ClassVar[frozenset[str]] = frozenset({"rows", "look"})

    def __init__(
        self,
        state: Callable[[], State],
        *,
        moment: Callable[[], Position] | None = None,
        explain: Callable[[dict[str, Any]], pl.DataFrame] | None = None,
    ) -> None:
        self._ask, self._moment, self._explain = state, moment, explain
        self._look = Look()
        self._held: State | None = None
        self._before: State | None = None
        self._moments = 0
        self._at: Position | None = None
        self._wanted = pl.DataFrame()
        self._first, self._count = 0, 60
        self._due_s = 0.0
        super().__init__("Table")

    def picture(self) -> Mapping[str, Any]:
        state = self._refresh()
        return {
            "columns": columns(state.frame),
            "by": list(state.by),
            "explains": self._explain is not None,
            "search": self._look.search,
            "where": self._look.where,
            **self._shown(),
        }

    def news(self) -> Mapping[str, Any] | None:
        now_s = time.monotonic()
        if self._moment is None or now_s < self._due_s or self._moment() == self._at:
            return None
        self._refresh()
        done_s = time.monotonic()
        self._due_s = done_s + rest_s(done_s - now_s, SHARE, AGAIN_S)
        return {**self._shown(), "flash": True}

    def act(self, command: str, details: Mapping[str, Any]) -> None:
        match command:
            case "rows":
                self._first = max(int(details["first"]), 0)
                self._count = min(max(int(details["count"]), 1), MOST_ROWS)
            case "sort":
                self._look = self._look.sorted_by(details["column"])
                self._order()
            case "look":
                look = replace(self._look, search=details["search"], where=details["where"])
                if self._held is not None:
                    look.of(self._held.frame.clear())  # a condition that cannot be changes nothing
                self._look = look
                self._order()
                self._first = 0
            case "explain":
                self._tell_why(int(details["row"]), of=int(details["moment"]))
                return
        self.answer(self._shown())

    def _refresh(self) -> State:
        self._at = None if self._moment is None else self._moment()
        self._before, self._held = self._held, self._ask()
        self._moments += 1
        self._order()
        return self._held

    def _order(self) -> None:
        if self._held is not None:
            self._wanted = self._look.of(self._held.frame)

    def _shown(self) -> dict[str, Any]:
        state = self._held
        assert state is not None
        window = self._wanted.slice(self._first, self._count)
        return {
            "first": self._first,
            "height": self._wanted.height,
            "total": state.frame.height,
            "moment": self._moments,
            "rows": cells(window.drop("__row")),
            "numbers": window["__row"].to_list(),
            "sorted": self._look.column,
            "descending": self._look.descending,
            "as_of": text(state.as_of),
            "position": text(state.position.describe()),
            "counts": text(state.made_from),
        }

    def _tell_why(self, row: int, *, of: int) -> None:
        """The events of a row of the state that the page shows, which may just have changed."""
        state = {self._moments: self._held, self._moments - 1: self._before}.get(of)
        if self._explain is None:
            return
        if state is None:
            raise WorkbenchError("the rows have changed meanwhile; click again")
        key = dict(zip(state.by, state.frame.select(state.by).row(row), strict=True))
        events = self._explain(key)
        shown = events.tail(MOST_EVENTS)
        self.answer(
            {
                "why": {
                    "key": ", ".join(f"{name} {text(value)}" for name, value in key.items()),
                    "total": events.height,
                    "columns": columns(shown),
                    "rows": cells(shown),
                }
            }
        )
