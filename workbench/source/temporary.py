"""Folders for large temporary files: for what outgrows the memory.

Each goes when it is not needed any more.  That of a process that was killed goes when the next one
is made: the living hold a lock on theirs.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from weakref import finalize

if sys.platform != "win32":
    import fcntl

_PREFIX = "workbench-large-"

_ON_DISK = "/var/tmp"


class TemporaryFolder:
    """A folder of this user alone, which goes with this object.  Raises OSError for no room."""

    def __init__(self) -> None:
        place = _place()
        _remove_leftovers(place)
        lock = None
        while lock is None:  # a new folder may be taken for a leftover before it has its lock
            self.path = Path(mkdtemp(prefix=_PREFIX, dir=place))
            lock = _lock(self.path)
        self._finalizer = finalize(self, _remove, self.path, lock, os.getpid())

    def remove(self) -> None:
        """Remove it now."""
        self._finalizer()


@contextmanager
def temporary_folder() -> Iterator[str | None]:
    """Such a folder, inside; None where there is no room for one."""
    try:
        folder = TemporaryFolder()
    except OSError:
        yield None
        return
    try:
        yield os.fspath(folder.path)
    finally:
        folder.remove()


def _place() -> str:
    """Where they go: on a disk, as /tmp may be memory, unless TMPDIR says it."""
    known = "TMPDIR" in os.environ or not os.access(_ON_DISK, os.W_OK)
    return gettempdir() if known else _ON_DISK


def _lock(folder: Path) -> int | None:
    """A descriptor with the lock of a folder; None where it is another's, or has gone."""
    if sys.platform == "win32":  # has no locks of folders, so leftovers stay
        return -1
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.lstat()
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    return descriptor


def _remove(folder: Path, lock: int, owner: int) -> None:
    if os.getpid() == owner:  # not a child that was forked
        shutil.rmtree(folder, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def _remove_leftovers(place: str) -> None:
    """Remove the folders of this user that no process holds."""
    if sys.platform == "win32":
        return
    for folder in Path(place).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid():
                lock = _lock(folder)
                if lock is not None:
                    _remove(folder, lock, os.getpid())
