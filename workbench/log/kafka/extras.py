"""What a connection to a cluster goes without where the extra `kafka` is not installed."""

from __future__ import annotations

from importlib import util

#: What each package makes faster; one of them is also what some records cannot be read without.
_PACKAGES = ("numba", "crc32c", "cramjam")


def slower() -> str | None:
    """What is missing, what that costs, and how to get it, in a sentence; None for nothing."""
    missing = [name for name in _PACKAGES if util.find_spec(name) is None]
    if not missing:
        return None
    unread = ", and not what is compressed with snappy, lz4 or zstd" if "cramjam" in missing else ""
    return (
        f"without {', '.join(missing)} a cluster is read several times slower{unread} "
        '(pip install "stream-workbench[kafka]")'
    )
