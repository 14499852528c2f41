"""Running the loops over records, compiled where that pays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from workbench.compiled import INSTALLED, compiled
from workbench.log.kafka import kernels

Array = Any

#: A call for fewer records takes longer than going through them in Python.
FEW = 20
#: So many are gone through in Python sooner than the loops are loaded: what a process reads in
#: small reads, all together, or one read that is to come.
WORTH_LOADING = 50_000
#: How many records each loop would have gone through before it was loaded.
_seen = dict.fromkeys(kernels.NAMES, 0)


def expect(records: int) -> None:
    """Be told of at most so many records that are to be read, before the first of them."""
    if records >= WORTH_LOADING:
        _seen.update(dict.fromkeys(kernels.READING, WORTH_LOADING))


def _worth(name: str, records: int) -> bool:
    """Whether these records, on top of those before them, are worth a loop."""
    if not INSTALLED:
        return False
    if not getattr(compiled(kernels), name).ready:
        _seen[name] += records  # threads may miss each other's, which puts it off a little
        if _seen[name] < WORTH_LOADING:
            return False
    return records >= FEW


def run(name: str, records: int, given: Iterable[Any], out: Iterable[Array]) -> int:
    """Run one of the kernels; it writes into the arrays of `out`."""
    if _worth(name, records):
        result: int = getattr(compiled(kernels), name)(*given, *out)
        return result
    # Plain Python is several times faster on lists than on arrays, and on memory than on either.
    arrays = list(out)
    filled = [_plain(array) for array in arrays]
    result = getattr(kernels, name)(*map(_plain, given), *filled)
    for array, plain in zip(arrays, filled, strict=True):
        if isinstance(plain, list):
            array[:] = plain
    return result


def _plain(given: Any) -> Any:
    if not isinstance(given, np.ndarray):
        return given
    return given.data if given.dtype == np.uint8 else given.tolist()
