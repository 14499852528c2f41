"""Loops over bytes as machine code: made with numba once on a machine, then only loaded.

To import numba and have it find its feet takes a process a third of a second, in which half a
million records are read; to load the machine code that it made takes some hundredths.  So the code
of each loop is kept as an object file, which LLVM links, and is called as numba's code is called:
with the place of the result, that of an exception, and the arguments, an array as several words.
"""

from __future__ import annotations

import ctypes
import hashlib
import operator
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module, metadata, util
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

_LEAVE_PYTHON = os.environ.get("NUMBA_DISABLE_JIT") not in (None, "", "0")
#: Whether loops can be made: numba is there, and is not told to leave Python as it is.
INSTALLED = util.find_spec("numba") is not None and not _LEAVE_PYTHON

#: How long loops may take to be made without a word, in seconds.
SILENT_SECONDS = 2.0

#: By what the one function in an object file goes.
_SYMBOL = "loop"
_HASH_BYTES = hashlib.sha256().digest_size
_LARGEST = 1 << 63

_made: dict[str, Loops] = {}
#: What is linked is in memory as long as somebody has it.
_linked_in: list[Any] = []
#: What somebody was told of.
_told: set[str] = set()
_making = threading.Lock()
_compiling = threading.Lock()
_telling = threading.Lock()


def _unlock() -> None:
    """In a child whose parent's threads held locks."""
    global _making, _compiling, _telling
    _making, _compiling, _telling = threading.Lock(), threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def ready(name: str) -> bool:
    """Whether the module of loops of that name has been made for this process.  Thread-safe."""
    return name in _made


def compiled(kernels: ModuleType) -> Any:
    """A module of loops once more, as machine code; each is made when it is first called.

    The module names in `NAMES` its loops, callees first, in `INLINED` what is put where it is
    called, in `USES` the modules whose loops or constants it uses, in `INSTEAD` what is compiled in
    the place of a function that Python runs, and in `PURPOSE` what it is all for.  Loops take whole
    numbers and arrays, make no arrays of their own, write to no array that is read-only, raise
    nothing, and return a whole number or nothing.  What is made is kept beside the module's byte
    code, or in the user's private folder where that cannot be written.  Thread-safe; a module is
    made once.
    """
    found = _made.get(kernels.__name__)
    if found is None:
        with _making:
            found = _made.setdefault(kernels.__name__, Loops(kernels))
    return found


@contextmanager
def told(what: str) -> Iterator[None]:
    """While loops are compiled: where that takes long, a line on standard error says why.

    Thread-safe; it is said once.
    """
    timer = threading.Timer(SILENT_SECONDS, _tell, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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
        self._loops: dict[str, Loop] = {}

    def __getattr__(self, name: str) -> Loop:
        if name not in self._kernels.NAMES:
            raise AttributeError(f"{self._kernels.__name__} has no loop {name!r}")
        found = self._loops.get(name)
        return found or self._loops.setdefault(name, Loop(self._kernels, name))


class Loop:
    """One loop, in a form for each kind of arguments that it was called with.  Thread-safe."""

    def __init__(self, kernels: ModuleType, name: str) -> None:
        self._kernels, self._name = kernels, name
        self._forms: dict[tuple[str, ...], Callable[..., int]] = {}

    @property
    def ready(self) -> bool:
        """Whether it has been called in this process."""
        return bool(self._forms)

    def __call__(self, *given: Any) -> int:
        """Run, while other threads run too; 0 where the loop returns nothing."""
        # NumPy has whole numbers of its own, which are passed as any other.
        known = [one if getattr(one, "ndim", 0) else operator.index(one) for one in given]
        kinds = tuple([_kind(one) for one in known])
        call = self._forms.get(kinds)
        if call is None:
            call = self._forms.setdefault(kinds, self._load(kinds))
        result, failure = ctypes.c_int64(), ctypes.c_void_p()
        passed = [word for one in known for word in _words(one)]
        if call(ctypes.byref(result), ctypes.byref(failure), *passed):
            raise RuntimeError(f"{self._kernels.__name__}.{self._name} failed")
        return result.value

    def _load(self, kinds: tuple[str, ...]) -> Callable[..., int]:
        """The loop as a function, from its object file, which is made where there is none."""
        file = f"{self._kernels.__name__}.{self._name}-{_digest(self._kernels, kinds)}.o"
        beside = Path(util.cache_from_source(self._kernels.__file__ or "")).parent
        private = private_folder("loops")
        places = [folder / file for folder in (beside, private) if folder is not None]
        found = _kept(places, kinds)
        if found is not None:
            return found
        with _compiling:
            found = _kept(places, kinds)
            if found is not None:  # another thread has made it meanwhile
                return found
            with told(self._kernels.PURPOSE):
                code = _object(self._kernels, self._name, kinds)
            content = hashlib.sha256(code).digest() + code
            with suppress(OSError):
                beside.mkdir(parents=True, exist_ok=True)
            if not write_whole(beside / file, content) and private is not None:
                write_private(private / file, content)
        return _linked(code, kinds)


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
        if not -_LARGEST <= given < _LARGEST:
            raise OverflowError(f"{given} is beyond 64 bits")
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
    module = ModuleType(f"{kernels.__name__}_compiled")
    # What is compiled is what the digest is of, whatever becomes of the file.
    exec(compile(_source(kernels), kernels.__file__ or "", "exec"), module.__dict__)
    for used in _uses(kernels):
        for each in used.NAMES:
            setattr(module, each, getattr(_module(used), each))
    instead = getattr(kernels, "INSTEAD", {})
    for each in kernels.NAMES:
        how = {**_HOW, "forceinline": each in kernels.INLINED}
        plain = getattr(module, instead.get(each, each))
        setattr(module, each, _numba().njit(**how)(plain))
    return module


def _uses(kernels: ModuleType) -> tuple[ModuleType, ...]:
    return getattr(kernels, "USES", ())


@cache
def _source(kernels: ModuleType) -> bytes:
    assert kernels.__file__ is not None
    return Path(kernels.__file__).read_bytes()


def _sources(kernels: ModuleType) -> list[bytes]:
    """Its own and those of all that it uses."""
    return [_source(kernels), *(text for used in _uses(kernels) for text in _sources(used))]


def _digest(kernels: ModuleType, kinds: tuple[str, ...]) -> str:
    """Of all that the machine code depends on: what it is made of, how, by what, and for what."""
    return hashlib.sha256(repr((_sources(kernels), kinds, *_makers())).encode()).hexdigest()[:24]


@cache
def _makers() -> tuple[object, ...]:
    """What compiles, for which machine, and how it was asked to."""
    llvm = _llvm()
    return (
        Path(__file__).read_bytes(),
        *(metadata.version(name) for name in ("numba", "llvmlite")),
        (_target().triple, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()),
        sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_")),
    )


def _kept(places: Sequence[Path], kinds: tuple[str, ...]) -> Callable[..., int] | None:
    """The function in the first of some object files that is there and whole."""
    for path in places:
        with suppress(OSError, RuntimeError):  # LLVM raises the second for what it cannot link
            found = path.read_bytes()
            if hashlib.sha256(found[_HASH_BYTES:]).digest() == found[:_HASH_BYTES]:
                call = _linked(found[_HASH_BYTES:], kinds)
                with suppress(OSError):
                    os.utime(path)  # was used just now
                return call
    return None
