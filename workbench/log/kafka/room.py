"""Fresh memory for what is received and decoded, in as few pages as the machine allows."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

#: A huge page, as most machines have them.
PAGE = 2 << 20


def room(size: int) -> np.ndarray[Any, Any]:
    """So many bytes (uint8), uninitialised; given back to the machine when nobody refers to them.

    The first touch of each small page costs as much as what is written into it.  Only mappings of
    whole huge pages are aligned to them; malloc's are not.
    """
    if size < PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(size, np.uint8)
    whole = -(-size // PAGE) * PAGE
    # Shared memory, which is what Python maps unless told otherwise, has small pages.
    mapped = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapped.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapped, np.uint8, size)
