"""Tables: from scratch, at any moment, after news, explained; beside Polars, DuckDB and a dict."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from shutil import copy2, copytree
from typing import Any

import duckdb
import polars as pl

import workbench as wb
from tests.benchmarks.bench_replay import build, events
from tests.benchmarks.table_peers import PEERS
from workbench.source import keyed
from workbench.table import Table

REPEATS = 5
MOMENTS = 60

#: What other tools are given of the records: some take a minute for a million.
PEER_EVENTS = 500_000


def run(count: int = 20_000_000) -> list[dict[str, Any]]:
    """Measure tables over logs of a tenth of so many events, and of so many.

    Where WORKBENCH_BENCH_LOGS names a folder, the logs are kept there: they take minutes to build.
    """
    rows = []
    for size in (count // 10, count):
        kept = os.environ.get("WORKBENCH_BENCH_LOGS")
        with tempfile.TemporaryDirectory(dir=kept) as folder:
            log = Path(folder) / "log"
            if kept:
                whole = Path(kept) / str(size)
                if not whole.exists():
                    build(whole, size)
                _linked(whole, log)
            else:
                build(log, size)
            os.environ["WORKBENCH_CACHE"] = str(Path(folder) / "private")
            rows += measure(log, size)
    return rows


def _linked(log: Path, copy: Path) -> None:
    """A log with the same segments, which nobody ever changes, to be appended to."""

    def one(source: str, target: str) -> object:
        return os.link(source, target) if source.endswith(".parquet") else copy2(source, target)

    copytree(log, copy, copy_function=one)


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
        with _without_snapshots():
            peer, ducks, scratch, picked = _by_turns(
                polars,
                duck,
                lambda: fresh().now(),
                lambda: tx.table(by="account", last=pl.col("amount").last()).now(),
            )
        own = _dict_loop(paths, size)
        rows = [
            _row(size, "polars: group_by over the same files", peer, peer, "polars"),
            _row(size, "duckdb: the same", ducks, peer, "polars"),
            _row(size, "a dict, record by record", own, peer, "polars"),
            *_peers(paths, size, peer),
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
        # Until there are snapshots as close as they come to be: a round leaves next to none.
        kept, before = _snapshots(), -MOMENTS
        while kept - before > MOMENTS // 20:
            for _ in range(MOMENTS):
                held.at(somewhere())
            before, kept = kept, _snapshots()
        times = sorted(_time(lambda: held.at(somewhere())) for _ in range(MOMENTS))
        again = sorted(_time(lambda: fresh().at(somewhere())) for _ in range(MOMENTS))
        with _without_snapshots():
            scratch = _median(lambda: fresh().now())
        held.now()
        nearly = {p: int(offset * 0.99) for (_, p), offset in end.items()}
        differs = _median(lambda: held.diff(nearly, end))
        rows.append(_row(size, "diff() over the last 1 %", differs, scratch, "scratch"))
        for name, found in (
            ("at(random), warm", times),
            ("at(random) by a new table, from files", again),
        ):
            rows.append(_row(size, f"{name}, median", statistics.median(found), scratch, "scratch"))
            late = found[int(len(found) * 0.95)]
            rows.append(_row(size, f"{name}, p95", late, scratch, "scratch"))
        news, beside = [], []
        for first in range(size, size + REPEATS * (size // 100), size // 100):
            for frame in events(first, first + size // 100):
                log.append("tx", frame, encode="bytes", batch_rows=100_000)
            log.maintain()
            news.append(_time(held.now))
            with _without_snapshots():
                beside.append(_time(lambda: fresh().now()))
        after, scratch = statistics.median(news), statistics.median(beside)
        rows.append(_row(size, "now() after 1 % more, median", after, scratch, "scratch"))
        keyed.WORTH = 0.0  # the first look makes all indexes, which else are made bit by bit
        made = _time(lambda: held.explain("A-1042"))
        scan, explained = _by_turns(
            lambda: _explained_by_a_scan(tx), lambda: held.explain("A-1042")
        )
        rows.append(_row(size, "events of a key, by a scan", scan, scan, "scan"))
        rows.append(_row(size, "explain(key), making all indexes", made, scan, "scan"))
        rows.append(_row(size, "explain(key), with them", explained, scan, "scan"))
        one = tx.all().key("A-1042")
        made = _time(one.frame)
        rows.append(_row(size, "slice.key(…).frame(), making all indexes", made, scan, "scan"))
        sliced = _median(one.frame)
        rows.append(_row(size, "slice.key(…).frame(), with them", sliced, scan, "scan"))
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


def _peers(paths: list[str], size: int, peer: float) -> list[dict[str, Any]]:
    """Other tools over a part of the records, which they have in memory; those that are there."""
    rows = []
    count = min(size, PEER_EVENTS)
    python = os.environ.get("WORKBENCH_PEERS", sys.executable)
    for name in PEERS:
        done = subprocess.run(
            [python, "-m", "tests.benchmarks.table_peers", name, str(count), *paths],
            capture_output=True,
            text=True,
            check=False,
        )
        measure = f"{name}, from {count:,} in memory"
        if done.returncode:
            why = done.stderr.strip().splitlines()[-1:]
            rows.append({"measure": f"{size:,}: {measure}", "figure": f"did not run: {why}"})
            continue
        seconds = float(done.stdout.split()[-1]) * size / count
        rows.append(_row(size, measure, seconds, peer, "polars"))
    return rows


class _without_snapshots:
    def __enter__(self) -> None:
        self._folder = os.environ["WORKBENCH_CACHE"]
        os.environ["WORKBENCH_CACHE"] = "off"

    def __exit__(self, *exc: object) -> None:
        os.environ["WORKBENCH_CACHE"] = self._folder


def _snapshots() -> int:
    return sum(1 for _ in Path(os.environ["WORKBENCH_CACHE"]).rglob("*.parquet"))


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
    return _by_turns(call)[0]


def _by_turns(*calls: Callable[[], object]) -> list[float]:
    """The median seconds of each call; by turns, so that what else the machine does is alike."""
    for call in calls:
        call()
    rounds = [[_time(call) for call in calls] for _ in range(REPEATS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


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
