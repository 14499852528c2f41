"""Running the loops over records, compiled where that pays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from workbench.compiled import INSTALLED, compiled, told
from workbench.log.kafka import kernels

Array = Any

#: For fewer records than that, importing numba takes longer than not having it.
FEW = 500


def run(name: str, records: int, given: Iterable[Any], out: Iterable[Array]) -> int:
    """Run one of the kernels; it writes into the arrays of `out`."""
    if INSTALLED and records >= FEW:
        with told(f"{name.partition('_')[0]} Kafka's records"):
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
