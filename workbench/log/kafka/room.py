"""Fresh memory for what is received and decoded, made ready in one go where the machine can."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np

#: From this size on memory comes from the system, not from malloc.
LARGE = 2 << 20

_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, since Linux 5.14

# Python's own madvise keeps all other threads waiting until the pages are there.
_advise = ctypes.CDLL(None).madvise if sys.platform == "linux" else None
if _advise is not None:
    _advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


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
    made = np.frombuffer(mapped, np.uint8, size)
    if filled and _advise is not None:
        # Fails with an older kernel: the pages come when they are touched.
        _advise(made.ctypes.data, size, _POPULATE_WRITE)
    return made
