"""The command `workbench`: the same words as in a notebook, for the shell."""

from workbench.cli import care, doctor, look, notebooks, reports, write
from workbench.cli.app import app, main

__all__ = ["app", "care", "doctor", "look", "main", "notebooks", "reports", "write"]
