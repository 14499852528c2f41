"""Processes that judge records beside this one, since Python hashes small records on one core."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.evidence.judging import Names, Run, judge_part
from workbench.evidence.verify import LIMIT

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

#: Files below this size are judged sooner than a process begins.
LEAST_BYTES = 64 << 20
PART_BYTES = 4 << 20
MOST_HELPERS = 4

#: For how long a process waits for more; one whose parent was killed waits in vain.
IDLE_SECONDS = 10

#: A range of bytes that begins and ends with a line.
Part = tuple[int, int]

_Asked = Future[list[Run] | None] | None


def judged(path: Path, names: Names) -> Iterator[tuple[Part, list[Run] | None]]:
    """The parts of a file in their order, with their runs; None where this process has to look."""
    count = min(_cores(), MOST_HELPERS)
    pool = None if path.stat().st_size < LEAST_BYTES or count < 2 else _pool(count)
    if pool is None:
        yield from ((part, None) for part in _parts(path))
        return
    begun: deque[tuple[Part, _Asked]] = deque()
    try:
        for part in _parts(path):
            begun.append((part, _ask(pool, path, part, names)))
            if len(begun) > 2 * count:
                yield _done(*begun.popleft())
        while begun:
            yield _done(*begun.popleft())
    finally:
        pool.shutdown(kill_workers=True)


def _cores() -> int:
    """How many processors this process may use, which may be fewer than there are."""
    mine = getattr(os, "sched_getaffinity", None)  # not on every system
    return (os.cpu_count() or 1) if mine is None else len(mine(0))


def _pool(count: int) -> ProcessPoolExecutor | None:
    """Processes that do not run the caller's script again, as Python's own would; None if none."""
    from loky import ProcessPoolExecutor

    try:
        return ProcessPoolExecutor(count, timeout=IDLE_SECONDS)
    except OSError:
        return None


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that begin here hear of no interrupt: it is for this one, which then ends them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ask(pool: ProcessPoolExecutor, path: Path, part: Part, names: Names) -> _Asked:
    try:
        with _deaf():
            asked: _Asked = pool.submit(judge_part, path, *part, names)
            return asked
    except (BrokenProcessPool, OSError):
        return None


def _done(part: Part, asked: _Asked) -> tuple[Part, list[Run] | None]:
    """What a process found; one that is gone found nothing, and so nothing is lost."""
    return part, None if asked is None or asked.exception() else asked.result()


def _parts(path: Path) -> Iterator[Part]:
    """A file in parts that begin where a line does."""
    with path.open("rb") as file:
        start, size = 0, path.stat().st_size
        while start < size:
            file.seek(start + PART_BYTES)
            while (line := file.readline(LIMIT)) and not line.endswith(b"\n"):
                pass
            end = min(file.tell(), size)
            yield start, end
            start = end
