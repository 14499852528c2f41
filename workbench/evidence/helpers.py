"""Processes that judge records beside this one, since Python hashes small records on one core."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from workbench.evidence.judging import Names, Run, judge_part
from workbench.evidence.verify import LIMIT

#: Files below this size are judged sooner than a process begins.
LEAST_BYTES = 64 << 20
PART_BYTES = 4 << 20
MOST_HELPERS = 4

_HASH_BYTES = 32
#: The helper finds the package where this process did.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from workbench.evidence.helpers import serve; serve()"
)

#: A range of bytes that begins and ends with a line.
Part = tuple[int, int]


def judged(path: Path, names: Names) -> Iterator[tuple[Part, list[Run] | None]]:
    """The parts of a file in their order, with their runs; None where this process has to look."""
    count = min(os.cpu_count() or 1, MOST_HELPERS)
    if path.stat().st_size < LEAST_BYTES or count < 2 or not sys.executable:
        yield from ((part, None) for part in _parts(path))
        return
    with ExitStack() as stack:
        free: SimpleQueue[Helper] = SimpleQueue()
        for _ in range(count):
            helper = Helper(path, names)
            stack.callback(helper.close)
            free.put(helper)
        beside = stack.enter_context(ThreadPoolExecutor(count, "workbench-verify"))
        begun: deque[tuple[Part, Future[list[Run] | None]]] = deque()
        for part in _parts(path):
            begun.append((part, beside.submit(_ask, free, part)))
            if len(begun) > 2 * count:
                yield _done(*begun.popleft())
        while begun:
            yield _done(*begun.popleft())


def _ask(free: SimpleQueue[Helper], part: Part) -> list[Run] | None:
    helper = free.get()
    try:
        return helper.judge(part)
    finally:
        free.put(helper)


def _done(part: Part, future: Future[list[Run] | None]) -> tuple[Part, list[Run] | None]:
    return part, future.result()


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


class Helper:
    """A process that judges parts of one file.  For one thread at a time.

    One that is gone judges nothing: the process that asked does it itself, and so nothing is lost.
    """

    def __init__(self, path: Path, names: Names) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        named = [[*place, name.hex()] for place, name in names.items()]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._send(sys.path)
            self._send([str(path.resolve()), named])
        except OSError:
            self.close()

    def judge(self, part: Part) -> list[Run] | None:
        """The runs of a part of the file; None where they are not for certain as they should be."""
        if self._process is None or self._process.stdout is None:
            return None
        try:
            self._send(part)
            return _receive(self._process.stdout)
        except (OSError, ValueError):
            self.close()
            return None

    def close(self) -> None:
        """End the process.  Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _send(self, told: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        self._process.stdin.flush()


def serve() -> None:
    """What a helper does: judge the parts that it is told, until nothing more comes."""
    # An interrupt is for the process that asks, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    path, named = json.loads(sys.stdin.readline())
    names = {(topic, partition): bytes.fromhex(name) for topic, partition, name in named}
    for told in sys.stdin:
        start, end = json.loads(told)
        _answer(sys.stdout.buffer, judge_part(Path(path), start, end, names))


def _answer(out: IO[bytes], runs: list[Run] | None) -> None:
    told = None if runs is None else [[*run.place, len(run.offsets)] for run in runs]
    out.write(json.dumps(told).encode() + b"\n")
    for run in runs or ():
        out.write(run.offsets.tobytes() + b"".join(run.leaves))
    out.flush()


def _receive(pipe: IO[bytes]) -> list[Run] | None:
    told = json.loads(pipe.readline())
    if told is None:
        return None
    runs = []
    for topic, partition, count in told:
        offsets = array("q", _exactly(pipe, count * 8))
        hashes = _exactly(pipe, count * _HASH_BYTES)
        cut = range(0, len(hashes), _HASH_BYTES)
        runs.append(Run((topic, partition), offsets, [hashes[at : at + _HASH_BYTES] for at in cut]))
    return runs


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise ValueError(f"{len(data)} of {size} bytes came")
    return data
