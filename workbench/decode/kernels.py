"""Loops over the bytes of JSON records, as numba compiles them: see `workbench.compiled`.

`prove` is no parser of JSON.  It follows a record along the schema, and says yes where it has read
every byte of it as one that RFC 8259 and the rules of `workbench.decode.exact` allow; where it
meets anything else, an escape in a name as much as a broken bracket, it says no, and others read
the record.  It reads nothing outside what it was given, whatever the bytes say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.decode import literals
from workbench.decode.literals import (
    MINUS,
    QUOTE,
    past_blank,
    past_string,
    read_date,
    read_decimal,
    read_double,
    read_integer,
    read_moment,
)

#: All that is compiled, and what from elsewhere is called.
NAMES = ("_span", "_child", "_value", "_record", "prove")
USES = (literals,)
#: What is put where it is called.
INLINED = ("_child", "_value", "_record")
PURPOSE = "read JSON"

#: Columns of a node's row: what it is; of a struct its first child and how many there are; its
#: parent; where its name lies and how long it is; its row among the numbers, and among the floats;
#: the bounds of an integer; the digits of a Decimal, and its scale or that of a time in digits.
(
    KIND,
    FIRST,
    COUNT,
    PARENT,
    NAME,
    NAME_LENGTH,
    NUMBER,
    FLOAT,
    LOW,
    HIGH,
    PRECISION,
    SCALE,
) = range(12)

#: What a node can be.
STRUCT, STRING, INTEGER, FLOATING, DECIMAL, BOOLEAN, DATE, MOMENT, OTHER = range(9)

#: What is known of a field in a record.
MISSING, NULL, GIVEN = range(3)

#: What the place in an object is after: its bracket, a value, or a comma.
_OPENED, _VALUED, _PARTED = range(3)

_NOTHING = np.uint64(0)
#: Nesting within one value beyond which others decide.
_DEPTH = 64


def _span(data: Any, words: Any, at: int, end: int) -> int:
    """Where a value of any kind ends; its brackets balance, and what is in it others read."""
    byte = data[at]
    if byte == QUOTE:
        stop, _ = past_string(data, words, at + 1, end)
        return stop + 1 or -1
    if byte != 0x5B and byte != 0x7B:
        while at < end and not (data[at] == 0x2C or data[at] == 0x7D or data[at] == 0x5D):
            at += 1
        return at
    depth = 0
    while at < end:
        byte = data[at]
        if byte == QUOTE:
            at, _ = past_string(data, words, at + 1, end)
            if at < 0:
                return -1
        elif byte == 0x5B or byte == 0x7B:
            depth += 1
            if depth > _DEPTH:
                return -1
        elif byte == 0x5D or byte == 0x7D:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return -1


def _child(
    data: Any,
    words: Any,
    at: int,
    end: int,
    names: Any,
    heads: Any,
    nodes: Any,
    node: int,
    expected: int,
) -> int:
    """The field of a struct whose name is at `at`, a quote behind it; -1 where there is none.

    The one that is expected is tried first, since records mostly have their fields in one order.
    """
    first = nodes[node, FIRST]
    count = nodes[node, COUNT]
    child = expected
    for _ in range(count):
        if child >= first + count:
            child = first
        size = nodes[child, NAME_LENGTH] + 1  # with its quote
        if at + size <= end:
            same = 0
            alike = True
            if at + 8 <= end:
                alike = (words[at] ^ heads[child, 0]) & heads[child, 1] == _NOTHING
                same = min(size, 8)
            place = nodes[child, NAME]
            while alike and same < size:
                alike = data[at + same] == names[place + same]
                same += 1
            if alike:
                return child
        child += 1
    return -1


def _value(
    data: Any,
    words: Any,
    at: int,
    end: int,
    row: int,
    nodes: Any,
    node: int,
    powers: Any,
    numbers: Any,
    sizes: Any,
    floats: Any,
) -> Any:
    """Read a value that is not null and no struct; where it ends, or -1 where others decide."""
    kind = nodes[node, KIND]
    slot = nodes[node, NUMBER]
    byte = data[at]
    if kind == STRING:
        if byte != QUOTE:
            return -1
        stop, escaped = past_string(data, words, at + 1, end)
        numbers[slot, row] = at + 1
        size = stop - at - 1
        sizes[slot, row] = -size if escaped else size
        return stop + 1 if stop >= 0 else -1
    if kind == INTEGER:
        negative = byte == MINUS
        number, stop = read_integer(data, at + negative, end)
        number = -number if negative else number
        numbers[slot, row] = number
        return stop if nodes[node, LOW] <= number <= nodes[node, HIGH] else -1
    if kind == DECIMAL:
        number, stop = read_decimal(data, at, end, nodes[node, PRECISION], nodes[node, SCALE])
        numbers[slot, row] = number
        return stop
    if kind == FLOATING:
        value, certain, stop = read_double(data, at, end, powers)
        floats[nodes[node, FLOAT], row] = value
        numbers[slot, row] = at
        sizes[slot, row] = 0 if certain else stop - at
        return stop
    if kind == BOOLEAN:
        true = (
            at + 4 <= end
            and byte == 0x74
            and data[at + 1] == 0x72
            and data[at + 2] == 0x75
            and data[at + 3] == 0x65
        )
        numbers[slot, row] = true
        if true:
            return at + 4
        false = (
            at + 5 <= end
            and byte == 0x66
            and data[at + 1] == 0x61
            and data[at + 2] == 0x6C
            and data[at + 3] == 0x73
            and data[at + 4] == 0x65
        )
        return at + 5 if false else -1
    if kind == DATE:
        if byte != QUOTE or at + 12 > end or data[at + 11] != QUOTE:
            return -1
        days = read_date(data, at + 1, end)
        numbers[slot, row] = days
        return at + 12 if days > -(1 << 30) else -1
    if kind == MOMENT:
        if byte == QUOTE:
            stop, _ = past_string(data, words, at + 1, end)
            ticks, sure = read_moment(data, at + 1, stop, nodes[node, SCALE])
            numbers[slot, row] = ticks
            return stop + 1 if sure else -1
        number, stop = read_integer(data, at, end)
        numbers[slot, row] = number
        return stop if number <= nodes[node, HIGH] else -1
    stop = _span(data, words, at, end)
    numbers[slot, row] = at
    sizes[slot, row] = stop - at
    return stop


def _record(
    data: Any,
    words: Any,
    at: int,
    end: int,
    row: int,
    names: Any,
    heads: Any,
    nodes: Any,
    powers: Any,
    numbers: Any,
    sizes: Any,
    floats: Any,
    given: Any,
) -> bool:
    """Follow one record along the schema."""
    at = past_blank(data, at, end)
    if at >= end or data[at] != 0x7B:
        return False
    at += 1
    node = 0
    expected = nodes[0, FIRST]
    after = _OPENED
    while True:
        at = past_blank(data, at, end)
        if at >= end:
            return False
        byte = data[at]
        at += 1
        if byte == 0x7D:
            if after == _PARTED:
                return False
            if node == 0:
                return past_blank(data, at, end) == end
            expected = node + 1
            node = nodes[node, PARENT]
            after = _VALUED
            continue
        if after == _VALUED:
            if byte != 0x2C:
                return False
            after = _PARTED
            continue
        if byte != QUOTE:
            return False
        child = _child(data, words, at, end, names, heads, nodes, node, expected)
        if child < 0 or given[child, row] != MISSING:
            return False
        at = past_blank(data, at + nodes[child, NAME_LENGTH] + 1, end)
        if at >= end or data[at] != 0x3A:
            return False
        at = past_blank(data, at + 1, end)
        if at >= end:
            return False
        expected = child + 1
        after = _VALUED
        if (
            data[at] == 0x6E
            and at + 4 <= end
            and data[at + 1] == 0x75
            and data[at + 2] == 0x6C
            and data[at + 3] == 0x6C
        ):
            given[child, row] = NULL
            at += 4
            continue
        given[child, row] = GIVEN
        if nodes[child, KIND] == STRUCT:
            if data[at] != 0x7B:
                return False
            at += 1
            node = child
            expected = nodes[child, FIRST]
            after = _OPENED
            continue
        at = _value(data, words, at, end, row, nodes, child, powers, numbers, sizes, floats)
        if at < 0:
            return False


def prove(
    data: Any,
    words: Any,
    rows: Any,
    starts: Any,
    ends: Any,
    names: Any,
    heads: Any,
    nodes: Any,
    powers: Any,
    numbers: Any,
    sizes: Any,
    floats: Any,
    given: Any,
    sure: Any,
) -> None:
    """Read the records in [start, end) of `data` into their rows, and say which are certain."""
    for place in range(len(rows)):
        row = rows[place]
        sure[row] = _record(
            data,
            words,
            starts[place],
            ends[place],
            row,
            names,
            heads,
            nodes,
            powers,
            numbers,
            sizes,
            floats,
            given,
        )
