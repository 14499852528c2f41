"""What each kind of object shows: a live view where somebody watches, else a picture and tables."""

from __future__ import annotations

from typing import Any

from workbench.widgets import charts, frontend
from workbench.widgets.view import beside, view_of


def monitor(shown: Any) -> dict[str, Any]:
    """A monitor."""
    still = charts.monitor_bundle(shown)
    if not frontend.watched():
        return still
    from workbench.widgets.monitor import MonitorView

    return beside(view_of(shown, MonitorView), still)
