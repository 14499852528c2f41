"""A private folder for what can be made again: snapshots of tables, indexes of keys, loops.

Deleting it changes nothing but time.  What lies in it is as private as the log it was made from,
and is read back without asking where it came from: so it has to be the user's own and nobody
else's.
"""

from __future__ import annotations

import os
import stat
import uuid
import warnings
from contextlib import suppress
from pathlib import Path

#: Names the folder to use; `off` for none.
ENVIRONMENT = "WORKBENCH_CACHE"
#: How much it may hold, in megabytes; what was used longest ago goes first.
LIMIT = "WORKBENCH_CACHE_MB"
DEFAULT_MB = 2048


def private_folder(*names: str) -> Path | None:
    """A folder below the private one, made when missing.

    None where it is switched off, cannot be written, or is not the user's alone (with a warning).
    """
    named = os.environ.get(ENVIRONMENT, "")
    if named == "off":
        return None
    import platformdirs

    root = Path(named) if named else Path(platformdirs.user_cache_dir("workbench", appauthor=False))
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = root.lstat()
        own = not hasattr(os, "geteuid") or (
            found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        )
        if not stat.S_ISDIR(found.st_mode) or not own:
            warnings.warn(
                f"{root} is not used: it is not a folder of this user alone (chmod 700 makes it "
                f"one; {ENVIRONMENT} names another)",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        folder = root
        for name in names:  # not by `parents`: a root that is gone by now would be made for all
            folder /= name
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder


def write_private(path: Path, content: bytes) -> bool:
    """Write a file of the private folder whole or not at all, then hold the folder to its limit.

    False where there is no room for it.
    """
    done = write_whole(path, content)
    if done:
        _trim(path)
    return done


def write_whole(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all; False where that cannot be."""
    # Of this call alone: threads write too, and containers that share a folder share numbers.
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
        return False
    return True


def _limit_mb() -> int:
    said = os.environ.get(LIMIT, "").strip()
    if not said or said.isdecimal():
        return int(said or DEFAULT_MB)
    warnings.warn(
        f"{LIMIT}={said!r} is no number of megabytes; {DEFAULT_MB} are used",
        RuntimeWarning,
        stacklevel=2,
    )
    return DEFAULT_MB


def _trim(newest: Path) -> None:
    """Delete the files that were used longest ago, until the rest is within the limit."""
    room = _limit_mb() * 2**20
    root = private_folder()
    if root is None:
        return
    found = []
    for path in root.rglob("*"):
        with suppress(OSError):  # another process trims too
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                continue
            found.append((path == newest, status.st_mtime_ns, status.st_size, path))
    for _, _, size, path in sorted(found, reverse=True):
        room -= size
        if room < 0:
            with suppress(OSError):
                path.unlink()
