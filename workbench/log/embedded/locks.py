"""Locks between processes: `flock`, waited for in the kernel's queue, bounded by a watchdog.

Polling a lock with a time-out starves writers; a blocking wait is fair.  What bounds the wait is
the watchdog: the blocking call runs in a thread of its own, and whoever loses patience leaves
that thread behind to give the lock back.  Windows (`msvcrt`) polls; that path is untested.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from workbench.errors import LogBusy

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock on a file, between processes and between the threads of one process.

    The file holds the pid of its last holder.  Thread-safe; not re-entrant.  A forked child
    drops what it inherits: the kernel would share the lock with it.

    Parameters
    ----------
    path
        The lock file; made when first needed.
    what
        What the lock protects, for the error message: "the log's write lock".
    timeout
        Seconds to wait before `LogBusy`.
    """

    def __init__(self, path: Path, what: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._what = what
        self._thread_lock = threading.Lock()
        self._descriptor: int | None = None
        _locks.add(self)

    def acquire(self, timeout: float | None = None) -> None:
        """Take the lock.  Raises `LogBusy`, naming the holder, after the time-out (seconds)."""
        limit = self.timeout if timeout is None else timeout
        started = time.monotonic()
        if not self._thread_lock.acquire(timeout=limit):
            raise self._busy(limit)
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if not _try_lock(self._descriptor):
                self._wait(self._descriptor, limit - (time.monotonic() - started), limit)
            os.pwrite(self._descriptor, b"%-19d\n" % os.getpid(), 0)
        except BaseException:
            self._thread_lock.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            _unlock(self._descriptor)
        self._thread_lock.release()

    def close(self) -> None:
        """Close the lock file, which must not be held."""
        with self._thread_lock:
            self._forget()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _after_fork(self) -> None:
        self._forget()
        self._thread_lock = threading.Lock()

    def _wait(self, descriptor: int, remaining: float, limit: float) -> None:
        if remaining <= 0:
            raise self._busy(limit)
        if not _Waiter(descriptor).granted(remaining):
            self._descriptor = None  # the waiter closes it
            raise self._busy(limit)

    def _busy(self, seconds: float) -> LogBusy:
        try:
            holder = f"process {int(self.path.read_bytes())}"
        except (OSError, ValueError):
            holder = "another process"
        waited = f"; waited {seconds:g} s for it" if seconds else ""
        return LogBusy(
            f"{self._what} ({self.path}) is held by {holder}{waited}",
            hint="try again, or end that process",
        )


def _forget_parent() -> None:
    for lock in list(_locks):
        lock._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


class _Waiter:
    """A thread blocked in the kernel's lock queue, which may be abandoned.

    A bare thread and a bare lock: eight writers start one for nearly every commit, and
    `threading.Thread` would have each wait for the other's start.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._state = threading.Lock()
        self._abandoned = False
        self._has_lock = False
        self._waiting = threading.Lock()
        self._waiting.acquire()
        _thread.start_new_thread(self._block, ())

    def granted(self, timeout: float) -> bool:
        self._waiting.acquire(timeout=timeout)
        with self._state:
            self._abandoned = not self._has_lock
            return self._has_lock

    def _block(self) -> None:
        _lock(self._descriptor)
        with self._state:
            self._has_lock = not self._abandoned
            if self._abandoned:
                os.close(self._descriptor)
        self._waiting.release()


if sys.platform == "win32":  # untested

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _lock(descriptor: int) -> None:
        while not _try_lock(descriptor):
            time.sleep(0.005)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
