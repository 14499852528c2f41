"""How consumers show themselves: fills the registry of `workbench.source.display`.

Importing this is cheap; what draws is imported when something is first shown.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from workbench.source import display


def _register(kind: str, module: str, name: str) -> None:
    def show(shown: Any) -> Any:
        return getattr(import_module(module), name)(shown)

    display.register(kind, show)


_register("monitor", "workbench.widgets.bundles", "monitor")
_register("monitor chart", "workbench.widgets.charts", "monitor_chart")
_register("player", "workbench.widgets.bundles", "player")
_register("trail", "workbench.widgets.bundles", "trail")
_register("table", "workbench.widgets.bundles", "table")
_register("state", "workbench.widgets.bundles", "state")
_register("log", "workbench.widgets.bundles", "log")
_register("trail chart", "workbench.widgets.charts", "trail_chart")
