"""Whether SQLite's write-ahead log ends in damage that SQLite itself cannot see.

SQLite ends its replay at the first frame whose checksum does not match, as after a power cut.
What lies behind it then is silently left out; this says so.  The format is that of
https://www.sqlite.org/fileformat2.html#the_write_ahead_log .
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct(">8I")  # magic, version, page size, sequence, salt 1, 2, checksum 1, 2
_FRAME = struct.Struct(">6I")  # page, pages after commit, salt 1, 2, checksum 1, 2
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}


@dataclass(frozen=True, slots=True)
class Wal:
    """What a write-ahead log holds: the pages of its sound frames, and a warning if it is broken.

    Those pages count, whatever the database file has in their place.
    """

    pages: frozenset[int] = frozenset()
    warning: str | None = None


def inspect(path: Path) -> Wal:
    """Read a write-ahead log; a missing or empty one is sound.

    It is broken when its header is, or when frames of its own follow a broken one: what was left
    from an older generation does not count.
    """
    data = path.read_bytes() if path.exists() else b""
    if not data:
        return Wal()
    if len(data) < _HEADER.size:
        return Wal(warning=f"{path} is cut off within its header")
    magic, _, page_size, _, *salts_and_sums = _HEADER.unpack_from(data)
    salts, stated = tuple(salts_and_sums[:2]), tuple(salts_and_sums[2:])
    order = _MAGIC.get(magic)
    if order is None or _checksum(order, data[:24], (0, 0)) != stated:
        return Wal(warning=f"{path} has a broken header: its commits are not visible")
    pages = set()
    sums = (stated[0], stated[1])
    step = _FRAME.size + page_size
    starts = iter(range(_HEADER.size, len(data) - step + 1, step))
    for start in starts:
        page, _, *mine_and_sums = _FRAME.unpack_from(data, start)
        sums = _checksum(order, data[start : start + 8], sums)
        sums = _checksum(order, data[start + _FRAME.size : start + step], sums)
        if tuple(mine_and_sums) != (*salts, *sums):
            break
        pages.add(page)
    else:
        return Wal(frozenset(pages))
    for later in (start, *starts):
        _, _, *mine = _FRAME.unpack_from(data, later)
        if mine[0] == salts[0] or mine[1] == salts[1]:
            return Wal(
                frozenset(pages),
                f"{path} is broken from byte {start}: the newest commits are not visible "
                "(damage, or a write that a crash interrupted)",
            )
    return Wal(frozenset(pages))


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
