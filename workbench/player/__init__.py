"""Playing a slice again: one position that drives monitors, tables and trails together."""

from workbench.player.driven import PlayedMonitor, PlayedTable, PlayedTrail
from workbench.player.player import Player

__all__ = ["PlayedMonitor", "PlayedTable", "PlayedTrail", "Player"]
