"""The file operations that durability rests on, one function each."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

#: What the system says when a write does not fit.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(path: Path, data: memoryview) -> None:
    """Write a new file, or replace one."""
    path.write_bytes(data)


def sync_file(path: Path) -> None:
    """Flush a file's bytes to the storage."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries, so that a new or renamed file in it survives a power cut."""
    if os.name == "nt":  # Windows has no such call; its journal covers renames
        return
    sync_file(path)


def rename(source: Path, target: Path) -> None:
    """Give a finished file its name; the folder has to be synced after it."""
    source.rename(target)


def unlink(path: Path) -> None:
    """Remove a file, which may be gone already."""
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder with its parents, durably."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hex.  Releases the interpreter lock while it hashes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
