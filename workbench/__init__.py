"""Workbench: look at event streams from a notebook.

import workbench as wb

log = wb.sample("bank")
tx = log.stream("transactions")
day = tx.between("2026-11-03", "2026-11-04")
day.frame()
"""

from workbench import errors, report, widgets
from workbench.address import Address
from workbench.api.connect import connect, open_slice, report_slice, sample, verify
from workbench.api.group import Group
from workbench.api.live import live
from workbench.api.log import Log
from workbench.api.slice import Slice
from workbench.api.stream import Stream
from workbench.errors import WorkbenchError
from workbench.evidence.disclose import disclose
from workbench.log.protocol import Producer
from workbench.positions import Position
from workbench.schema import Schema

__all__ = [
    "Address",
    "Group",
    "Log",
    "Position",
    "Producer",
    "Schema",
    "Slice",
    "Stream",
    "WorkbenchError",
    "connect",
    "disclose",
    "errors",
    "live",
    "open_slice",
    "report",
    "report_slice",
    "sample",
    "verify",
    "widgets",
]

# What `wb.<Tab>` and `dir(wb)` list: the names above, and not the rooms that they come from.
__dir__ = __all__.copy
