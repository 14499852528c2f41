"""Finding a text in raw records, beside DuckDB over the same Parquet files."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

import workbench as wb
from workbench.records import APPEND

RECORDS = 1_000_000
PARTITIONS = 4
TEXT = "777777"


def fill(log: wb.Log) -> wb.Slice:
    """Values of some 215 bytes, of which a few hold the text."""
    log.create("t", partitions=PARTITIONS, schema={"n": int, "amount": pl.Decimal(12, 2)})
    for first in range(0, RECORDS, 100_000):
        n = pl.int_range(first, first + 100_000, eager=True)
        digits = pl.concat_str([n.hash(seed).cast(pl.String) for seed in range(9)])
        head = pl.concat_str(pl.lit('{"n":'), n, pl.lit(',"amount":'), n % 5000)
        value = pl.select(pl.concat_str(head, pl.lit(',"note":"'), digits, pl.lit('"}')))
        frame = pl.DataFrame(
            {
                "partition": (n % PARTITIONS).cast(pl.Int32),
                "timestamp": (n + 1_793_707_200_000).cast(APPEND["timestamp"]),
                "key": (n % 1000).cast(pl.String).cast(pl.Binary),
                "value": value.to_series().cast(pl.Binary),
                "headers": pl.Series([[]] * len(n), dtype=APPEND["headers"]),
            }
        )
        log.append("t", frame, encode="bytes")
    log.maintain()
    return log.stream("t").all()


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and elapsed seconds of the better of three runs, after one that warms up."""
    work()
    runs = []
    for _ in range(3):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        runs.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(run[0] for run in runs), min(run[1] for run in runs)


def run() -> list[dict[str, Any]]:
    """A row per kind of search."""
    with (
        tempfile.TemporaryDirectory() as folder,
        wb.connect(Path(folder) / "log", create=True) as log,
    ):
        whole = fill(log)
        files = [path for path in Path(folder).rglob("*.parquet") if ".typed." not in path.name]
        listed = ", ".join(f"'{os.fspath(path)}'" for path in files)
        like = f"contains(decode(value), '{TEXT}')"
        sql = f"SELECT key, value FROM read_parquet([{listed}]) WHERE {like}"
        rows = len(duckdb.execute(sql).fetchall())
        assert rows == whole.find(TEXT).counts["match"]
        works: dict[str, Callable[[], object]] = {
            "DuckDB, text in the values": lambda: duckdb.execute(sql).fetchall(),
            "find, text in keys, values, headers": lambda: whole.find(TEXT),
            "find, pattern": lambda: whole.find(re.compile(TEXT)),
            "find, a field": lambda: whole.find(TEXT, by="n"),
            "find, a condition": lambda: whole.find(where=f"n = {TEXT}"),
        }
        found = {name: measured(work) for name, work in works.items()}
    cpu, wall = next(iter(found.values()))
    return [
        {
            "work": name,
            "records/s": round(RECORDS / one[1]),
            "CPU time, DuckDB is 1": round(one[0] / cpu, 2),
            "elapsed, DuckDB is 1": round(one[1] / wall, 2),
        }
        for name, one in found.items()
    ]
