"""Compiling loops over bytes: the first time on a machine, with numba, and kept for later."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

_HOW: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

INSTALLED = util.find_spec("numba") is not None

#: How long loops may take to be made without a word, in seconds.
SILENT_SECONDS = 2.0

_made: dict[str, Any] = {}
#: Loops that have run, and those of which somebody was told.
_run: set[str] = set()
_told: set[str] = set()
_making = threading.RLock()
_telling = threading.Lock()


def ready(name: str) -> bool:
    """Whether the module of loops of that name has been made for this process.  Thread-safe."""
    return name in _made


def compiled(kernels: ModuleType) -> Any:
    """A module of loops once more, compiled when they are first called; the result lies in a cache.

    That is beside its file, or in the user's cache folder where this cannot be written.  The module
    names in `NAMES` what is compiled, callees first, in `INLINED` what is put where it is called,
    and in `USES` the modules whose loops it calls.  Where `COUNTED` is False, references to arrays
    are not counted, which takes most of the time of short loops; they may then make no view of one.
    Thread-safe; a module is made once.
    """
    with _making:
        if kernels.__name__ not in _made:
            _made[kernels.__name__] = _make(kernels)
        return _made[kernels.__name__]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Around a call of loops: where the first one takes long, a line on standard error says why.

    The first on a machine compiles them, which takes some ten seconds; the first of a process
    loads them, which on a busy machine can take as long.  Thread-safe; it is said once.
    """
    if what in _run:
        yield
        return
    timer = threading.Timer(SILENT_SECONDS, _tell, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    _run.add(what)


def _tell(what: str) -> None:
    with _telling:
        if what not in _told:
            _told.add(what)
            print(
                f"workbench: making ready the loops that {what}: they are compiled once on this "
                "machine and loaded once in a process, which takes some seconds",
                file=sys.stderr,
                flush=True,
            )


def _make(kernels: ModuleType) -> Any:
    import numba

    how = dict(_HOW) if getattr(kernels, "COUNTED", True) else {**_HOW, "_nrt": False}
    # numba names what it keeps by file and function, and looks at the time of that file alone; what
    # it makes depends on the files that are called, too, and on how it was asked.
    digest = _digest(kernels, how)
    name = f"{kernels.__name__}_compiled"
    spec = util.spec_from_file_location(name, kernels.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # where numba looks for it when it loads its cache
    spec.loader.exec_module(module)
    for used in _uses(kernels):
        for each in used.NAMES:
            setattr(module, each, getattr(compiled(used), each))
    for each in kernels.NAMES:
        plain = getattr(module, each)
        plain.__qualname__ = f"{each}_{digest}"
        setattr(module, each, numba.njit(**how, forceinline=each in kernels.INLINED)(plain))
    return module


def _uses(kernels: ModuleType) -> tuple[ModuleType, ...]:
    return getattr(kernels, "USES", ())


def _digest(kernels: ModuleType, how: dict[str, Any]) -> str:
    found = hashlib.sha256(repr(how).encode())
    for module in (kernels, *_uses(kernels)):
        assert module.__file__ is not None
        found.update(Path(module.__file__).read_bytes())
    return found.hexdigest()[:12]
