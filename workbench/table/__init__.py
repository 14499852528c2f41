"""What is true now, or was true then: state by key, as of any position."""

from workbench.table.diff import Diff
from workbench.table.enrich import enrich
from workbench.table.fold import Fold
from workbench.table.reading import Counts
from workbench.table.state import State
from workbench.table.table import Table

__all__ = ["Counts", "Diff", "Fold", "State", "Table", "enrich"]
