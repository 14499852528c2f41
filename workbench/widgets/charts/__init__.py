"""Charts of monitors and trails, and their static form.  Only the views import Altair."""

from workbench.widgets.charts.base import StaticChart, picture, to_svg
from workbench.widgets.charts.monitor import monitor_bundle, monitor_chart
from workbench.widgets.charts.player import player_bundle
from workbench.widgets.charts.trail import trail_bundle, trail_chart

__all__ = [
    "StaticChart",
    "monitor_bundle",
    "monitor_chart",
    "picture",
    "player_bundle",
    "to_svg",
    "trail_bundle",
    "trail_chart",
]
