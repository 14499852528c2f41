"""What happened: every event of one entity, and what each of them changed."""

from workbench.trail.trail import RowsAfter, Trail

__all__ = ["RowsAfter", "Trail"]
