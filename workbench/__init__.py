"""Workbench: look at event streams from a notebook.

import workbench as wb

log = wb.sample("bank")                          # or wb.connect("folder"), wb.connect("kafka://…")
log.topics()                                     # what there is
tx = log.stream("transactions")                  # tx.tail(5): the newest records
day = tx.between("2026-11-03", "2026-11-04")     # day.frame(), day.sql("…"), day.completeness()
tx.table(by="account", …)                        # what is true now, or was: .now(), .at("…")
day.trail("A-1042", by="account")                # what happened to one of them
tx.monitor(window="10s", …)                      # what happens now; day.monitor(…) what happened
day.seal("evidence/case-7", purpose="…")         # what anybody can check

`help(wb.connect)`, `help(tx.table)` and so on say more; `workbench lab` opens a tour of it.
"""

import typing as _typing

from workbench import errors, widgets
from workbench.address import Address
from workbench.api.connect import connect, open_slice, report_slice, sample
from workbench.api.group import Group
from workbench.api.live import live
from workbench.api.log import Log
from workbench.api.slice import Slice
from workbench.api.stream import Stream
from workbench.errors import WorkbenchError
from workbench.later import later as _later
from workbench.log.protocol import Producer
from workbench.positions import Position
from workbench.schema import Schema

if _typing.TYPE_CHECKING:
    from workbench import report
    from workbench.api.verifying import verify
    from workbench.evidence.disclose import disclose

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

# What many sessions do not need: imported when it is named.
__getattr__ = _later(
    __name__,
    {
        "disclose": "workbench.evidence.disclose",
        "report": "workbench.report",
        "verify": "workbench.api.verifying",
    },
)
