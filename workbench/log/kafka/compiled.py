"""Compiling the loops over records: the first time on a machine, with numba, and kept for later."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import util
from typing import Any

import numpy as np

from workbench.log.kafka import kernels

Array = Any

#: For fewer records than that, importing numba takes longer than not having it.
FEW = 500

INSTALLED = util.find_spec("numba") is not None


def run(name: str, records: int, given: Iterable[Any], out: Iterable[Array]) -> int:
    """Run one of the kernels; it writes into the arrays of `out`."""
    if INSTALLED and records >= FEW:
        result: int = getattr(_compiled(), name)(*given, *out)
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


@lru_cache(maxsize=1)
def _compiled() -> Any:
    """The kernels once more, compiled when they are first called; the result lies in a cache.

    That is beside their file, or in the user's cache folder where this cannot be written.
    """
    import numba

    spec = util.spec_from_file_location(f"{kernels.__name__}_compiled", kernels.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where numba looks for it when it loads its cache
    spec.loader.exec_module(module)
    for name in kernels.NAMES:
        compiled = numba.njit(cache=True, nogil=True, forceinline=name in kernels.INLINED)
        setattr(module, name, compiled(getattr(module, name)))
    return module
