"""Walking over the varints of decompressed record batches, into columns of numbers.

One function, compiled by numba where it is installed, else run as it is: the same results either
way.  It reads nothing outside the batches it was given, whatever their bytes say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

numba: Any
try:
    import numba
except ImportError:
    numba = None

COMPILED = numba is not None


def _compiled(function: Any) -> Any:
    # The cache lies beside this file, or in the user's cache folder when that cannot be written.
    return numba.njit(cache=True, nogil=True)(function) if COMPILED else function


Array = Any

#: Columns of a batch's row: where its records begin and end, its base offset, its first timestamp,
#: the broker's stamp or -1, and how many records it holds.
START, END, BASE, FIRST, STAMP, COUNT = range(6)

#: The length of a null in a view.
NULL = 0xFFFFFFFF
#: The longest value that lies in its view.
INLINE = 12

#: Columns of the walk over headers, a row per header.
RECORD, NAME, NAME_LENGTH, CONTENT, CONTENT_LENGTH = range(5)
HEADER_COLUMNS = 5


@_compiled
def _varint(data: Any, at: int, end: int) -> Any:
    """A zigzag varint at `at`: its value and where it ends; ends at -1 when it does not fit."""
    if at < end and data[at] < 0x80:  # as nearly all are
        value = data[at] & 0xFF
        return (value >> 1) ^ -(value & 1), at + 1
    value = 0
    shift = 0
    while at < end and shift < 70:
        byte = data[at] & 0xFF
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return ((value >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(value & 1), at
        shift += 7
    return 0, -1


@_compiled
def _view(data: Any, at: int, size: int, out: Any, place: int) -> None:
    """Write the four words of a view at `place`: see `views`."""
    if size < 0:
        out[place] = NULL
        return
    out[place] = size
    if size > INLINE:
        out[place + 1] = data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24
        out[place + 3] = at
        return
    for word in range((size + 3) // 4):
        value = 0
        for number in range(4 * word, min(4 * word + 4, size)):
            value |= data[at + number] << (number & 3) * 8
        out[place + 1 + word] = value


@_compiled
def walk(
    data: Any,
    batches: Any,
    offsets: Any,
    times: Any,
    keys: Any,
    values: Any,
    headers: Any,
    places: Any,
) -> int:
    """Fill a row per record: offset, timestamp, views of key and value, headers and their place.

    The views have to be zero.  Returns -1, or the number of the batch that is malformed.
    """
    row = 0
    for number in range(len(batches)):
        batch = batches[number]
        at = batch[START]
        end = batch[END]
        base = batch[BASE]
        first = batch[FIRST]
        stamp = batch[STAMP]
        for _ in range(batch[COUNT]):
            size, at = _varint(data, at, end)
            stop = at + size
            if at < 0 or size < 0 or stop > end:
                return number
            at += 1  # attributes, unused
            delta, at = _varint(data, at, stop)
            if at < 0:
                return number
            offset, at = _varint(data, at, stop)
            if at < 0:
                return number
            size, at = _varint(data, at, stop)
            if at < 0 or size > stop - at:
                return number
            _view(data, at, size, keys, 4 * row)
            at += max(size, 0)
            size, at = _varint(data, at, stop)
            if at < 0 or size > stop - at:
                return number
            _view(data, at, size, values, 4 * row)
            at += max(size, 0)
            size, at = _varint(data, at, stop)
            if at < 0 or size < 0 or size > stop - at:
                return number
            headers[row] = size
            places[row] = at
            offsets[row] = base + offset
            times[row] = first + delta if stamp == -1 else stamp
            row += 1
            at = stop
        if at != end:
            return number
    return -1


@_compiled
def view(data: Any, starts: Any, sizes: Any, out: Any) -> int:
    """Fill `out` with views of the pieces of `data`."""
    for row in range(len(starts)):
        _view(data, starts[row], sizes[row], out, 4 * row)
    return -1


@_compiled
def compact(data: Any, views: Any, out: Any) -> int:
    """Copy what views refer to into `out`, and have them refer to it."""
    filled = 0
    for row in range(len(views) // 4):
        size = views[4 * row]
        if size > INLINE:
            at = views[4 * row + 3]
            for number in range(size):
                out[filled + number] = data[at + number]
            views[4 * row + 3] = filled
            filled += size
    return -1


@_compiled
def walk_headers(
    data: Any,
    counts: Any,
    at_first: Any,
    records: Any,
    names: Any,
    name_sizes: Any,
    contents: Any,
    content_sizes: Any,
) -> int:
    """Fill a row per header: its record, and place and length of name and content.

    Returns -1, or the number of the record whose headers are malformed.
    """
    row = 0
    for record in range(len(counts)):
        at = at_first[record]
        for _ in range(counts[record]):
            size, at = _varint(data, at, len(data))
            if at < 0 or size < 0 or size > len(data) - at:
                return record
            records[row] = record
            names[row] = at
            name_sizes[row] = size
            at += size
            size, at = _varint(data, at, len(data))
            if at < 0 or size > len(data) - at:
                return record
            contents[row] = at
            content_sizes[row] = size
            if size > 0:
                at += size
            row += 1
    return -1


class Walked(NamedTuple):
    """Arrays, a row per record; `keys` and `values` are views (see `views`), null included."""

    offsets: Array
    times: Array
    keys: Array
    values: Array
    headers: Array
    places: Array


def records(data: Array, batches: Array) -> Walked:
    """The walk over these batches in `data`.

    Raises ValueError with the number of a batch that is malformed.
    """
    count = int(batches[:, COUNT].sum())
    out = Walked(
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.zeros(4 * count, np.uint32),
        np.zeros(4 * count, np.uint32),
        np.empty(count, np.int32),
        np.empty(count, np.int64),
    )
    _run(walk, (data, batches), out)
    return out


def headers(data: Array, counts: Array, places: Array) -> Array:
    """The walk over all records' headers as an int64 array, columns x headers.

    Raises ValueError with the number of a record whose headers are malformed.
    """
    out = np.empty((HEADER_COLUMNS, int(counts.sum())), np.int64)
    _run(walk_headers, (data, counts, places), tuple(out))
    return out


def pieces(data: Array, starts: Array, sizes: Array) -> Array:
    """Views of pieces of the buffer, null where the size is -1."""
    out = np.zeros(4 * len(starts), np.uint32)
    _run(view, (data, starts, sizes), (out,))
    return out


def compacted(data: Array, views: Array, size: int) -> Array:
    """The `size` bytes that views refer to, in a buffer of their own; the views refer to it."""
    out = np.empty(size, np.uint8)
    _run(compact, (data,), (views, out))
    return out


def _run(function: Any, given: tuple[Array, ...], out: Iterable[Array]) -> None:
    """Run one of the above; it writes into the arrays of `out`, and says -1 when all is well."""
    if COMPILED:
        wrong = function(*given, *out)
    else:  # plain Python is several times faster on lists than on arrays
        out = list(out)
        lists = [array.tolist() for array in out]
        wrong = function(*map(_plain, given), *lists)
        for array, filled in zip(out, lists, strict=True):
            array[:] = filled
    if wrong != -1:
        raise ValueError(wrong)


def _plain(array: Array) -> Any:
    return memoryview(array) if array.dtype == np.uint8 else array.tolist()
