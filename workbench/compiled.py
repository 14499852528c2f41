"""Loops over bytes as machine code: made with numba once on a machine, then only loaded.

To import numba and have it find its feet takes a process a third of a second, in which half a
million records are read; to load the machine code that it made takes some hundredths.  So the code
of each loop is kept as an object file, which LLVM links, and is called as numba's code is called:
with the place of the result, that of an exception, and the arguments, an array as several words.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.private import private_folder, write_private, write_whole

#: Without counted references, as nobody would be there to count them; errors are a matter of
#: arithmetic only, and a division is done as NumPy does it.
_HOW: dict[str, Any] = {
    "error_model": "numpy",
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

INSTALLED = util.find_spec("numba") is not None

#: How long loops may take to be made without a word, in seconds.
SILENT_SECONDS = 2.0

#: By what the one function in an object file goes.
_SYMBOL = "loop"
_HASH_BYTES = hashlib.sha256().digest_size

_made: dict[str, Loops] = {}
#: What is linked is in memory as long as somebody has it.
_linked_in: list[Any] = []
#: Loops that have run, and those of which somebody was told.
_run: set[str] = set()
_told: set[str] = set()
_making = threading.RLock()
_telling = threading.Lock()


def ready(name: str) -> bool:
    """Whether the module of loops of that name has been made for this process.  Thread-safe."""
    return name in _made


def compiled(kernels: ModuleType) -> Any:
    """A module of loops once more, as machine code; each is made when it is first called.

    The module names in `NAMES` its loops, callees first, in `INLINED` what is put where it is
    called, and in `USES` the modules whose loops it calls.  They take whole numbers and arrays,
    make no arrays of their own, raise nothing, and return a whole number or nothing.  What is
    made is kept beside the module's byte code, or in the user's private folder where that cannot
    be written.  Thread-safe; a module is made once.
    """
    with _making:
        if kernels.__name__ not in _made:
            _made[kernels.__name__] = Loops(kernels)
        return _made[kernels.__name__]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Around a call of loops: where the first one takes long, a line on standard error says why.

    The first on a machine compiles them, which takes some ten seconds.  Thread-safe; it is said
    once.
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
                "machine, which takes some seconds",
                file=sys.stderr,
                flush=True,
            )


class Loops:
    """The loops of a module by their names.  Thread-safe."""

    def __init__(self, kernels: ModuleType) -> None:
        self._kernels = kernels
        self._sources = b"".join(map(_source, (kernels, *_uses(kernels))))

    def __getattr__(self, name: str) -> Loop:
        with _making:
            if name not in vars(self):
                if name not in self._kernels.NAMES:
                    raise AttributeError(f"{self._kernels.__name__} has no loop {name!r}")
                setattr(self, name, Loop(self._kernels, name, self._sources))
            loop: Loop = vars(self)[name]
            return loop


class Loop:
    """One loop, in a form for each kind of arguments that it was called with.  Thread-safe."""

    def __init__(self, kernels: ModuleType, name: str, sources: bytes) -> None:
        self._kernels, self._name, self._sources = kernels, name, sources
        self._forms: dict[tuple[str, ...], Callable[..., int]] = {}

    def __call__(self, *given: Any) -> int:
        """Run, while other threads run too; 0 where the loop returns nothing."""
        kinds = tuple([_kind(one) for one in given])
        call = self._forms.get(kinds)
        if call is None:
            with _making:
                call = self._forms.get(kinds) or self._load(kinds)
                self._forms[kinds] = call
        result, failure = ctypes.c_int64(), ctypes.c_void_p()
        passed = [word for one in given for word in _words(one)]
        if call(ctypes.byref(result), ctypes.byref(failure), *passed):
            raise RuntimeError(f"{self._kernels.__name__}.{self._name} failed")
        return result.value

    def _load(self, kinds: tuple[str, ...]) -> Callable[..., int]:
        """The loop as a function, from its object file, which is made where there is none."""
        file = f"{self._kernels.__name__}.{self._name}-{self._digest(kinds)}.o"
        beside = Path(util.cache_from_source(self._kernels.__file__ or "")).parent
        found = _read(beside / file)
        if found is None and (private := private_folder("loops")) is not None:
            found = _read(private / file)
        if found is None:
            found = _object(self._kernels, self._name, kinds)
            content = hashlib.sha256(found).digest() + found
            with suppress(OSError):
                beside.mkdir(parents=True, exist_ok=True)
            if not write_whole(beside / file, content) and private is not None:
                write_private(private / file, content)
        return _linked(found, kinds)

    def _digest(self, kinds: tuple[str, ...]) -> str:
        """Of all that the machine code depends on: what it is made of, of, and for."""
        llvm = _llvm()
        found = hashlib.sha256(self._sources + Path(__file__).read_bytes())
        machine = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
        found.update(repr((kinds, llvm.llvm_version_info, _target().triple, machine)).encode())
        return found.hexdigest()[:24]


def _kind(given: Any) -> str:
    """What the form of a loop depends on: of an array type, dimensions and how it lies."""
    if isinstance(given, int):
        return "int"
    flags = given.flags
    order = "C" if flags.c_contiguous else "A"
    return f"{given.dtype.str}:{given.ndim}:{order}:{'aligned' if flags.aligned else ''}"


def _words(given: Any) -> tuple[int | None, ...]:
    """An argument as numba passes it: of an array its owner, sizes, place, shape and strides."""
    if isinstance(given, int):
        return (given,)
    place = given.__array_interface__["data"][0]
    return (None, None, given.size, given.itemsize, place, *given.shape, *given.strides)


def _signature(kind: str) -> list[Any]:
    """The types of the words."""
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    if kind == "int":
        return [whole]
    dimensions = int(kind.split(":")[1])
    return [pointer, pointer, whole, whole, pointer, *[whole] * (2 * dimensions)]


def _numba() -> Any:
    return import_module("numba")


@cache
def _llvm() -> Any:
    llvm = import_module("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@cache
def _target() -> Any:
    """What makes machine code for the processor at hand."""
    llvm = _llvm()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )


@cache
def _linker() -> Any:
    return _llvm().create_lljit_compiler(_target())


def _linked(code: bytes, kinds: tuple[str, ...]) -> Callable[..., int]:
    """The function in an object file."""
    library = (
        _llvm()
        .JITLibraryBuilder()
        .add_object_img(code)
        .add_current_process()
        .export_symbol(_SYMBOL)
        .link(_linker(), uuid.uuid4().hex)
    )
    words = [word for kind in kinds for word in _signature(kind)]
    form = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *words)
    _linked_in.append(library)
    return form(library[_SYMBOL])


def _object(kernels: ModuleType, name: str, kinds: tuple[str, ...]) -> bytes:
    """Compile a loop for some kinds of arguments: an object file with one function."""
    import numpy as np

    numba = _numba()

    def typed(kind: str) -> Any:
        if kind == "int":
            return numba.types.int64
        dtype, dimensions, order, aligned = kind.split(":")
        of = numba.from_dtype(np.dtype(dtype))
        return numba.types.Array(of, int(dimensions), order, aligned=bool(aligned))

    plain = getattr(_module(kernels), name)
    types = tuple(map(typed, kinds))
    plain.compile(types)
    made = plain.overloads[types]
    returned = numba.types.unliteral(made.signature.return_type)
    if returned not in (numba.types.int64, numba.types.none):
        raise TypeError(f"{kernels.__name__}.{name} returns {returned}")
    module = _llvm().parse_assembly(plain.inspect_llvm(types))
    module.get_function(made.fndesc.mangled_name).name = _SYMBOL
    code: bytes = _target().emit_object(module)
    return code


@cache
def _module(kernels: ModuleType) -> ModuleType:
    """The module once more, its loops as numba has them."""
    spec = util.spec_from_file_location(f"{kernels.__name__}_compiled", kernels.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for used in _uses(kernels):
        for each in used.NAMES:
            setattr(module, each, getattr(_module(used), each))
    for each in kernels.NAMES:
        how = {**_HOW, "forceinline": each in kernels.INLINED}
        setattr(module, each, _numba().njit(**how)(getattr(module, each)))
    return module


def _uses(kernels: ModuleType) -> tuple[ModuleType, ...]:
    return getattr(kernels, "USES", ())


def _source(kernels: ModuleType) -> bytes:
    assert kernels.__file__ is not None
    return Path(kernels.__file__).read_bytes()


def _read(path: Path) -> bytes | None:
    """An object file that was kept, if it is whole."""
    with suppress(OSError):
        found = path.read_bytes()
        if hashlib.sha256(found[_HASH_BYTES:]).digest() == found[:_HASH_BYTES]:
            return found[_HASH_BYTES:]
    return None
