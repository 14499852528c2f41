"""What each kind of object shows: a live view where somebody watches, else a picture and tables."""

from __future__ import annotations

from html import escape
from typing import Any

from IPython.display import display

from workbench.monitor import Monitor
from workbench.player import PlayedMonitor, Player
from workbench.widgets import charts, frontend
from workbench.widgets.monitor import MonitorView
from workbench.widgets.player import PlayerView
from workbench.widgets.view import beside, view_of


def monitor(shown: Monitor) -> dict[str, Any]:
    """A monitor; one that is played has the player's controls above it.

    Where nobody can press them, a player that was not moved plays to its end.
    """
    played = shown.player if isinstance(shown, PlayedMonitor) else None
    if not frontend.watched():
        if played is not None and not played.played:
            played.run()
        return charts.monitor_bundle(shown)
    if played is not None:
        display(played)  # type: ignore[no-untyped-call]
    still = charts.monitor_bundle(shown)
    return beside(view_of(shown, MonitorView), still)


def player(shown: Player) -> dict[str, Any]:
    """A player; where nobody can press its buttons, what it is at."""
    still = {"text/plain": repr(shown), "text/html": f"<p>{escape(repr(shown))}</p>"}
    if not frontend.watched():
        return still
    return beside(view_of(shown, PlayerView), still)
