"""Fresh memory for what is received and decoded, made ready in one go where the machine can."""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress
from typing import Any

import numpy as np

#: From this size on memory comes from the system, not from malloc.
LARGE = 2 << 20

_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, since Linux 5.14


def room(size: int, *, filled: bool = True) -> np.ndarray[Any, Any]:
    """So many bytes (uint8), uninitialised; given back to the machine when nobody refers to them.

    The first touch of each page takes as long as what is written into it.  Made together, pages
    take half of that.  Huge pages would take less where they are at hand; but a virtual machine
    that gives its free memory back gives back just these, and fetches them again at five times
    the cost.  What may not be `filled` is made page by page, as it is touched.
    """
    if size < LARGE or sys.platform == "win32":
        return np.empty(size, np.uint8)
    # Shared memory, which is what Python maps unless told otherwise, is made more slowly.
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if filled and sys.platform == "linux":
        with suppress(OSError):  # an older kernel: the pages come when they are touched
            mapped.madvise(_POPULATE_WRITE)
    return np.frombuffer(mapped, np.uint8, size)
