"""No remarks of a kernel on its own end: an IPython extension of the kernels that execute reports.

Who ends a kernel interrupts it first, and one that has just done its last cell may log that as an
error, which cron would mail.
"""

from __future__ import annotations

import logging
from typing import Any

_REMARK = "KeyboardInterrupt caught in kernel"


def load_ipython_extension(shell: Any) -> None:
    """Have the kernel's log leave it out."""
    logging.getLogger("IPKernelApp").addFilter(
        lambda record: not record.getMessage().startswith(_REMARK)
    )
