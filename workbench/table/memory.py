"""Whether a state still fits into memory, asked before the machine answers."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from workbench.errors import ReadLimitExceeded

#: Joining parts takes about so many times what the joined state takes.
WHILE_JOINING = 3

_CGROUP = Path("/sys/fs/cgroup")


def check_room(keys: int, size: int) -> None:
    """Raise ReadLimitExceeded where a state of so many bytes leaves no room to join more to it."""
    room = available()
    if size * WHILE_JOINING > room:
        raise ReadLimitExceeded(
            f"the table has {keys:,} keys so far, which take {size / 2**20:,.0f} MB; to go on "
            f"takes about {WHILE_JOINING} times that, and {room / 2**20:,.0f} MB are free",
            hint="ask for fewer aggregates (n_unique keeps every value), add up a part of the keys "
            "at a time, or use log.sql(…), which goes to disk",
        )


def available() -> int:
    """The bytes that this process can still take: of the machine, and of its container."""
    import psutil

    free = [int(psutil.virtual_memory().available)]
    with suppress(OSError, ValueError):  # no container, or one without a limit
        limit = int((_CGROUP / "memory.max").read_text())
        free.append(limit - int((_CGROUP / "memory.current").read_text()))
    return min(free)
