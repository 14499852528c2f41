"""Sealing and checking evidence: records per second of one core, at 215-byte values."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

import workbench as wb
from workbench.records import APPEND

RECORDS = 300_000
VALUE_BYTES = 215


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time, children's too: the wall clock lies where others work."""
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def on_one_core(work: Callable[[], object]) -> None:
    """Where there is but one, no process is begun beside this one: that costs as much as a second's
    work, which counts for all of few records and for none of many."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        work()
    finally:
        os.sched_setaffinity(0, cores)


def run_alone(command: list[str | Path]) -> None:
    """A process, whose start counts too."""
    subprocess.run(command, check=True, capture_output=True)


def fill(log: wb.Log) -> wb.Slice:
    log.create("t")
    for first in range(0, RECORDS, 50_000):
        numbers = pl.int_range(first, first + 50_000, eager=True)
        body = numbers.cast(pl.String).str.zfill(VALUE_BYTES - len('{"n":""}'))
        frame = pl.DataFrame(
            {
                "partition": pl.zeros(len(numbers), pl.Int32, eager=True),
                "timestamp": (numbers + 1_793_707_200_000).cast(APPEND["timestamp"]),
                "key": (numbers % 1000).cast(pl.String).cast(pl.Binary),
                "value": ('{"n":"' + body + '"}').cast(pl.Binary),
                "headers": pl.Series([[]] * len(numbers), dtype=APPEND["headers"]),
            }
        )
        log.append("t", frame, encode="bytes")
    log.maintain()
    return log.stream("t").all()


def run() -> list[dict[str, Any]]:
    """A row per kind of work."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with wb.connect(place / "log", create=True) as log:
            whole = fill(log)
            command = [sys.executable, "-m", "workbench", "verify", place / "a"]
            script = [sys.executable, place / "a/verify.py"]
            works: dict[str, Callable[[], object]] = {
                "seal": lambda: whole.seal(place / "a", purpose="bench", results=False),
                "seal, salted": lambda: whole.seal(
                    place / "b", purpose="bench", salted=True, results=False
                ),
                "seal, with results": lambda: whole.seal(place / "c", purpose="bench"),
                "verify": lambda: on_one_core(lambda: wb.verify(place / "a")),
                "verify, all cores": lambda: wb.verify(place / "a"),
                "verify, a new process": lambda: on_one_core(lambda: run_alone(command)),
                "verify.py": lambda: run_alone(script),
                "open as a log": lambda: wb.connect(place / "a").close(),
                "verify against the source": lambda: wb.verify(place / "a", against=log),
            }
            return [
                {"work": name, "records/s of CPU time": round(RECORDS / cpu_seconds(work))}
                for name, work in works.items()
            ]
