"""What runs in the processes that the crash tests kill."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import apsw

from tests.embedded.support import numbered
from workbench.errors import LeaseLost, LogBusy, StorageFull
from workbench.log.embedded import EmbeddedLog, append, catalog, files, hot, seal, segments
from workbench.log.embedded.doorbell import Doorbell
from workbench.log.embedded.layout import WRITE_LOCK
from workbench.log.embedded.locks import FileLock
from workbench.log.protocol import Producer
from workbench.positions import Position

PARTITIONS = 2
BATCH = 10

#: Where a process may end: each is an operation of the real code, and it ends before or after it.
FAULT_POINTS = {
    "append: end moved": (append, "_take"),
    "append: batches stored": (hot, "store"),
    "append: committed": (Doorbell, "ring"),
    "seal: folder made": (files, "make_folder"),
    "seal: file synced": (files, "sync_file"),
    "seal: hashed": (files, "sha256"),
    "seal: named": (files, "rename"),
    "seal: folder synced": (files, "sync_folder"),
    "seal: rows deleted": (seal, "delete_rows"),
    "recover: file removed": (files, "unlink"),
    "read: segment checked": (segments, "fault"),
    "close: connection": (catalog.Catalog, "_leave_one_file"),
}


def die_at(point: str, after: bool, countdown: int) -> None:
    """Have this process kill itself at a fault point, when it comes by for the n-th time."""
    owner, name = FAULT_POINTS[point]
    real = getattr(owner, name)
    left = countdown

    def dying(*args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*args, **options)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, dying)


def _note(path: Path, text: str) -> None:
    """Append a line that survives this process."""
    with path.open("a") as file:
        file.write(text + "\n")


def produce(folder: str, name: str, seconds: float, fault: tuple[str, bool, int] | None) -> None:
    """Append batches with sequences, noting each one that was acknowledged."""
    if fault is not None:
        die_at(*fault)
    notes = Path(folder) / f"{name}.acknowledged"
    sequence = len(notes.read_text().splitlines()) if notes.exists() else 0
    with EmbeddedLog.open(Path(folder) / "log", lock_timeout=60) as log:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            records = numbered(
                sequence * BATCH,
                BATCH,
                partition=[(sequence + i) % PARTITIONS for i in range(BATCH)],
                keys=[name.encode()] * BATCH,
            )
            log.append("t", records, Producer(name, 0, sequence))
            _note(notes, str(sequence))
            sequence += 1


def seal_often(folder: str, seconds: float, fault: tuple[str, bool, int] | None) -> None:
    """Seal whatever there is."""
    if fault is not None:
        die_at(*fault)
    with EmbeddedLog.open(Path(folder) / "log", lock_timeout=60) as log:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                log.seal(force=True)
            except LogBusy:
                continue


def consume(folder: str, seconds: float, fault: tuple[str, bool, int] | None) -> None:
    """Follow the topic in a group, noting what was seen before it is committed."""
    if fault is not None:
        die_at(*fault)
    notes = Path(folder) / "seen"
    with EmbeddedLog.open(Path(folder) / "log", lock_timeout=60) as log:
        member = log.join("g", Position({("t", p): 0 for p in range(PARTITIONS)}))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            position = member.assignment()
            if not log.wait(position, timeout=0.05):
                continue
            reached = {}
            for (topic, partition), start in position.items():
                last = log.partitions(topic)[partition].end
                offsets = [
                    offset
                    for chunk in log.read(topic, partition, start, last)
                    for offset in chunk.raw.collect()["offset"]
                ]
                _note(notes, f"{partition} {' '.join(map(str, offsets))}")
                reached[topic, partition] = last
            member.commit(Position(reached))
        member.leave()


def append_for(folder: str, producer: int, seconds: float, queue: Any) -> None:
    """Append single records for some time; gives each wait for the lock, or the error.

    A wait is the moments, of a clock that processes share, when the lock was asked for and got.
    """
    waits: list[tuple[int, int]] = []
    acquire = FileLock.acquire

    def noting(lock: FileLock, timeout: float | None = None) -> None:
        asked = time.monotonic_ns()
        acquire(lock, timeout)
        if lock.path.name == WRITE_LOCK:
            waits.append((asked, time.monotonic_ns()))

    try:
        FileLock.acquire = noting  # type: ignore[method-assign]
        with EmbeddedLog.open(folder, lock_timeout=60) as log:
            log.append("t", numbered(0, 1, keys=[b"%d" % producer]))
            queue.put(("ready", producer, []))
            while not (Path(folder).parent / "go").exists():
                time.sleep(0.001)
            commits, end = 1, time.monotonic() + seconds
            while time.monotonic() < end:
                log.append("t", numbered(commits, 1, keys=[b"%d" % producer]))
                commits += 1
            queue.put(("done", producer, list(waits)))  # closing waits, too
    except Exception as error:
        queue.put(("failed", producer, repr(error)))


def hold(folder: str, lock: str, queue: Any) -> None:
    """Hold a lock of a log until killed."""
    with EmbeddedLog.open(folder) as log:
        getattr(log._catalog, lock).acquire()
        queue.put(os.getpid())
        time.sleep(600)


class SmallDisk(apsw.VFS):
    """The system's VFS over a disk that holds so many bytes, for who may not mount one."""

    def __init__(self, folder: Path, limit: int) -> None:
        super().__init__("small", "unix", makedefault=True)
        self._folder = folder
        self.limit = limit

    def full(self) -> bool:
        return sum(p.stat().st_size for p in self._folder.rglob("*") if p.is_file()) > self.limit

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return SmallDiskFile(self, name, flags)


class SmallDiskFile(apsw.VFSFile):
    def __init__(self, disk: SmallDisk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xLock(self, level: int) -> None:
        try:
            super().xLock(level)
        except apsw.IOError as error:  # closing tries to lock what it may only read
            raise apsw.BusyError(str(error)) from None

    def xWrite(self, data: bytes, offset: int) -> None:
        if offset + len(data) > self.xFileSize() and self._disk.full():
            raise apsw.FullError("the simulated disk is full")
        super().xWrite(data, offset)


def _simulate_small_disk(folder: Path, limit: int) -> SmallDisk:
    disk = SmallDisk(folder, limit)
    sync_file = files.sync_file

    def sync(path: Path) -> None:
        if disk.full():
            raise OSError(errno.ENOSPC, "the simulated disk is full")
        sync_file(path)

    files.sync_file = sync
    return disk


def fill(folder: str, seed: int, limit: int | None, queue: Any) -> None:
    """Append and seal until the disk is full; says how many records were acknowledged."""
    choose = random.Random(seed)
    acknowledged = 0
    simulated = None if limit is None else _simulate_small_disk(Path(folder).parent, limit)
    with EmbeddedLog.open(folder) as log:
        while True:
            size = choose.choice((1, 10, 200))
            try:
                log.append("t", numbered(acknowledged, size))
                acknowledged += size
                if choose.random() < 0.2:
                    log.seal(force=choose.random() < 0.5)
            except StorageFull:
                break
        queue.put(acknowledged)
        if simulated is not None:  # closing moves pages about, and Python's VFS would complain
            simulated.limit = 1 << 40


def take_part(folder: str, group: str, lease: float, queue: Any) -> None:
    """Join a group, say what was assigned, and do nothing more."""
    with EmbeddedLog.open(folder) as log:
        start = Position({("t", p.partition): 0 for p in log.partitions("t")})
        member = log.join(group, start, lease_seconds=lease)
        queue.put(dict(member.assignment()))
        time.sleep(600)


def commit_late(folder: str, group: str, lease: float, queue: Any, resume: Any) -> None:
    """Join a group, wait to be told, and commit; says what was assigned and what came of it."""
    with EmbeddedLog.open(folder) as log:
        member = log.join(group, Position({("t", 0): 0}), lease_seconds=lease)
        queue.put(dict(member.assignment()))
        resume.wait(60)
        try:
            member.commit(Position({("t", 0): 9}))
            queue.put("committed")
        except LeaseLost as error:
            queue.put(str(error))
        queue.put(dict(member.assignment()))
        member.leave()
