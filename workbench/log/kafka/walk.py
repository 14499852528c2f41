"""Walking over the varints of decompressed record batches, into columns of numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from workbench.log.kafka.compiled import run
from workbench.log.kafka.kernels import (
    CONTENT,
    CONTENT_LENGTH,
    COUNT,
    HEADER_COLUMNS,
    INLINE,
    NAME,
    NAME_LENGTH,
    NULL,
    RECORD,
)
from workbench.log.kafka.room import room

__all__ = [
    "CONTENT",
    "CONTENT_LENGTH",
    "COUNT",
    "INLINE",
    "NAME",
    "NAME_LENGTH",
    "NULL",
    "RECORD",
    "compacted",
    "headers",
    "pieces",
    "records",
]

Array = Any


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
    # What the frame keeps lies together; what is for a moment does not.
    keys, values, offsets, times = np.split(room(48 * count), count * np.array([16, 32, 40]))
    out = Walked(
        offsets.view(np.int64),
        times.view(np.int64),
        keys.view(np.uint32),
        values.view(np.uint32),
        np.empty(count, np.int32),
        np.empty(count, np.int64),
    )
    _checked(run("walk", count, (data, batches), out))
    return out


def headers(data: Array, counts: Array, places: Array) -> Array:
    """The walk over all records' headers as an int64 array, columns x headers.

    Raises ValueError with the number of a record whose headers are malformed.
    """
    out = np.empty((HEADER_COLUMNS, int(counts.sum())), np.int64)
    _checked(run("walk_headers", len(counts), (data, counts, places), out))
    return out


def pieces(data: Array, starts: Array, sizes: Array) -> Array:
    """Views of pieces of the buffer, null where the size is -1."""
    out = np.empty(4 * len(starts), np.uint32)
    run("view", len(starts), (data, starts, sizes), (out,))
    return out


def compacted(data: Array, views: Array, size: int) -> Array:
    """The `size` bytes that views refer to, in a buffer of their own; the views refer to it."""
    out = np.empty(size, np.uint8)
    run("compact", len(views) // 4, (data,), (views, out))
    return out


def _checked(wrong: int) -> None:
    if wrong != -1:
        raise ValueError(wrong)
