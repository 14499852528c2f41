"""What each kind of object shows: a live view where somebody watches, else a picture and tables."""

from __future__ import annotations

from html import escape
from typing import Any

from IPython.display import display

from workbench.monitor import Monitor
from workbench.player import PlayedMonitor, PlayedTable, PlayedTrail, Player
from workbench.table import State, Table
from workbench.trail import Trail
from workbench.widgets import charts, frontend, topics
from workbench.widgets.monitor import MonitorView
from workbench.widgets.player import PlayerView
from workbench.widgets.shown import beside, shown_elsewhere, view_of
from workbench.widgets.table import TableView
from workbench.widgets.trail import TrailView


def monitor(shown: Monitor) -> dict[str, Any]:
    """A monitor; one that is played has its player above it, unless another cell shows that.

    Where nobody can press them, a player that was not moved plays to its end.
    """
    played = shown.player if isinstance(shown, PlayedMonitor) else None
    if not frontend.watched():
        if played is not None and not played.played:
            played.run()
        return charts.monitor_bundle(shown)
    if played is not None and not shown_elsewhere(played):
        display(played)  # type: ignore[no-untyped-call]
    return beside(view_of(shown, MonitorView), lambda: charts.monitor_bundle(shown))


def player(shown: Player) -> dict[str, Any]:
    """A player; where nobody can press its buttons, what it is at."""
    if not frontend.watched():
        return charts.player_bundle(shown)
    return beside(view_of(shown, PlayerView), lambda: charts.player_bundle(shown))


def trail(shown: Trail | PlayedTrail) -> dict[str, Any]:
    """A trail, or the part of it that is played."""

    def still() -> dict[str, str]:
        if isinstance(shown, Trail):
            return charts.trail_bundle(shown)
        html = charts.trail_bundle(shown.trail, shown.position)["text/html"]
        told = repr(shown)
        played = escape(told.split("\n", 1)[0])
        return {"text/plain": told, "text/html": f"<p>{played}</p>{html}"}

    return beside(view_of(shown, TrailView), still) if frontend.watched() else still()


def table(shown: Table | PlayedTable) -> dict[str, Any]:
    """A table as it is now, or as of where its player is."""
    look, moment = (
        (shown.now, shown.end)
        if isinstance(shown, Table)
        else (lambda: shown.state, lambda: shown.position)
    )
    if not frontend.watched():
        return _of_state(look())
    view = view_of(shown, lambda _: TableView(look, moment=moment, explain=shown.explain))
    return beside(view, lambda: _of_state(look()))


def state(shown: State) -> dict[str, Any]:
    """A table at one moment."""
    if not frontend.watched():
        return _of_state(shown)
    view = view_of(shown, lambda _: TableView(lambda: shown, explain=shown.explain))
    return beside(view, lambda: _of_state(shown))


def log(shown: Any) -> dict[str, Any]:
    """A log."""

    def still() -> dict[str, str]:
        return {"text/plain": repr(shown), "text/html": topics.still(shown)}

    return beside(view_of(shown, topics.TopicsView), still) if frontend.watched() else still()


def _of_state(shown: State) -> dict[str, str]:
    return {"text/plain": repr(shown), "text/html": shown._repr_html_()}
