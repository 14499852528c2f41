"""The SQLite file of a log: catalog and hot tail.  Connections, transactions, errors.

Every thread has its own connection, and a forked child none at all.  A log that nobody
writes is one plain file in rollback-journal mode, readable from a read-only folder; the first
write of a process switches it to WAL, the last writer to close switches it back.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import apsw
import apsw.sqlite_extra

from workbench.errors import LogBusy, LogError, LogNotFound, NotALog, ReadOnly
from workbench.log.embedded import files
from workbench.log.embedded.doorbell import Doorbell
from workbench.log.embedded.failures import named_errors, raise_named
from workbench.log.embedded.layout import (
    CATALOG,
    DOORBELL,
    FORMAT_VERSION,
    SEAL_LOCK,
    SEGMENTS,
    TABLES,
    WRITE_LOCK,
)
from workbench.log.embedded.locks import FileLock

Durability = Literal["power", "process"]

_SYNCHRONOUS = {"power": "FULL", "process": "NORMAL"}
_CHECKSUM_BYTES = 8  # at the end of each page, what cksumvfs needs
_vfs_lock = threading.Lock()
_inherited: list[apsw.Connection] = []  # a forked child must neither use nor close these
_open_catalogs: weakref.WeakSet[Catalog] = weakref.WeakSet()


def checksum_vfs() -> str:
    """The name of the VFS that keeps a checksum in every page, registered when first needed.

    The process's default VFS stays what it was.
    """
    with _vfs_lock:
        names = apsw.vfs_names()
        if "cksmvfs" not in names:
            loader = apsw.Connection(":memory:")
            apsw.sqlite_extra.load(loader, "cksumvfs")
            loader.close()
            apsw.set_default_vfs(names[0])
    return "cksmvfs"


def fetch(connection: apsw.Connection, sql: str, bindings: Any = ()) -> list[tuple[Any, ...]]:
    """All rows of one statement: a cursor that is left open would keep the WAL growing."""
    return connection.execute(sql, bindings).fetchall()


def _close(connection: apsw.Connection) -> None:
    """Close a connection, when the statement has ended that another thread may be running."""
    while True:
        try:
            connection.close()
        except apsw.ThreadingViolationError:
            time.sleep(0.001)
        else:
            return


class Catalog:
    """One process's access to a log's SQLite file.  Thread-safe.

    Parameters
    ----------
    root
        The log's folder.
    writable
        Open for writing.
    durability
        `"power"` flushes each commit to the storage, `"process"` leaves that to the system.
    lock_timeout
        Seconds to wait for another process before `LogBusy`; for its sealing, ten times that.
    """

    def __init__(
        self, root: Path, *, writable: bool, durability: Durability, lock_timeout: float
    ) -> None:
        self.root = root
        self.writable = writable
        self.doorbell = Doorbell(root / DOORBELL)
        self.lock = FileLock(root / WRITE_LOCK, "the log's write lock", lock_timeout)
        # Held while a segment is decoded and compressed, not for a transaction.
        self.seal_lock = FileLock(root / SEAL_LOCK, "the log's seal lock", 10 * lock_timeout)
        self._synchronous = _SYNCHRONOUS[durability]
        self._lock_timeout = lock_timeout
        self._local = threading.local()
        self._connections: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._closing = threading.Lock()
        self._in_wal = False
        self._forked = False
        self.closed = False
        _open_catalogs.add(self)

    @property
    def connection(self) -> apsw.Connection:
        """The calling thread's connection."""
        try:
            return self._local.connection  # type: ignore[no-any-return]
        except AttributeError:
            if self.closed:
                raise ReadOnly(
                    f"the log {self.root} has been closed", hint="connect again"
                ) from None
            if self._forked:
                raise LogError(
                    f"the log {self.root} was opened before this process was forked, and Polars "
                    "hangs in a forked process",
                    hint='start processes with multiprocessing.get_context("spawn"), and connect '
                    "in each of them",
                ) from None
            with named_errors(self.root):
                connection = self._connect()
            self._local.connection = connection
            self._connections.add(connection)
            return connection

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """A read transaction: everything inside sees one state of the log."""
        connection = self.connection
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:  # SQLite ends it by itself after some errors
                    connection.execute("COMMIT")
        except (apsw.Error, OSError) as error:
            raise_named(self.root, error)

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """A write transaction under the log's lock; rolled back when the body raises."""
        if not self.writable:
            raise ReadOnly(f"the log {self.root} was opened for reading")
        connection = self.connection
        try:
            with self.lock:
                if not self._in_wal:
                    self._switch_to_wal(connection)
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        except (apsw.Error, OSError) as error:
            raise_named(self.root, error)

    def rows(self, sql: str, bindings: Any = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement, which is a read transaction of its own."""
        with named_errors(self.root):
            return fetch(self.connection, sql, bindings)

    def create(self, meta: dict[str, Any]) -> bool:
        """Write the tables of a new log, in one transaction; False when there is one already."""
        with named_errors(self.root), self.lock:
            connection = self.connection
            if connection.pragma("user_version"):
                return False
            connection.reserve_bytes(None, _CHECKSUM_BYTES)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(TABLES).fetchall()
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            connection.execute("COMMIT")
        self.doorbell.ring()  # which makes its file, so that readers can watch it
        files.make_folder(self.root / SEGMENTS)
        files.sync_folder(self.root)
        return True

    def meta(self) -> dict[str, Any]:
        """The log's own facts.  Raises `NotALog`, and `LogNotFound` before it is made."""
        try:
            with named_errors(self.root):
                version = self.connection.pragma("user_version")
                if version > FORMAT_VERSION:
                    raise NotALog(
                        f"{self.root} is a log of format {version}, and this library reads "
                        f"up to {FORMAT_VERSION}",
                        hint="upgrade stream-workbench",
                    )
                if 0 < version < FORMAT_VERSION:
                    raise NotALog(
                        f"{self.root} is a log of format {version}, which is upgraded to "
                        f"{FORMAT_VERSION} when it is opened where it can be written",
                        hint="open it once without write=False, or a copy of it",
                    )
                if not fetch(self.connection, "SELECT 1 FROM sqlite_master"):
                    raise LogNotFound(
                        f"{self.root} holds no log yet",
                        hint="one that is being made is there in a moment",
                    )
                return dict(fetch(self.connection, "SELECT name, value FROM meta"))
        except (apsw.SQLError, apsw.CantOpenError) as error:
            raise NotALog(f"{self.root} holds no log: {error}") from error

    def is_of_format_1(self) -> bool:
        """Whether the log is to be upgraded before it can be used."""
        with named_errors(self.root):
            return bool(self.connection.pragma("user_version") == 1)

    def compact(self) -> None:
        """Give the space of deleted rows back to the system."""
        with named_errors(self.root), self.lock:
            self.connection.execute("VACUUM")

    def close(self) -> None:
        """Close all connections; the last writer leaves one plain file.  Idempotent."""
        with self._closing:
            if self.closed:
                return
            self.closed = True
            self._local = threading.local()
            for connection in list(self._connections):
                _close(connection)
            if self._in_wal:
                self._leave_one_file()
            self.lock.close()
            self.seal_lock.close()
            self.doorbell.close()
            if self._copy is not None:
                self._copy.cleanup()

    def _connect(self) -> apsw.Connection:
        folder = Path(self._copy.name) if self._copy is not None else self.root
        whole = self.writable or self._copy is not None
        flags = apsw.SQLITE_OPEN_READWRITE if whole else apsw.SQLITE_OPEN_READONLY
        if self.writable and not (folder / CATALOG).exists():
            flags |= apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection(str(folder / CATALOG), flags=flags, vfs=checksum_vfs())
        connection.set_busy_timeout(int(self._lock_timeout * 1000))
        try:
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA schema_version").fetchall()
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            connection.close()
            if self.writable or self._copy is not None:
                raise
            # A writer died, and what it left (a WAL, or a journal of what is to be undone) needs a
            # folder that can be written: read from a copy.
            self._copy = tempfile.TemporaryDirectory(prefix="workbench-")
            for name in (CATALOG, f"{CATALOG}-wal", f"{CATALOG}-journal"):
                if (self.root / name).exists():
                    shutil.copyfile(self.root / name, Path(self._copy.name) / name)
            return self._connect()
        return connection

    def _switch_to_wal(self, connection: apsw.Connection) -> None:
        if connection.pragma("journal_mode") != "wal":
            connection.pragma("journal_mode", "wal")
        self._in_wal = True

    def _leave_one_file(self) -> None:
        with suppress(apsw.Error, LogBusy), self.lock:
            last = self._connect()
            last.set_busy_timeout(0)
            try:
                last.pragma("journal_mode", "delete")  # fails while anybody else has it open
            finally:
                last.close()

    def _after_fork(self) -> None:
        _inherited.extend(self._connections)
        self._connections = weakref.WeakSet()
        self._local = threading.local()
        self._closing = threading.Lock()
        self.doorbell.close()
        self._in_wal = False
        self._forked = True


def _forget_parent() -> None:
    for catalog in list(_open_catalogs):
        catalog._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
