"""Loops over the bytes of records, as numba compiles them: see `compiled`.

Plain Python as well, for a machine without numba and for the few records of a small read.  They
read and write nothing outside what they were given, whatever the bytes say.
"""

from __future__ import annotations

from typing import Any

#: What records are read with.
READING = ("walk", "walk_headers", "view", "compact")
#: All that is compiled.
NAMES = ("_varint", "_view", "_copy", "_put", "_size", *READING, "encode")
#: What is put where it is called: a call would cost as much as what it does.
INLINED = ("_varint", "_view", "_copy")
#: Python copies a slice at once, for which numba would make an array.
INSTEAD = {"_copy": "_copy_each"}
PURPOSE = "read and write Kafka's records"

#: Columns of a batch's row: where its records begin and end, its base offset, its first timestamp,
#: the broker's stamp or -1, and how many records it holds.
START, END, BASE, FIRST, STAMP, COUNT = range(6)

#: The bytes of a batch's header.
HEADER = 61

#: The length of a null in a view.
NULL = 0xFFFFFFFF
#: The longest value that lies in its view.
INLINE = 12

#: Columns of the walk over headers, a row per header.
RECORD, NAME, NAME_LENGTH, CONTENT, CONTENT_LENGTH = range(5)
HEADER_COLUMNS = 5


def _varint(data: Any, at: int, end: int) -> Any:
    """A zigzag varint at `at`: its value and where it ends; ends at -1 when it does not fit."""
    if 0 <= at < end and data[at] < 0x80:  # as nearly all are
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


def _view(data: Any, at: int, size: int, out: Any, place: int) -> None:
    """Write the four words of a view at `place`: see `views`."""
    if size < 0:
        out[place] = NULL
        for word in range(1, 4):
            out[place + word] = 0
        return
    out[place] = size
    if size > INLINE:
        out[place + 1] = data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24
        out[place + 2] = 0
        out[place + 3] = at
        return
    if 0 <= at <= len(data) - INLINE:  # as nearly all are: whole words, cut to size
        for word in range(1, 4):
            value = data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24
            out[place + word] = value & ((1 << 8 * min(max(size, 0), 4)) - 1)
            at += 4
            size -= 4
        return
    for word in range(1, 4):
        value = 0
        for number in range(min(size, 4) - 1, -1, -1):
            value = value << 8 | data[at + number]
        out[place + word] = value
        at += 4
        size -= 4


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

    Returns -1, or the number of the batch that is malformed.
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


def view(data: Any, starts: Any, sizes: Any, out: Any) -> int:
    """Fill `out` with views of the pieces of `data`."""
    for row in range(len(starts)):
        _view(data, starts[row], sizes[row], out, 4 * row)
    return -1


def compact(data: Any, views: Any, out: Any) -> int:
    """Copy what views refer to into `out`, and have them refer to it."""
    filled = 0
    for row in range(len(views) // 4):
        size = views[4 * row]
        if size > INLINE:
            _copy(data, views[4 * row + 3], size, out, filled)
            views[4 * row + 3] = filled
            filled += size
    return -1


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


def _copy(data: Any, at: int, size: int, out: Any, place: int) -> None:
    """Copy bytes."""
    out[place : place + size] = data[at : at + size]


def _copy_each(data: Any, at: int, size: int, out: Any, place: int) -> None:
    """The same, one by one."""
    for number in range(size):
        out[place + number] = data[at + number]


def _size(value: int) -> int:
    """How many bytes a value takes as a zigzag varint."""
    value = value << 1 if value >= 0 else (-value << 1) - 1
    size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


def _put(out: Any, at: int, value: int) -> int:
    """Write a value as a zigzag varint; where it ends."""
    value = value << 1 if value >= 0 else (-value << 1) - 1
    while value >= 0x80:
        out[at] = value & 0x7F | 0x80
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


def encode(
    times: Any,
    keys: Any,
    key_sizes: Any,
    values: Any,
    value_sizes: Any,
    headers: Any,
    names: Any,
    name_sizes: Any,
    contents: Any,
    content_sizes: Any,
    limit: int,
    out: Any,
    starts: Any,
    rows: Any,
) -> int:
    """Write all records into `out`, in batches of at most `limit` bytes or one record.

    Sizes are -1 for null; the bytes of what is not lie side by side.  Room for its header is left
    before each batch.  Notes where each batch starts in `out`, and with which row; after the last
    one where it ends.  Returns how many batches there are.
    """
    at = 0
    batch = 0
    key_at = 0
    value_at = 0
    header = 0
    name_at = 0
    content_at = 0
    for row in range(len(times)):
        inside = _size(key_sizes[row]) + max(key_sizes[row], 0)
        inside += _size(value_sizes[row]) + max(value_sizes[row], 0)
        inside += _size(headers[row])
        for number in range(header, header + headers[row]):
            inside += _size(name_sizes[number]) + name_sizes[number]
            inside += _size(content_sizes[number]) + max(content_sizes[number], 0)
        # The deltas and the length take 20 bytes at most.
        if row == 0 or at + inside + 21 - starts[batch - 1] > limit:
            starts[batch] = at
            rows[batch] = row
            batch += 1
            at += HEADER
        delta = times[row] - times[rows[batch - 1]]
        number = row - rows[batch - 1]
        at = _put(out, at, 1 + _size(delta) + _size(number) + inside)
        out[at] = 0  # attributes
        at = _put(out, at + 1, delta)
        at = _put(out, at, number)
        size = key_sizes[row]
        at = _put(out, at, size)
        if size > 0:
            _copy(keys, key_at, size, out, at)
            at += size
            key_at += size
        size = value_sizes[row]
        at = _put(out, at, size)
        if size > 0:
            _copy(values, value_at, size, out, at)
            at += size
            value_at += size
        at = _put(out, at, headers[row])
        for number in range(header, header + headers[row]):
            size = name_sizes[number]
            at = _put(out, at, size)
            _copy(names, name_at, size, out, at)
            at += size
            name_at += size
            size = content_sizes[number]
            at = _put(out, at, size)
            if size > 0:
                _copy(contents, content_at, size, out, at)
                at += size
                content_at += size
        header += headers[row]
    starts[batch] = at
    rows[batch] = len(times)
    return batch
