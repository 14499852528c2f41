"""The workshop: what its notebooks `10-…` to `15-…` check answers with."""

from workbench.workshop import auditing, consumers, logs, offsets, replaying, states
from workbench.workshop.verdict import Verdict, check

__all__ = [
    "Verdict",
    "auditing",
    "check",
    "consumers",
    "logs",
    "offsets",
    "replaying",
    "states",
]
