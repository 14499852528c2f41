"""Making and opening a log's folder, and everything that can be wrong with it."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.errors import LogExists, LogNotFound, NotALog, ReadOnly
from workbench.log.embedded import files
from workbench.log.embedded.catalog import Catalog, Durability
from workbench.log.embedded.layout import (
    CATALOG,
    DOORBELL,
    RECORDER_LOCK,
    SEAL_LOCK,
    SEGMENTS,
    WRITE_LOCK,
)
from workbench.log.embedded.locks import FileLock
from workbench.log.embedded.storage import refuse_network_storage
from workbench.log.embedded.upgrade import upgrade

_OWN_FILES = {
    CATALOG,
    f"{CATALOG}-journal",
    f"{CATALOG}-wal",
    f"{CATALOG}-shm",
    DOORBELL,
    RECORDER_LOCK,
    SEAL_LOCK,
    SEGMENTS,
    WRITE_LOCK,
}

Meta = dict[str, Any]


def create_log(
    root: Path, meta: Meta, *, durability: Durability, lock_timeout: float
) -> tuple[Catalog, Meta]:
    """Make a log in a new or empty folder; see `EmbeddedLog.create`."""
    _prepare_folder(root)
    catalog = Catalog(root, writable=True, durability=durability, lock_timeout=lock_timeout)
    try:
        if not catalog.create(meta | {"created_ms": time.time_ns() // 1_000_000}):
            raise LogExists(f"{root} holds a log already", hint="open it without create=True")
        return catalog, catalog.meta()
    except BaseException:
        catalog.close()
        raise


def open_log(
    root: Path, write: bool | None, *, durability: Durability, lock_timeout: float
) -> tuple[Catalog, Meta]:
    """Open a log; see `EmbeddedLog.open`."""
    _check_folder(root)
    able = all(os.access(path, os.W_OK) for path in (root, root / CATALOG))
    if write and not able:
        raise ReadOnly(f"{root} cannot be written", hint="open it with write=False")
    catalog = Catalog(root, writable=False, durability=durability, lock_timeout=lock_timeout)
    try:
        if able and write is not False and catalog.is_of_format_1():
            writer = Catalog(root, writable=True, durability="power", lock_timeout=lock_timeout)
            with closing(writer):
                upgrade(writer)
        meta = catalog.meta()
        if meta["kind"] == "recording" and write:
            raise ReadOnly(
                f"{root} is a recording of the log {meta['log_id']}, which only its recorder "
                "writes",
                hint="open it with write=False",
            )
    except BaseException:
        catalog.close()
        raise
    if write is False or not able or meta["kind"] == "recording":
        return catalog, meta
    catalog.close()
    return Catalog(root, writable=True, durability=durability, lock_timeout=lock_timeout), meta


def open_recorder(
    root: Path, meta: Meta, *, durability: Durability, lock_timeout: float
) -> tuple[Catalog, Meta, FileLock]:
    """Make a recording or go on with one; see `EmbeddedLog.create_recording`."""
    _prepare_folder(root)
    recorder = FileLock(root / RECORDER_LOCK, "the recording", lock_timeout)
    recorder.acquire(timeout=0)
    catalog = Catalog(root, writable=True, durability=durability, lock_timeout=lock_timeout)
    try:
        if not catalog.create(meta | {"created_ms": time.time_ns() // 1_000_000}):
            upgrade(catalog)
        existing = catalog.meta()
        if any(existing.get(name) != value for name, value in meta.items()):
            raise LogExists(
                f"{root} holds a {existing['kind']} of the log {existing['log_id']}, not a "
                f"recording of {meta['log_id']}",
                hint="record into another folder",
            )
        return catalog, existing, recorder
    except BaseException:
        catalog.close()
        recorder.release()
        recorder.close()
        raise


def _prepare_folder(root: Path) -> None:
    """Make the folder, or make sure that it holds nothing but a log's own files."""
    existing = root
    while not existing.exists():
        existing = existing.parent
    refuse_network_storage(existing)
    if not existing.is_dir() or (existing == root and not _holds_own_files_alone(root)):
        raise NotALog(f"{existing} holds something else", hint="a log is made in an empty folder")
    if not os.access(existing, os.W_OK):
        raise ReadOnly(f"{existing} cannot be written")
    files.make_folder(root)


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise LogNotFound(f"there is no log at {root}", hint="create=True makes one")
    refuse_network_storage(root)
    if (root / CATALOG).is_file():
        return
    if root.is_dir() and _holds_own_files_alone(root):
        raise LogNotFound(f"{root} is empty, no log is in it", hint="create=True makes one")
    raise NotALog(
        f"{root} is not a log: it has no {CATALOG}",
        hint="nor is it a sealed bag, which has a bagit.txt",
    )


def _holds_own_files_alone(root: Path) -> bool:
    return {entry.name for entry in root.iterdir()} <= _OWN_FILES
