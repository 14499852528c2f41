"""Renewing the leases of a process's group members while they are at work on a batch."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence

from workbench.errors import LogBusy, WorkbenchError
from workbench.log.embedded.catalog import Catalog

_log = logging.getLogger("workbench")


class Lease:
    """One member's claim to be alive.  Renewed as long as somebody holds this object."""

    def __init__(self, gid: int, member: str, milliseconds: int) -> None:
        self.gid = gid
        self.member = member
        self.milliseconds = milliseconds

    def end_ms(self) -> int:
        """When it ends if it is renewed now."""
        return time.time_ns() // 1_000_000 + self.milliseconds


class Leases:
    """The leases of one open log, and the thread that renews them.  Thread-safe.

    The thread starts with the first lease and ends with the last.  It only renews: who has been
    taken for dead asks for the assignment to be a member again.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._pid = os.getpid()
        self._held: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def keep(self, lease: Lease) -> None:
        """Renew a lease from now on, until it is dropped or nobody holds it."""
        with self._changed:
            self._held.add(lease)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._run, name="workbench-leases", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def drop(self, lease: Lease) -> None:
        """Renew a lease no longer."""
        with self._changed:
            self._held.discard(lease)
            self._changed.notify()

    def close(self) -> None:
        """Renew nothing any more, and wait for what is under way.  Idempotent."""
        if self._pid != os.getpid():  # the parent's thread did not come along
            return
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while held := self._due():
            try:
                self._renew(held)
            except LogBusy:
                pass  # a third of the lease has gone, the next turn comes in time
            except WorkbenchError as error:
                _log.warning("renewing the leases of consumer groups: %s", error)
            del held

    def _due(self) -> list[Lease]:
        """Sleep until renewal is due; nothing when there is nothing left to renew."""
        with self._changed:
            started = time.monotonic()
            while self._held and not self._closed:
                wait = min(lease.milliseconds for lease in self._held) / 3000
                left = started + wait - time.monotonic()
                if left <= 0:
                    return list(self._held)
                self._changed.wait(left)
            self._thread = None
            return []

    def _renew(self, held: Sequence[Lease]) -> None:
        with self._catalog.write() as connection:
            connection.executemany(
                "UPDATE member SET lease_end_ms = ? WHERE gid = ? AND mid = ?",
                [(lease.end_ms(), lease.gid, lease.member) for lease in held],
            )
