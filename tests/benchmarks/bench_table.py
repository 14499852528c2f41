"""Tables: from scratch, at any moment, after news, explained; beside Polars, DuckDB and a dict."""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

import workbench as wb
from tests.benchmarks.bench_replay import build, events
from workbench.source import keyed
from workbench.table import Table

REPEATS = 5
MOMENTS = 60


def run(count: int = 20_000_000) -> list[dict[str, Any]]:
    """Measure tables over logs of a tenth of so many events, and of so many."""
    rows = []
    for size in (count // 10, count):
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder) / "log", size)
            os.environ["WORKBENCH_CACHE"] = str(Path(folder) / "private")
            rows += measure(Path(folder) / "log", size)
    return rows


def measure(path: Path, size: int) -> list[dict[str, Any]]:
    """All measures over one log, to which some hundredths are added."""
    with wb.connect(path) as log:
        tx = log.stream("tx")
        paths = [c.typed_path for c in tx.all().source.chunks() if c.typed_path is not None]
        aggregates = {"balance": pl.col("amount").sum(), "events": pl.len()}

        def fresh() -> Table:
            return tx.table(by="account", **aggregates)

        def polars() -> Any:
            return pl.scan_parquet(paths).group_by("account").agg(**aggregates).collect()

        def duck() -> Any:
            listed = ", ".join(f"'{p}'" for p in paths)
            query = (
                f"SELECT account, sum(amount), count(*) FROM read_parquet([{listed}]) GROUP BY 1"
            )
            with duckdb.connect() as con:
                return con.sql(query).fetchnumpy()

        fresh().now()  # which also checks the hashes of the segments, once
        peer = _median(polars)
        with _without_snapshots():
            scratch = _median(lambda: fresh().now())
            picked = _median(lambda: tx.table(by="account", last=pl.col("amount").last()).now())
        own = _dict_loop(paths, size)
        rows = [
            _row(size, "polars: group_by over the same files", peer, peer, "polars"),
            _row(size, "duckdb: the same", _median(duck), peer, "polars"),
            _row(size, "a dict, record by record", own, peer, "polars"),
            _row(size, "table from scratch", scratch, peer, "polars"),
            _row(size, "table from scratch, last by time", picked, peer, "polars"),
            _row(size, "table from scratch, leaving snapshots", _once(fresh, size), peer, "polars"),
        ]
        end = tx.source.end()
        dice = random.Random(7)

        def somewhere() -> dict[int, int]:
            share = dice.random()
            return {p: int(offset * share) for (_, p), offset in end.items()}

        held = fresh()
        for _ in range(MOMENTS):
            held.at(somewhere())
        times = sorted(_time(lambda: held.at(somewhere())) for _ in range(MOMENTS))
        again = sorted(_time(lambda: fresh().at(somewhere())) for _ in range(MOMENTS))
        held.now()
        rows.append(_row(size, "at(random), median", statistics.median(times), scratch, "scratch"))
        rows.append(
            _row(size, "at(random), p95", times[int(len(times) * 0.95)], scratch, "scratch")
        )
        from_files = statistics.median(again)
        rows.append(
            _row(size, "the same by a new table, from files", from_files, scratch, "scratch")
        )
        news = []
        for first in range(size, size + REPEATS * (size // 100), size // 100):
            for frame in events(first, first + size // 100):
                log.append("tx", frame, encode="bytes", batch_rows=100_000)
            log.maintain()
            news.append(_time(held.now))
        after = statistics.median(news)
        rows.append(_row(size, "now() after 1 % more, median", after, scratch, "scratch"))
        scan = _median(lambda: _explained_by_a_scan(tx))
        keyed.WORTH = 0.0  # the first look makes all indexes, which else are made bit by bit
        made = _time(lambda: held.explain("A-1042"))
        explained = _median(lambda: held.explain("A-1042"))
        rows.append(_row(size, "events of a key, by a scan", scan, scan, "scan"))
        rows.append(_row(size, "explain(key), making all indexes", made, scan, "scan"))
        rows.append(_row(size, "explain(key), with them", explained, scan, "scan"))
    disk, whole = _bytes(Path(os.environ["WORKBENCH_CACHE"])), _bytes(path)
    return [
        *rows,
        {
            "measure": f"{size:,}: disk of snapshots and indexes",
            "figure": f"{disk / 2**20:,.1f} MB",
            "ratio": f"{disk / whole:.3f} of the log",
        },
    ]


def _explained_by_a_scan(tx: wb.Stream) -> pl.DataFrame:
    return tx.all().lazy().filter(pl.col("account") == "A-1042").collect()


def _dict_loop(paths: list[str], size: int) -> float:
    """Seconds for all records, from a tenth of them."""
    state: dict[str, list[Any]] = {}
    columns = pl.scan_parquet(paths).select("account", "amount").head(size // 10).collect()
    began = time.perf_counter()
    for account, amount in columns.iter_rows():
        row = state.setdefault(account, [Decimal(0), 0])
        row[0] += amount
        row[1] += 1
    return (time.perf_counter() - began) * 10


class _without_snapshots:
    def __enter__(self) -> None:
        self._folder = os.environ["WORKBENCH_CACHE"]
        os.environ["WORKBENCH_CACHE"] = "off"

    def __exit__(self, *exc: object) -> None:
        os.environ["WORKBENCH_CACHE"] = self._folder


def _once(fresh: Callable[[], Table], size: int) -> float:
    folder = Path(os.environ["WORKBENCH_CACHE"])
    for path in folder.rglob("*.*"):
        path.unlink()
    return _time(lambda: fresh().now())


def _time(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _median(call: Callable[[], object]) -> float:
    call()
    return statistics.median(_time(call) for _ in range(REPEATS))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _row(size: int, measure: str, seconds: float, peer: float, name: str) -> dict[str, Any]:
    return {
        "measure": f"{size:,}: {measure}",
        "figure": f"{seconds * 1000:,.1f} ms",
        "ratio": f"{seconds / peer:.3f} of {name}",
    }


if __name__ == "__main__":
    from tests.benchmarks import table

    if len(sys.argv) > 2:
        os.environ["WORKBENCH_CACHE"] = str(Path(sys.argv[2]).parent / "private")
        print(table(measure(Path(sys.argv[2]), int(sys.argv[1]))))
    else:
        print(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000)))
