"""Workbench: look at event streams from a notebook."""
