"""Columns whose values stay where they were received: Arrow views into one buffer, and numbers.

A view (Arrow columnar format, "Variable-size Binary View Layout") is 16 bytes: the length, and
either the value itself, up to 12 bytes, or its first four bytes, the number of a buffer and a
place in it.  Polars keeps Binary columns so, and takes them over the Arrow C data interface
without a copy.

What is handed over has to be let go of by somebody, on any thread, while the interpreter ends if
need be.  No callback of ours does that: the memory is given to Polars first, as plain columns of
numbers, and the release that comes with these is handed on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl

#: The words of a view.
WORDS = 4

_POINTER = ctypes.c_void_p


class _Schema(ctypes.Structure):
    """`struct ArrowSchema`."""


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", _POINTER),
    ("release", _POINTER),
    ("private_data", _POINTER),
]


class _Array(ctypes.Structure):
    """`struct ArrowArray`."""


_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(_POINTER)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", _POINTER),
    ("release", _POINTER),
    ("private_data", _POINTER),
]


def adopt(
    views: np.ndarray[Any, Any],
    valid: np.ndarray[Any, Any] | None = None,
    data: np.ndarray[Any, Any] | None = None,
    *,
    text: bool = False,
) -> pl.Series:
    """Views as a Binary column, without a copy; with `text` as String, of what is UTF-8.

    Parameters
    ----------
    views
        `WORDS` words (uint32) a row; the number of the buffer is 0.  What they say is believed:
        they have to lie in `data`.
    valid
        Which rows are not null (bool); None where all are.
    data
        The buffer (uint8, below 4 GiB); None where every value lies in its view.
    """
    parts = [views.view(np.uint8)]
    if data is not None and len(data):
        parts += [data, np.array([len(data)], np.int64).view(np.uint8)]
    return _column(b"vu" if text else b"vz", len(views) // WORDS, parts, valid)


def decimals(
    numbers: np.ndarray[Any, Any], valid: np.ndarray[Any, Any] | None, dtype: pl.Decimal
) -> pl.Series:
    """Numbers (int64) as the digits of a column of Decimals, of which they have no more than it."""
    wide = np.empty((len(numbers), 2), np.int64)
    wide[:, 0] = numbers
    np.right_shift(numbers, 63, out=wide[:, 1])
    kind = f"d:{dtype.precision},{dtype.scale}".encode()
    return _column(kind, len(numbers), [wide.reshape(-1).view(np.uint8)], valid)


def _column(
    kind: bytes,
    length: int,
    parts: list[np.ndarray[Any, Any]],
    valid: np.ndarray[Any, Any] | None,
) -> pl.Series:
    """A column of a kind (Arrow's format string) out of its buffers (uint8)."""
    if valid is not None and valid.all():
        valid = None
    count = len(parts)
    if valid is not None:
        parts = [*parts, np.packbits(valid, bitorder="little")]
    owner, owned = _exported(parts)
    places = [owner.children[n].contents.children[0].contents.buffers[1] for n in range(len(parts))]
    bitmap = places.pop() if valid is not None else None
    variable = kind in (b"vz", b"vu")
    buffers = [bitmap, *places, *([None] if variable and count == 1 else [])]
    array = _Array(
        length=length,
        null_count=0 if valid is None else -1,
        n_buffers=len(buffers),
        buffers=(_POINTER * len(buffers))(*buffers),
        release=owner.release,
        private_data=owner.private_data,
    )
    schema = _Schema(
        format=kind, name=b"", flags=2, release=owned.release, private_data=owned.private_data
    )
    return pl.Series(_Handover(schema, array))


@contextmanager
def borrowed(
    column: pl.Series,
) -> Iterator[tuple[np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]]:
    """The views of a Binary or String column (rows x `WORDS`), and the buffers they refer to.

    Both are Polars' own memory: to be read only, and not beyond the block.  The view of a null is
    anything.
    """
    array, kind = _Array(), _Schema()
    column.rechunk()._export_arrow_to_c(ctypes.addressof(array), ctypes.addressof(kind))
    try:
        count = array.n_buffers - 3  # beside the bitmap, the views, and the buffers' sizes
        sizes = _memory(array.buffers[array.n_buffers - 1], 8 * count).view(np.int64)
        views = _memory(array.buffers[1], 16 * (array.offset + array.length)).view(np.uint32)
        buffers = [_memory(array.buffers[2 + n], size) for n, size in enumerate(sizes.tolist())]
        yield views.reshape(-1, WORDS)[array.offset :], buffers
    finally:
        for structure in (array, kind):
            _RELEASE(structure.release)(ctypes.addressof(structure))


_RELEASE = ctypes.CFUNCTYPE(None, _POINTER)


def _memory(place: int | None, size: int) -> np.ndarray[Any, Any]:
    if not place or not size:
        return np.empty(0, np.uint8)
    return np.ctypeslib.as_array(ctypes.cast(place, ctypes.POINTER(ctypes.c_uint8)), (size,))


class _Handover:
    """What Polars takes over: an object of the Arrow PyCapsule interface."""

    def __init__(self, kind: _Schema, array: _Array) -> None:
        self._both = kind, array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        kind, array = self._both
        return _capsule(kind, b"arrow_schema"), _capsule(array, b"arrow_array")


def _exported(parts: list[np.ndarray[Any, Any]]) -> tuple[Any, Any]:
    """The parts in Polars' hands, exported as one row of a struct of lists."""
    array, kind = _Array(), _Schema()
    columns = [pl.Series(str(number), part).implode() for number, part in enumerate(parts)]
    pl.DataFrame(columns).to_struct()._export_arrow_to_c(
        ctypes.addressof(array), ctypes.addressof(kind)
    )
    return array, kind


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (_POINTER, ctypes.c_char_p, _POINTER)


def _capsule(structure: Any, name: bytes) -> object:
    return _new_capsule(ctypes.addressof(structure), name, None)
