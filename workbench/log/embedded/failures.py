"""What SQLite and the system report, in the library's own words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import apsw

from workbench.errors import CorruptData, LogBusy, ReadOnly, StorageFull
from workbench.log.embedded import files


def named_error(root: Path, error: Exception) -> Exception:
    """The library's own error for one of SQLite's or of the system's, or the error itself."""
    full = StorageFull(
        f"no space left for the log {root}; nothing of this write is visible",
        hint="free some space and try again",
    )
    match error:
        case apsw.FullError():
            return full
        case apsw.BusyError() | apsw.LockedError():
            return LogBusy(f"the log {root} is held by another process", hint="try again")
        case apsw.CorruptError() | apsw.NotADBError():
            return CorruptData(
                f"{root / 'catalog.db'} is damaged: {error}",
                hint="`workbench verify` lists what is",
            )
        case apsw.IOError() if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
            return CorruptData(
                f"{root / 'catalog.db'} has a page whose checksum does not match",
                hint="`workbench verify` lists what is damaged",
            )
        case apsw.IOError() if shutil.disk_usage(root).free < 1 << 20:
            return full  # SQLite calls some full disks I/O errors
        case apsw.ReadOnlyError():
            return ReadOnly(f"{root} cannot be written: {error}")
        case OSError() if error.errno in files.FULL:
            return full
    return error


@contextmanager
def named_errors(root: Path) -> Iterator[None]:
    """Raise `named_error` for what is raised inside."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise_named(root, error)


def raise_named(root: Path, error: Exception) -> NoReturn:
    """Raise `named_error` of what has been caught."""
    named = named_error(root, error)
    if named is error:
        raise error
    raise named from error
