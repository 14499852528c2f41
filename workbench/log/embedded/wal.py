"""Whether SQLite's write-ahead log ends in damage that SQLite itself cannot see.

SQLite ends its replay at the first frame whose checksum does not match, as after a power cut.
What lies behind it then is silently left out; this says so.  The format is that of
https://www.sqlite.org/fileformat2.html#the_write_ahead_log .
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct(">8I")  # magic, version, page size, sequence, salt 1, 2, checksum 1, 2
_FRAME = struct.Struct(">6I")  # page, pages after commit, salt 1, 2, checksum 1, 2
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}


def warning(path: Path) -> str | None:
    """A sentence when frames follow a broken one, or the header is broken; None when sound."""
    data = path.read_bytes() if path.exists() else b""
    if len(data) < _HEADER.size:
        return f"{path} is cut off within its header" if data else None
    magic, _, page_size, _, salt1, salt2, *stated = _HEADER.unpack_from(data)
    order = _MAGIC.get(magic)
    if order is None or _checksum(order, data[:24], (0, 0)) != tuple(stated):
        return f"{path} has a broken header: its commits are not visible"
    sums = (stated[0], stated[1])
    step = _FRAME.size + page_size
    broken: int | None = None
    for start in range(_HEADER.size, len(data) - step + 1, step):
        _, _, mine1, mine2, *stated = _FRAME.unpack_from(data, start)
        if broken is None and (mine1, mine2) == (salt1, salt2):
            sums = _checksum(order, data[start : start + 8], sums)
            sums = _checksum(order, data[start + _FRAME.size : start + step], sums)
            if sums == tuple(stated):
                continue
        if mine1 == salt1 or mine2 == salt2:  # of this generation: not left from an older one
            return (
                f"{path} is broken from byte {start if broken is None else broken}: the newest "
                "commits are not visible (damage, or a write that a crash interrupted)"
            )
        broken = start if broken is None else broken
    return None


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
