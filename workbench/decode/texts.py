"""Loops that copy the texts of JSON records out of their bytes: see `workbench.compiled`.

What they are given was followed by `workbench.decode.kernels.prove`, and they believe it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.decode import literals
from workbench.decode.literals import BACKSLASH, ZERO

#: All that is compiled.
NAMES = ("_unescape", "text")
USES = (literals,)
INLINED = ()
PURPOSE = "read JSON"

#: The longest value that lies in its view.
INLINE = 12
#: What has to be left of the memory that texts are copied to.
ROOM = 16
_NOTHING, _WORD, _EVERY, _HALF = (np.uint64(bits) for bits in (0, (1 << 32) - 1, (1 << 64) - 1, 32))


def _unescape(data: Any, at: int, out: Any, used: int) -> Any:
    """Write what the escape at `at` stands for; where both have come to."""
    byte = data[at + 1]
    if byte != 0x75:
        if byte == 0x62:
            byte = 8
        elif byte == 0x66:
            byte = 12
        elif byte == 0x6E:
            byte = 10
        elif byte == 0x72:
            byte = 13
        elif byte == 0x74:
            byte = 9
        out[used] = byte
        return at + 2, used + 1
    code = 0
    for place in range(at + 2, at + 6):
        digit = data[place] - ZERO
        code = code << 4 | (digit if digit <= 9 else (data[place] | 0x20) - 0x57)
    if code < 0x80:
        out[used] = code
        return at + 6, used + 1
    if code < 0x800:
        out[used] = 0xC0 | code >> 6
        out[used + 1] = 0x80 | code & 0x3F
        return at + 6, used + 2
    out[used] = 0xE0 | code >> 12
    out[used + 1] = 0x80 | code >> 6 & 0x3F
    out[used + 2] = 0x80 | code & 0x3F
    return at + 6, used + 3


def text(
    data: Any,
    words: Any,
    rows: Any,
    starts: Any,
    sizes: Any,
    used: int,
    out: Any,
    out_words: Any,
    views: Any,
) -> int:
    """Copy texts to `out` from `used` on, and refer to them in views; what is used then.

    A size below zero is that of a text with escapes, of which they are what these stand for.  One
    that lies in its view keeps no room.  Beyond what is used eight bytes may be anything.
    """
    for place in range(len(rows)):
        row = rows[place]
        at = starts[row]
        size = sizes[row]
        begin = used
        if size >= 0:
            done = 0
            while done < size and at + done < len(words):
                out_words[used + done] = words[at + done]
                done += 8
            while done < size:
                out[used + done] = data[at + done]
                done += 1
            used += size
        else:
            stop = at - size
            while at < stop:
                if data[at] == BACKSLASH:
                    at, used = _unescape(data, at, out, used)
                else:
                    out[used] = data[at]
                    at += 1
                    used += 1
            size = used - begin
        views[row, 0] = size
        low = out_words[begin]
        if size > INLINE:
            views[row, 1] = low & _WORD
            views[row, 3] = begin
        else:
            high = out_words[begin + 8]
            if size <= 8:
                high = _NOTHING
            else:
                high &= ~(_EVERY << np.uint64(8 * (size - 8)))
            if size == 0:
                low = _NOTHING
            elif size < 8:
                low &= ~(_EVERY << np.uint64(8 * size))
            views[row, 1] = low & _WORD
            views[row, 2] = low >> _HALF
            views[row, 3] = high
            used = begin
    return used
