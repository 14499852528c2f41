"""The embedded log: a folder, SQLite for the newest records, Parquet for the rest."""

from workbench.log.embedded.log import EmbeddedLog

__all__ = ["EmbeddedLog"]
