"""A scanner, compiled by numba, that accepts JSON objects which it can prove to fit a schema.

It only ever accepts or declines.  What it is not sure of, right or wrong, it leaves to
`workbench.decode.exact`; so it makes no errors of its own, and need not know all of JSON.

A schema is a tree of slots, one per field; the fields of one object lie next to each other, and
object 0 is the record.  What a record has for a slot goes into the slot's row of cells: a number,
or for text the end of the bytes that were added to the slot's heap.

Records lie behind each other in one buffer, each followed by a NUL; as a NUL is valid nowhere in
JSON, no loop runs past the end of its record.
"""

# Annotations would be noise here: numba infers types, and every value is an int64 or an array.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import numba
import numpy as np

#: Kinds of slots; those from `NUMBER` on give text: of a string, or a JSON literal.
BOOLEAN, INTEGER, DECIMAL, DATE, DATETIME, STRUCT, NUMBER, STRING, RAW = range(9)

#: Objects of the schema that nest deeper are not for this scanner.
MAX_STRUCTS = 16

#: Unknown or raw containers that nest deeper are declined.
_MAX_NESTING = 32

#: A record with more unknown members than this is declined; their names are compared pairwise.
_MAX_UNKNOWN = 64

_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS, _PLUS, _DOT = 34, 92, 44, 58, 45, 43, 46
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = 123, 125, 91, 93
_ZERO, _NINE, _E, _F, _N, _T, _U, _Z = 48, 57, 101, 102, 110, 116, 117, 90

#: Characters that end a run of plain ones in a string.
_STOPS = np.array([c < 32 or c in (_QUOTE, _BACKSLASH) for c in range(256)])

#: What the character after a backslash stands for; 0 where that is not one character.
_ESCAPES = np.zeros(256, np.uint8)
for _escape, _character in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _ESCAPES[_escape] = _character

_jit = numba.njit(nogil=True, cache=True)
_inline = numba.njit(inline="always")


@_inline
def _blank(buffer, at):
    while buffer[at] == 32 or buffer[at] == 10 or buffer[at] == 13 or buffer[at] == 9:
        at += 1
    return at


@_inline
def _string_end(buffer, at):
    """From the first character: the place of the closing quote (0: none), and if it has escapes."""
    escaped = False
    while True:
        while not _STOPS[buffer[at]]:
            at += 1
        if buffer[at] == _QUOTE:
            return at, escaped
        if buffer[at] != _BACKSLASH or buffer[at + 1] < 32:
            return 0, escaped
        escaped = True
        at += 2


@_inline
def _digits(buffer, at):
    while _ZERO <= buffer[at] <= _NINE:
        at += 1
    return at


@_jit
def _number(buffer, at):
    """End (0: no number); digits before the point, after it, and in the exponent."""
    if buffer[at] == _MINUS:
        at += 1
    start = at
    at = _digits(buffer, at)
    whole = at - start
    if whole == 0 or (whole > 1 and buffer[start] == _ZERO):
        return 0, 0, 0, 0
    places = exponent = 0
    if buffer[at] == _DOT:
        places = _digits(buffer, at + 1) - at - 1
        if places == 0:
            return 0, 0, 0, 0
        at += places + 1
    if buffer[at] | 32 == _E:
        at += 1
        if buffer[at] == _MINUS or buffer[at] == _PLUS:
            at += 1
        exponent = _digits(buffer, at) - at
        if exponent == 0:
            return 0, 0, 0, 0
        at += exponent
    return at, whole, places, exponent


@_inline
def _literal_end(buffer, at):
    """The end of true, false or null; 0: none of them."""
    c = buffer[at]
    if c == _T and buffer[at + 1] == 114 and buffer[at + 2] == 117 and buffer[at + 3] == 101:
        return at + 4
    if c == _N and buffer[at + 1] == 117 and buffer[at + 2] == 108 and buffer[at + 3] == 108:
        return at + 4
    if (
        c == _F
        and buffer[at + 1] == 97
        and buffer[at + 2] == 108
        and buffer[at + 3] == 115
        and buffer[at + 4] == 101
    ):
        return at + 5
    return 0


@_jit
def _value_end(buffer, at):
    """The end of any value (0: none), and whether it is a scalar without escapes.

    Of containers only the end is found: the caller has to check what is in them.
    """
    c = buffer[at]
    if c == _QUOTE:
        end, escaped = _string_end(buffer, at + 1)
        return (end + 1 if end else 0), not escaped
    if c != _OPEN and c != _OPEN_LIST:
        end = _literal_end(buffer, at)
        if not end:
            end, _, _, _ = _number(buffer, at)
        return end, True
    depth = 0
    while True:
        c = buffer[at]
        if c == 0:
            return 0, False
        if c == _QUOTE:
            at, _ = _string_end(buffer, at + 1)
            if not at:
                return 0, False
        elif c in (_OPEN, _OPEN_LIST):
            depth += 1
            if depth > _MAX_NESTING:
                return 0, False
        elif c in (_CLOSE, _CLOSE_LIST):
            depth -= 1
            if not depth:
                return at + 1, False
        at += 1


@_inline
def _two(buffer, at):
    """Two digits as a number; 100 where they are not digits."""
    tens, ones = buffer[at] - _ZERO, buffer[at + 1] - _ZERO
    if 0 <= tens <= 9 and 0 <= ones <= 9:
        return tens * 10 + ones
    return 100


@_jit
def _day(buffer, at, end):
    """Days since 1970 of the YYYY-MM-DD at a place, and whether there is one."""
    if end - at < 10 or buffer[at + 4] != _MINUS or buffer[at + 7] != _MINUS:
        return 0, False
    century, rest = _two(buffer, at), _two(buffer, at + 2)
    month, day = _two(buffer, at + 5), _two(buffer, at + 8)
    if not (10 <= century < 99 and rest < 100 and 1 <= month <= 12 and 1 <= day <= 31):
        return 0, False
    year = century * 100 + rest
    if day > 28:
        last = 31 if month in (1, 3, 5, 7, 8, 10, 12) else 30
        if month == 2:
            last = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
        if day > last:
            return 0, False
    # Years that start in March put the leap day last; 719468 days lie between 0000-03-01 and 1970.
    if month <= 2:
        year -= 1
        month += 12
    day += (153 * (month - 3) + 2) // 5 - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day - 719468, True


@_jit
def _moment(buffer, at, end, digits):
    """Ticks since 1970 of the RFC 3339 text in [at, end), and whether it is one."""
    day, found = _day(buffer, at, end)
    if not found or end - at < 19 or buffer[at + 10] != 84:
        return 0, False
    if buffer[at + 13] != _COLON or buffer[at + 16] != _COLON:
        return 0, False
    hour, minute, second = _two(buffer, at + 11), _two(buffer, at + 14), _two(buffer, at + 17)
    if hour > 23 or minute > 59 or second > 59:
        return 0, False
    ticks = ((day * 24 + hour) * 60 + minute) * 60 + second
    at += 19
    places = 0
    fraction = 0
    if buffer[at] == _DOT:
        places = _digits(buffer, at + 1) - at - 1
        if places == 0 or places > digits:
            return 0, False
        for i in range(at + 1, at + 1 + places):
            fraction = fraction * 10 + (buffer[i] - _ZERO)
        at += places + 1
    if at == end or (buffer[at] == _Z and at + 1 == end):
        pass
    elif (
        (buffer[at] == _MINUS or buffer[at] == _PLUS) and at + 6 == end and buffer[at + 3] == _COLON
    ):
        hour, minute = _two(buffer, at + 1), _two(buffer, at + 4)
        if hour > 23 or minute > 59:
            return 0, False
        offset = (hour * 60 + minute) * 60
        ticks += offset if buffer[at] == _MINUS else -offset
    else:
        return 0, False
    return ticks * 10**digits + fraction * 10 ** (digits - places), True


@_jit
def _hex(buffer, at):
    """Four hexadecimal digits as a number; -1 where they are not."""
    number = np.int64(0)
    for i in range(at, at + 4):
        c = np.int64(buffer[i])
        if _ZERO <= c <= _NINE:
            number = 16 * number + c - _ZERO
        elif 97 <= (c | 32) <= 102:
            number = number * 16 + (c | 32) - 87
        else:
            return np.int64(-1)
    return number


@_jit
def _unescape(buffer, at, end, heaps, slot, top):
    """Write the string in [at, end) to a heap; its new top, or -1 where it is no text."""
    while at < end:
        c = buffer[at]
        if c != _BACKSLASH:
            heaps[slot, top] = c
            top += 1
            at += 1
            continue
        c = buffer[at + 1]
        if _ESCAPES[c]:
            heaps[slot, top] = _ESCAPES[c]
            top += 1
            at += 2
            continue
        if c != _U:
            return -1
        point = _hex(buffer, at + 2)
        at += 6
        if 0xD800 <= point < 0xDC00:
            if buffer[at] != _BACKSLASH or buffer[at + 1] != _U:
                return -1
            low = _hex(buffer, at + 2)
            at += 6
            if not 0xDC00 <= low < 0xE000:
                return -1
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
        elif point < 0 or 0xDC00 <= point < 0xE000:
            return -1
        if point < 0x80:
            heaps[slot, top] = point
            top += 1
            continue
        if point < 0x800:
            heaps[slot, top] = 0xC0 | (point >> 6)
            top += 1
        else:
            if point < 0x10000:
                heaps[slot, top] = 0xE0 | (point >> 12)
                top += 1
            else:
                heaps[slot, top] = 0xF0 | (point >> 18)
                heaps[slot, top + 1] = 0x80 | ((point >> 12) & 0x3F)
                top += 2
            heaps[slot, top] = 0x80 | ((point >> 6) & 0x3F)
            top += 1
        heaps[slot, top] = 0x80 | (point & 0x3F)
        top += 1
    return top


@_inline
def _copy(buffer, at, end, heaps, slot, top):
    """Write [at, end) to a heap; its new top."""
    for i in range(end - at):
        heaps[slot, top + i] = buffer[at + i]
    return top + end - at


@_jit
def _integer(buffer, at, end):
    """The digits in [at, end), a sign and a point among them, as a number."""
    value = np.int64(0)
    for i in range(at, end):
        if _ZERO <= buffer[i] <= _NINE:
            value = value * 10 + (np.int64(buffer[i]) - _ZERO)
    return -value if buffer[at] == _MINUS else value


@_inline
def _scalar(buffer, at, kind, low, high, slot, row, cells, heaps):
    """Read a value that is not null into its cell; the place behind it, or 0 to decline it.

    What `low` and `high` mean depends on the kind: see `workbench.decode.fast.Plan`.
    """
    c = buffer[at]
    if kind == STRING:
        if c != _QUOTE:
            return 0
        end, escaped = _string_end(buffer, at + 1)
        if not end:
            return 0
        top = cells[slot, row]
        if escaped:
            top = _unescape(buffer, at + 1, end, heaps, slot, top)
            if top < 0:
                return 0
        else:
            top = _copy(buffer, at + 1, end, heaps, slot, top)
        cells[slot, row + 1] = top
        return end + 1
    if kind == BOOLEAN:
        cells[slot, row] = c == _T
        return _literal_end(buffer, at) if c in (_T, _F) else 0
    if kind == RAW:
        if c != _OPEN_LIST:
            return 0
        end, _ = _value_end(buffer, at)
        if end:
            cells[slot, row + 1] = _copy(buffer, at, end, heaps, slot, cells[slot, row])
        return end
    if kind == DATE or (kind == DATETIME and c == _QUOTE):
        if c != _QUOTE:
            return 0
        end, escaped = _string_end(buffer, at + 1)
        if escaped or not end:
            return 0
        if kind == DATETIME:
            value, found = _moment(buffer, at + 1, end, low)
        else:
            value, found = _day(buffer, at + 1, end)
            found = found and end == at + 11
        cells[slot, row] = value
        return end + 1 if found else 0
    end, whole, places, exponent = _number(buffer, at)
    if not end:
        return 0
    if kind == NUMBER:
        # An integer of 15 digits is exact in a double; 200 digits and e99 do not overflow it.
        if whole > 200 or exponent > 2 or (whole > 15 and not places and not exponent):
            return 0
        cells[slot, row + 1] = _copy(buffer, at, end, heaps, slot, cells[slot, row])
        return end
    if exponent:
        return 0
    if kind == DECIMAL:
        # 18 digits fit 64 bits; a lone 0 before the point is no digit.
        if whole == 1 and buffer[end - 1 - places - (places > 0)] == _ZERO:
            whole = 0
        if whole > low or places > high or whole + high > 18:
            return 0
        cells[slot, row] = _integer(buffer, at, end) * 10 ** (high - places)
        return end
    if whole > 18 or places:
        return 0
    value = _integer(buffer, at, end)
    cells[slot, row] = value
    if kind == DATETIME:
        low = -high
    return end if low <= value <= high else 0


@_inline
def _equal(a, a_start, b, b_start, length):
    i = 0
    while i < length and a[a_start + i] == b[b_start + i]:
        i += 1
    return i == length


@_inline
def _record(
    buffer, at, end_of_record, row, kinds, lows, highs, objects, first, name_starts,
    name_lengths, names, path, guesses, seen, cells, valid, heaps, unknown, known,
):  # fmt: skip
    """Read a record; how many unknown members there are now, or -1 to decline it."""
    before = known
    depth = 0
    path[0] = guesses[0] = 0
    at = _blank(buffer, at)
    if buffer[at] != _OPEN:
        return -1
    at = _blank(buffer, at + 1)
    opened = True
    while True:
        if not (opened and buffer[at] == _CLOSE):
            # A member: its name, most often the one after the last; then its value.
            if buffer[at] != _QUOTE:
                return -1
            name = at + 1
            low, high = first[path[depth]], first[path[depth] + 1]
            slot = guesses[depth]
            length = name_lengths[slot] if slot < high else 0
            if not (
                length
                and _equal(names, name_starts[slot], buffer, name, length)
                and buffer[name + length] == _QUOTE
            ):
                end, escaped = _string_end(buffer, name)
                if escaped or not end:
                    return -1
                length = end - name
                slot = low
                while slot < high and not (
                    name_lengths[slot] == length
                    and _equal(names, name_starts[slot], buffer, name, length)
                ):
                    slot += 1
            at = _blank(buffer, name + length + 1)
            if buffer[at] != _COLON:
                return -1
            at = _blank(buffer, at + 1)
            if slot == high:
                if depth or known - before == _MAX_UNKNOWN or known == len(unknown):
                    return -1
                for i in range(before, known):
                    if unknown[i, 2] - unknown[i, 1] == length and _equal(
                        buffer, unknown[i, 1], buffer, name, length
                    ):
                        return -1
                end, plain = _value_end(buffer, at)
                if not end:
                    return -1
                unknown[known, 0] = row
                unknown[known, 1] = name
                unknown[known, 2] = name + length
                unknown[known, 3] = at
                unknown[known, 4] = end
                unknown[known, 5] = plain
                known += 1
                at = end
            else:
                if seen[slot] == row:
                    return -1
                seen[slot] = row
                guesses[depth] = slot + 1
                if buffer[at] == _N:
                    at = _literal_end(buffer, at)
                elif kinds[slot] == STRUCT:
                    if buffer[at] != _OPEN:
                        return -1
                    valid[slot, row] = True
                    depth += 1
                    path[depth] = objects[slot]
                    guesses[depth] = first[objects[slot]]
                    at = _blank(buffer, at + 1)
                    opened = True
                    continue
                else:
                    at = _scalar(
                        buffer, at, kinds[slot], lows[slot], highs[slot], slot, row, cells, heaps
                    )
                    valid[slot, row] = True
                if not at:
                    return -1
        opened = False
        at = _blank(buffer, at)
        while buffer[at] == _CLOSE:
            at = _blank(buffer, at + 1)
            if not depth:
                return known if at == end_of_record else -1
            depth -= 1
        if buffer[at] != _COMMA:
            return -1
        at = _blank(buffer, at + 1)


@_jit
def scan(
    buffer, starts, kinds, lows, highs, objects, first, name_starts, name_lengths, names,
    cells, valid, accepted, heaps, unknown,
):  # fmt: skip
    """Read the records at `starts`; returns how many rows of `unknown` were filled.

    Parameters
    ----------
    buffer : uint8, each record followed by a NUL
    starts : int64 (records + 1), the last one where a next record would start; the arrays below
        may have more rows than there are records
    kinds ... names : the schema, a `workbench.decode.fast.Plan`
    cells : int64 (slots, rows + 1); of text slots, row `n + 1` is where the text of row `n` ends
    valid : bool (slots, rows), whether there is a value
    accepted : bool (rows); the others have no valid cells
    heaps : uint8 (slots, room for all of the buffer)
    unknown : int64 (room, 6): row, name start and end, value start and end, and whether the value
        is a scalar without escapes
    """
    seen = np.full(len(kinds), -1, np.int64)
    path = np.zeros(MAX_STRUCTS + 1, np.int64)
    guesses = np.zeros(MAX_STRUCTS + 1, np.int64)
    texts = np.flatnonzero(kinds >= NUMBER)
    cells[:, 0] = 0
    valid[:] = False
    known = 0
    for row in range(len(starts) - 1):
        for slot in texts:
            cells[slot, row + 1] = cells[slot, row]
        after = _record(
            buffer, starts[row], starts[row + 1] - 1, row, kinds, lows, highs, objects, first,
            name_starts, name_lengths, names, path, guesses, seen, cells, valid, heaps,
            unknown, known,
        )  # fmt: skip
        accepted[row] = after >= 0
        if after >= 0:
            known = after
        else:
            valid[:, row] = False
            for slot in texts:
                cells[slot, row + 1] = cells[slot, row]
    return known
