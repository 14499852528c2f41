"""The embedded log: a folder, SQLite for the newest records, Parquet for the rest."""

from workbench.log.embedded.catalog import Durability
from workbench.log.embedded.log import EmbeddedLog
from workbench.log.embedded.verify import VerifyReport

__all__ = ["Durability", "EmbeddedLog", "VerifyReport"]
