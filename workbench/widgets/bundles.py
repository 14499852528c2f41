"""What each kind of object shows: a live view where somebody watches, else a picture and tables."""

from __future__ import annotations

from html import escape
from typing import Any

from IPython.display import display

from workbench.monitor import Monitor
from workbench.player import PlayedMonitor, PlayedTable, PlayedTrail, Player
from workbench.table import State, Table
from workbench.trail import Trail
from workbench.widgets import charts, frontend
from workbench.widgets.monitor import MonitorView
from workbench.widgets.player import PlayerView
from workbench.widgets.shown import beside, shown_elsewhere, view_of
from workbench.widgets.table import TableView
from workbench.widgets.topics import TopicsView
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
    still = charts.monitor_bundle(shown)
    return beside(view_of(shown, MonitorView), still)


def player(shown: Player) -> dict[str, Any]:
    """A player; where nobody can press its buttons, what it is at."""
    still = {"text/plain": repr(shown), "text/html": f"<p>{escape(repr(shown))}</p>"}
    if not frontend.watched():
        return still
    return beside(view_of(shown, PlayerView), still)


def trail(shown: Trail | PlayedTrail) -> dict[str, Any]:
    """A trail, or the part of it that is played."""
    played = shown if isinstance(shown, PlayedTrail) else None
    still = charts.trail_bundle(shown.trail if isinstance(shown, PlayedTrail) else shown)
    if played is not None:
        still["text/plain"] = repr(played)
    return still if not frontend.watched() else beside(view_of(shown, TrailView), still)


def table(shown: Table | PlayedTable) -> dict[str, Any]:
    """A table as it is now, or as of where its player is."""
    look, moment = (
        (shown.now, shown.end)
        if isinstance(shown, Table)
        else (lambda: shown.state, lambda: shown.position)
    )
    first = look()
    still = {"text/plain": repr(first), "text/html": first._repr_html_()}
    if not frontend.watched():
        return still
    view = view_of(shown, lambda _: TableView(look, moment=moment, explain=shown.explain))
    return beside(view, still)


def state(shown: State) -> dict[str, Any]:
    """A table at one moment."""
    still = {"text/plain": repr(shown), "text/html": shown._repr_html_()}
    if not frontend.watched():
        return still
    return beside(view_of(shown, lambda _: TableView(lambda: shown)), still)


def log(shown: Any) -> dict[str, Any]:
    """A log."""
    still = {"text/plain": repr(shown), "text/html": shown._repr_html_()}
    return still if not frontend.watched() else beside(view_of(shown, TopicsView), still)
