"""Whether a state still fits into memory, asked before the machine answers."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from workbench.errors import ReadLimitExceeded

#: Joining parts takes about so many times what the joined state takes.
WHILE_JOINING = 3

_CGROUP = Path("/sys/fs/cgroup")


def fits(size: int) -> bool:
    """Whether states of so many bytes leave room to be joined."""
    return size * WHILE_JOINING <= available()


def check_room(keys: int, needed: int, hint: str, given_back: int = 0) -> None:
    """Raise ReadLimitExceeded where a table of so many keys needs more bytes than are free.

    What was given back before is free too, though the process may hold it for a while.
    """
    room = max(available(), given_back)
    if needed > room:
        raise ReadLimitExceeded(
            f"the table has {keys:,} keys so far; to go on takes about {needed / 2**20:,.0f} MB, "
            f"and {room / 2**20:,.0f} MB are free",
            hint=hint,
        )


def taken() -> int:
    """The bytes that this process holds."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def available() -> int:
    """The bytes that this process can still take: of the machine, and of its container."""
    import psutil

    free = [int(psutil.virtual_memory().available)]
    with suppress(OSError, ValueError):  # no container, or one without a limit
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        # Files that were read count as used, and give way.
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        files = sum(int(stat.get(f"{which}_file", 0)) for which in ("inactive", "active"))
        free.append(limit - used + files)
    return min(free)
