"""Compiling loops over bytes: the first time on a machine, with numba, and kept for later."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import util
from types import ModuleType
from typing import Any

_HOW: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

INSTALLED = util.find_spec("numba") is not None


def ready(kernels: ModuleType) -> bool:
    """Whether a module of loops has been made for this process."""
    return _name(kernels) in sys.modules


@lru_cache
def compiled(kernels: ModuleType) -> Any:
    """A module of loops once more, compiled when they are first called; the result lies in a cache.

    That is beside its file, or in the user's cache folder where this cannot be written.  The module
    names in `NAMES` what is compiled, callees first, in `INLINED` what is put where it is called,
    and in `USES` the modules whose loops it calls.  Where `COUNTED` is False, references to arrays
    are not counted, which takes most of the time of short loops; they may then make no view of one.
    A cache is as old as the file it lies beside: who changes a module that others use empties
    `__pycache__`.
    """
    import numba

    spec = util.spec_from_file_location(_name(kernels), kernels.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where numba looks for it when it loads its cache
    spec.loader.exec_module(module)
    for used in getattr(module, "USES", ()):
        for name in used.NAMES:
            setattr(module, name, getattr(compiled(used), name))
    how = dict(_HOW) if getattr(kernels, "COUNTED", True) else {**_HOW, "_nrt": False}
    for name in kernels.NAMES:
        made = numba.njit(**how, forceinline=name in kernels.INLINED)
        setattr(module, name, made(getattr(module, name)))
    return module


def _name(kernels: ModuleType) -> str:
    return f"{kernels.__name__}_compiled"
