"""Append rates of the embedded log against bare apsw: same pragmas, same rows, same machine.

python -m tests.benchmarks.bench_append [seconds for each cell]
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw
import polars as pl

from tests.benchmarks import table
from workbench.log.embedded import EmbeddedLog
from workbench.log.embedded.catalog import checksum_vfs
from workbench.log.protocol import Producer, TopicSpec
from workbench.records import APPEND

BATCHES = (1, 100, 10_000)
PRODUCERS = (1, 8)

_TABLE = """CREATE TABLE record (
    id INTEGER PRIMARY KEY, ts INTEGER, ts_type INTEGER NOT NULL, key BLOB, value BLOB,
    headers BLOB, leader_epoch INTEGER, recorded_at INTEGER, crc INTEGER NOT NULL) STRICT"""
_INSERT = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TIMESTAMP_MS = 1_790_000_000_000
_POOL = 20_000  # records
_TURNS = 3
_start: Any = None


def run(n: float = 1.0) -> list[dict[str, Any]]:
    """Measure every combination, bare and ours by turns of `n` seconds; the best turn counts.

    Returns a row per combination: producers, records a commit, records a second of both, the
    ratio, and the microseconds per commit of ours.
    """
    rows = []
    for producers in PRODUCERS:
        for batch in BATCHES:
            turns = [
                (
                    _measure(_append_bare, producers, batch, n),
                    _measure(_append_ours, producers, batch, n),
                )
                for _ in range(_TURNS)
            ]
            bare, ours = (max(rates) for rates in zip(*turns, strict=True))
            rows.append(
                {
                    "producers": producers,
                    "records a commit": batch,
                    "bare apsw, records/s": round(bare),
                    "embedded log, records/s": round(ours),
                    "ratio": round(ours / bare, 2),
                    "µs a commit": round(batch / ours * 1e6),
                }
            )
    return rows


def _values(batch: int) -> list[list[bytes]]:
    """Batches that differ: a producer's next records are not in the processor's cache."""
    values = [
        json.dumps(
            {
                "id": f"txn-{i:012}",
                "account": f"A-{i % 400:04}",
                "kind": "card_payment",
                "amount": f"{i % 9973}.25",
                "currency": "EUR",
                "merchant": "a shop in a street of some town",
                "event_time": "2026-11-03T12:00:00.000Z",
            }
        ).encode()
        for i in range(max(_POOL, batch))
    ]
    return [values[i : i + batch] for i in range(0, len(values), batch)]


def _append_bare(folder: str, producer: int, batch: int, seconds: float) -> int:
    connection = apsw.Connection(f"{folder}/bare.db", vfs=checksum_vfs())
    connection.set_busy_timeout(60_000)
    connection.execute("PRAGMA synchronous = FULL")
    batches = cycle([(values, list(map(crc32, values))) for values in _values(batch)])
    keys = [b"A-%04d" % (i % 400) for i in range(batch)]
    times, types, nothing = [_TIMESTAMP_MS] * batch, [0] * batch, [None] * batch
    place = (producer + 1) << 43

    def append() -> None:
        nonlocal place
        values, crcs = next(batches)
        ids = range(place, place + batch)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            _INSERT,
            zip(ids, times, types, keys, values, nothing, nothing, nothing, crcs, strict=True),
        )
        connection.execute("COMMIT")
        place += batch

    return _commits(append, seconds)


def _append_ours(folder: str, producer: int, batch: int, seconds: float) -> int:
    batches = cycle(
        [
            pl.DataFrame(
                {
                    "partition": [producer] * batch,
                    "timestamp": [_TIMESTAMP_MS] * batch,
                    "key": [b"A-%04d" % (i % 400) for i in range(batch)],
                    "value": values,
                    "headers": [None] * batch,
                },
                schema=APPEND,
            )
            for values in _values(batch)
        ]
    )
    with EmbeddedLog.open(f"{folder}/log") as log:
        sequences = count()

        def append() -> None:  # as the public API does: a retry must not write twice
            log.append("bench", next(batches), Producer(f"p{producer}", 0, next(sequences)))

        return _commits(append, seconds)


def _commits(append: Callable[[], object], seconds: float) -> int:
    """Commits within a time that begins for all producers at once."""
    append()
    _start.wait()
    commits, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        append()
        commits += 1
    return commits


def _set_start(barrier: Any) -> None:
    global _start
    _start = barrier


def _measure(
    worker: Callable[[str, int, int, float], int], producers: int, batch: int, seconds: float
) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-append-") as folder:
        bare = apsw.Connection(f"{folder}/bare.db", vfs=checksum_vfs())
        bare.reserve_bytes(None, 8)
        bare.pragma("journal_mode", "wal")
        bare.execute(_TABLE)
        with EmbeddedLog.create(Path(folder) / "log") as log:
            log.create_topic(
                TopicSpec("bench", partitions=producers),
                segment_rows=1 << 40,  # appending alone: sealing has its own figures
                segment_bytes=1 << 50,
            )
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["polars", "workbench.log.embedded"])
        barrier = context.Barrier(producers)
        with context.Pool(producers, _set_start, (barrier,)) as pool:
            jobs = [(folder, number, batch, seconds) for number in range(producers)]
            commits = sum(pool.starmap(worker, jobs, chunksize=1))
        bare.close()
    return commits * batch / seconds


if __name__ == "__main__":
    print(table(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)))
