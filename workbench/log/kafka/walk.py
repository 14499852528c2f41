"""Walking over the varints of decompressed record batches, into columns of numbers.

One function, compiled by numba where it is installed, else run as it is: the same results either
way.  It reads nothing outside the batches it was given, whatever their bytes say.
"""

from __future__ import annotations

from typing import Any

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

#: Columns of the walk's result, a row per record.  Lengths are -1 for null.
OFFSET, TIMESTAMP, KEY, KEY_LENGTH, VALUE, VALUE_LENGTH, HEADERS, HEADERS_AT, BATCH = range(9)
COLUMNS = 9

#: Columns of the walk over headers, a row per header.
RECORD, NAME, NAME_LENGTH, CONTENT, CONTENT_LENGTH = range(5)
HEADER_COLUMNS = 5


@_compiled
def _varint(data: Any, at: int, end: int) -> Any:
    """A zigzag varint at `at`: its value and where it ends; ends at -1 when it does not fit."""
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
def walk(data: Any, batches: Any, out: Any) -> int:
    """Fill `out` (columns x records) from the batches.

    They are rows of (start, end, base offset, first timestamp, stamp or -1, records).
    Returns -1, or the number of the batch that is malformed.
    """
    row = 0
    for number in range(len(batches)):
        at = batches[number][0]
        end = batches[number][1]
        base = batches[number][2]
        first = batches[number][3]
        stamp = batches[number][4]
        for _ in range(batches[number][5]):
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
            key_size, at = _varint(data, at, stop)
            if at < 0 or key_size > stop - at:
                return number
            out[KEY][row] = at
            out[KEY_LENGTH][row] = key_size
            if key_size > 0:
                at += key_size
            size, at = _varint(data, at, stop)
            if at < 0 or size > stop - at:
                return number
            out[VALUE][row] = at
            out[VALUE_LENGTH][row] = size
            if size > 0:
                at += size
            size, at = _varint(data, at, stop)
            if at < 0 or size < 0 or size > stop - at:
                return number
            out[HEADERS][row] = size
            out[HEADERS_AT][row] = at
            out[OFFSET][row] = base + offset
            out[TIMESTAMP][row] = first + delta if stamp == -1 else stamp
            out[BATCH][row] = number
            row += 1
            at = stop
        if at != end:
            return number
    return -1


@_compiled
def walk_headers(data: Any, counts: Any, places: Any, out: Any) -> int:
    """Fill `out` (columns x headers) with each record's headers.

    Returns -1, or the number of the record whose headers are malformed.
    """
    row = 0
    for record in range(len(counts)):
        at = places[record]
        for _ in range(counts[record]):
            size, at = _varint(data, at, len(data))
            if at < 0 or size < 0 or size > len(data) - at:
                return record
            out[RECORD][row] = record
            out[NAME][row] = at
            out[NAME_LENGTH][row] = size
            at += size
            size, at = _varint(data, at, len(data))
            if at < 0 or size > len(data) - at:
                return record
            out[CONTENT][row] = at
            out[CONTENT_LENGTH][row] = size
            if size > 0:
                at += size
            row += 1
    return -1


def records(data: memoryview, batches: Array, count: int) -> Array:
    """The walk over the batches as an int64 array, columns x `count` records.

    Raises ValueError with the number of a batch that is malformed.
    """
    return _run(walk, COLUMNS, count, data, batches)


def headers(data: memoryview, counts: Array, places: Array) -> Array:
    """The walk over all records' headers as an int64 array, columns x headers.

    Raises ValueError with the number of a record whose headers are malformed.
    """
    return _run(walk_headers, HEADER_COLUMNS, int(counts.sum()), data, counts, places)


def _run(function: Any, columns: int, rows: int, data: memoryview, *tables: Array) -> Array:
    out = np.zeros((columns, rows), np.int64)
    if COMPILED:
        wrong = function(np.frombuffer(data, np.uint8), *tables, out)
    else:  # plain Python is several times faster on lists than on arrays
        lists = out.tolist()
        wrong = function(data, *(table.tolist() for table in tables), lists)
        out = np.array(lists, np.int64).reshape(columns, rows)
    if wrong != -1:
        raise ValueError(wrong)
    return out
