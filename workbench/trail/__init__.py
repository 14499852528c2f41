"""What happened: every event of one entity, and what each of them changed."""

from workbench.trail.trail import Trail

__all__ = ["Trail"]
