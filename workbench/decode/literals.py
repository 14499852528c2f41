"""The literals of JSON, read byte by byte: loops that numba compiles, see `workbench.compiled`.

Each takes the bytes, where a literal begins, and where the record ends, beyond which it reads
nothing.  It says where the literal ends, or that others decide: at -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: All that is compiled.
NAMES = (
    "past_blank",
    "past_digits",
    "past_string",
    "read_integer",
    "read_fraction",
    "read_double",
    "read_decimal",
    "days_of",
    "read_two",
    "read_date",
    "read_moment",
)
#: What is put where it is called.
INLINED = ("past_blank", "past_digits", "past_string", "read_integer")

#: Powers of ten that are doubles, and the digits whose number is one for certain.
_EXACT_POWER = 22
_EXACT_DIGITS = 15
_EXACT_DOUBLE = 1 << 53
#: Digits that fit into 64 bits whatever they are.
_SAFE_DIGITS = 18
#: The last second of the year 9999, and the first of the year 1.
_LAST_SECOND = 253_402_300_799
_FIRST_SECOND = -62_135_596_800
QUOTE = 0x22
BACKSLASH = 0x5C
#: What may follow a backslash, beside a u.
_ESCAPES = (0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74)
MINUS = 0x2D
_DOT = 0x2E
#: Eight bytes at a time: a one, a quote, a backslash, the first that is no control character, and
#: the highest bit in each of them.
_ONES, _QUOTES, _BACKSLASHES, _PLAIN, _HIGH = (
    np.uint64(byte * 0x0101010101010101) for byte in (0x01, QUOTE, BACKSLASH, 0x20, 0x80)
)
#: Times one bit of a byte, this has the number of that byte on top.
_PLACES = np.uint64(0x0001020304050607)
_LOWEST, _TOP, _NONE = np.uint64(7), np.uint64(56), np.uint64(0)
ZERO = 0x30


def past_blank(data: Any, at: int, end: int) -> int:
    """The first place that is no white space."""
    while at < end and (data[at] == 0x20 or data[at] == 0x0A or data[at] == 0x0D or data[at] == 9):
        at += 1
    return at


def past_digits(data: Any, at: int, end: int) -> int:
    """The first place that is no digit."""
    while at < end and 0 <= data[at] - ZERO <= 9:
        at += 1
    return at


def past_string(data: Any, words: Any, at: int, end: int) -> Any:
    """Where a string's closing quote is, whose first byte is at `at`; -1 where others decide.

    And whether there is an escape in it.
    """
    escaped = False
    while at < end:
        if at + 8 <= end:
            # Subtracting borrows from the bytes above: the lowest bit that is found is right.
            word = words[at]
            quotes, backslashes = word ^ _QUOTES, word ^ _BACKSLASHES
            found = (quotes - _ONES) & ~quotes
            found |= (backslashes - _ONES) & ~backslashes
            found |= (word - _PLAIN) & ~word
            found &= _HIGH
            if found == _NONE:
                at += 8
                continue
            at += int((((found & (_NONE - found)) >> _LOWEST) * _PLACES) >> _TOP)
        byte = data[at]
        if byte == QUOTE:
            return at, escaped
        if byte < 0x20:
            return -1, escaped
        at += 1
        if byte == BACKSLASH:
            escaped = True
            if at >= end:
                return -1, escaped
            byte = data[at]
            at += 1
            if byte == 0x75:  # u
                if at + 4 > end:
                    return -1, escaped
                code = 0
                for place in range(at, at + 4):
                    digit = data[place] - ZERO
                    if digit > 9:
                        digit = (data[place] | 0x20) - 0x57
                        if digit < 10:
                            return -1, escaped
                    if not 0 <= digit <= 15:
                        return -1, escaped
                    code = code << 4 | digit
                if 0xD800 <= code <= 0xDFFF:
                    return -1, escaped
                at += 4
            elif byte not in _ESCAPES:
                return -1, escaped
    return -1, escaped


def read_integer(data: Any, at: int, end: int) -> Any:
    """The digits of an integer part as RFC 8259 has them: their number and where they end.

    Ends at -1 where there are none, a zero leads, or there are more than fit.
    """
    stop = past_digits(data, at, end)
    if stop == at or stop - at > _SAFE_DIGITS or (data[at] == ZERO and stop - at > 1):
        return 0, -1
    number = 0
    for place in range(at, stop):
        number = number * 10 + (data[place] - ZERO)
    return number, stop


def read_fraction(data: Any, at: int, end: int) -> Any:
    """The fraction after a dot: without its last zeros, how many digits that are, and its end."""
    stop = past_digits(data, at, end)
    if stop == at:
        return 0, 0, -1
    last = stop
    while last > at and data[last - 1] == ZERO:
        last -= 1
    if last - at > _SAFE_DIGITS:
        return 0, 0, -1
    number = 0
    for place in range(at, last):
        number = number * 10 + (data[place] - ZERO)
    return number, last - at, stop


def read_double(data: Any, at: int, end: int, powers: Any) -> Any:
    """A number as a double: its value, whether that is certain, and where it ends.

    It is certain where a product or quotient of two doubles is rounded once (Clinger, "How to Read
    Floating Point Numbers Accurately", 1990).  Ends at -1 where others decide.
    """
    negative = data[at] == MINUS
    at += negative
    stop = past_digits(data, at, end)
    if stop == at or (data[at] == ZERO and stop - at > 1) or stop - at > _SAFE_DIGITS:
        return 0.0, False, -1
    whole = 0
    for place in range(at, stop):
        whole = whole * 10 + (data[place] - ZERO)
    digits = stop - at
    power = 0
    integer = True
    at = stop
    if at < end and data[at] == _DOT:
        integer = False
        stop = past_digits(data, at + 1, end)
        if stop == at + 1 or stop - at > 40:
            return 0.0, False, -1
        for place in range(at + 1, stop):
            if digits < _SAFE_DIGITS:
                whole = whole * 10 + (data[place] - ZERO)
                power -= 1
            digits += 1
        at = stop
    if at < end and data[at] | 0x20 == 0x65:  # e
        integer = False
        at += 1
        down = at < end and data[at] == MINUS
        at += at < end and (data[at] == MINUS or data[at] == 0x2B)
        stop = past_digits(data, at, end)
        if stop == at or stop - at > 2:
            return 0.0, False, -1
        exponent = 0
        for place in range(at, stop):
            exponent = exponent * 10 + (data[place] - ZERO)
        power += -exponent if down else exponent
        at = stop
    if integer:
        if whole > _EXACT_DOUBLE:
            return 0.0, False, -1
        return -float(whole) if negative and whole else float(whole), True, at
    value = float(whole)
    certain = digits <= _EXACT_DIGITS and -_EXACT_POWER <= power <= _EXACT_POWER
    if certain:
        value = value / powers[-power] if power < 0 else value * powers[power]
    return -value if negative else value, certain, at


def read_decimal(data: Any, at: int, end: int, precision: int, scale: int) -> Any:
    """A number times ten to the scale, and where it ends; -1 where others decide."""
    negative = data[at] == MINUS
    at += negative
    begin = at
    number, at = read_integer(data, at, end)
    if at < 0:
        return 0, -1
    digits = at - begin if number else 0
    part = 0
    places = 0
    if at < end and data[at] == _DOT:
        part, places, at = read_fraction(data, at + 1, end)
        if at < 0:
            return 0, -1
    if places > scale or digits > precision - scale or digits + scale > _SAFE_DIGITS:
        return 0, -1
    for _ in range(places):
        number *= 10
    number += part
    for _ in range(scale - places):
        number *= 10
    return -number if negative else number, at


def days_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; below every date where there is no such day."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return -(1 << 40)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2:
        if day > 28 + leap:
            return -(1 << 40)
    elif day == 31 and (month == 4 or month == 6 or month == 9 or month == 11):
        return -(1 << 40)
    # Years from March on, so that the leap day is the last: 153 days in each five months.
    year -= month <= 2
    month = month - 3 if month > 2 else month + 9
    return (
        365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719_469
    )


def read_two(data: Any, at: int) -> int:
    """A number of two digits; -1 where they are none."""
    tens = data[at] - ZERO
    ones = data[at + 1] - ZERO
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -1


def read_date(data: Any, at: int, end: int) -> int:
    """The days of the ten bytes of a date; below every date where they are none."""
    none = -(1 << 40)
    if at + 10 > end or data[at + 4] != MINUS or data[at + 7] != MINUS:
        return none
    century = read_two(data, at)
    years = read_two(data, at + 2)
    month = read_two(data, at + 5)
    day = read_two(data, at + 8)
    if century < 0 or years < 0 or month < 0 or day < 0 or century + years == 0:
        return none
    return days_of(century * 100 + years, month, day)


def read_moment(data: Any, at: int, stop: int, digits: int) -> Any:
    """RFC 3339 text in [at, stop) as ticks of so many digits below a second, and whether it is."""
    days = read_date(data, at, stop)
    if days < -(1 << 30) or at + 19 > stop:
        return 0, False
    parted = data[at + 10] == 0x54 or data[at + 10] == 0x20
    if not parted or data[at + 13] != 0x3A or data[at + 16] != 0x3A:
        return 0, False
    hour = read_two(data, at + 11)
    minute = read_two(data, at + 14)
    second = read_two(data, at + 17)
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return 0, False
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    at += 19
    ticks = 0
    kept = 0
    if at < stop and data[at] == _DOT:
        at += 1
        begin = at
        while at < stop and 0 <= data[at] - ZERO <= 9:
            if kept < digits:
                ticks = ticks * 10 + (data[at] - ZERO)
                kept += 1
            elif data[at] != ZERO:
                return 0, False
            at += 1
        if at == begin:
            return 0, False
    for _ in range(digits - kept):
        ticks *= 10
    if at < stop:
        byte = data[at]
        if byte == 0x5A:  # Z
            at += 1
        elif (byte == 0x2B or byte == MINUS) and at + 6 <= stop and data[at + 3] == 0x3A:
            hour = read_two(data, at + 1)
            minute = read_two(data, at + 4)
            if not (0 <= hour <= 23 and 0 <= minute <= 59):
                return 0, False
            offset = (hour * 60 + minute) * 60
            seconds += offset if byte == MINUS else -offset
            at += 6
    if at != stop or not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        return 0, False
    for _ in range(digits):
        seconds *= 10
    return seconds + ticks, True
