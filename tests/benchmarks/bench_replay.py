"""Replaying a large sealed log: aggregations, ranges, the tail, and memory."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

import workbench as wb

PARTITIONS = 4
FIRST_MS = 1_793_577_600_000
BATCH_ROWS = 100_000
SCHEMA = {"id": pl.Int64, "account": pl.String, "kind": pl.String, "amount": pl.Decimal(18, 2)}
REPEATS = 5


def run(count: int = 10_000_000) -> list[dict[str, Any]]:
    """Build a log of so many sealed events and measure reads of it; a row per measure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        build(path, count)
        with wb.connect(path, write=False) as log:
            rows = _reads(log, count)
        return [*rows, _memory(path)]


def build(path: Path, count: int) -> None:
    """A sealed log with one topic `tx` of bank-like JSON events, a millisecond apart."""
    with wb.connect(path, create=True, durability="process") as log:
        log.create("tx", partitions=PARTITIONS, schema=SCHEMA)
        for frame in events(0, count):
            log.append("tx", frame, encode="bytes", batch_rows=BATCH_ROWS)
        log.maintain()


def events(start: int, end: int) -> Iterator[pl.DataFrame]:
    """The events of these numbers, a millisecond apart, in frames to be appended as bytes."""
    for first in range(start, end, BATCH_ROWS):
        i = pl.int_range(first, min(first + BATCH_ROWS, end), eager=True).alias("i")
        cents = pl.col("i") * 104_729 % 1_000_000
        text = pl.concat_str(
            pl.lit('{"id":'),
            pl.col("i"),
            pl.lit(',"account":"'),
            "account",
            pl.lit('","kind":"card_payment","amount":'),
            cents // 100,
            pl.lit("."),
            (cents % 100).cast(pl.String).str.zfill(2),
            pl.lit("}"),
        )
        yield (
            i.to_frame()
            .with_columns(account=pl.format("A-{}", 1000 + pl.col("i") * 7919 % 100_000))
            .select(
                key=pl.col("account").cast(pl.Binary),
                value=text.cast(pl.Binary),
                timestamp=(FIRST_MS + pl.col("i")).cast(pl.Datetime("ms", "UTC")),
            )
        )


def _reads(log: wb.Log, count: int) -> list[dict[str, Any]]:
    tx = log.stream("tx")
    everything = tx.all()
    total = pl.col("amount").sum()
    began = time.perf_counter()
    everything.lazy().select(total).collect()
    first = time.perf_counter() - began
    paths = [
        chunk.typed_path for chunk in everything.source.chunks() if chunk.typed_path is not None
    ]
    plain = _median(lambda: pl.scan_parquet(paths).select(total).collect())
    ours = _median(lambda: everything.lazy().select(total).collect())
    share = {p: (e // 2, e // 2 + e // 100) for (_, p), e in everything.address.end.items()}
    low, high = ({p: bounds[side] for p, bounds in share.items()} for side in (0, 1))
    middle = FIRST_MS + count // 2
    span = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (middle, middle + count // 100)]
    by_offset = _median(lambda: tx.between(low, high).lazy().select(total).collect())
    by_time = _median(lambda: tx.between(*span).lazy().select(total).collect())
    tail = _median(lambda: tx.tail(20))
    return [
        _row(f"sum of a field over {count:,} events, plain scan_parquet", plain, plain),
        _row("the same through a slice, hashes checked before", ours, plain),
        _row("the same, first time, with the check of the hashes", first, plain),
        _row("1 % of the offsets", by_offset, plain),
        _row("1 % of the time", by_time, plain),
        _row("tail(20)", tail, plain),
    ]


def _memory(path: Path) -> dict[str, Any]:
    """The peak memory of a fresh process that walks through the whole log in batches."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        before, after, held = pool.apply(_walk, (path,))
    return {
        "measure": f"walk through {held:,} MB of values in batches",
        "figure": f"peak {after:,} MB, {before:,} MB of it before the first batch",
        "ratio": None,
    }


def _walk(path: Path) -> tuple[int, int, int]:
    with wb.connect(path, write=False) as log:
        whole = log.stream("tx").all()
        # The peak of the process that started this one is forgotten first.
        Path("/proc/self/clear_refs").write_text("5")
        before = _peak_mb()
        size = sum(
            int(frame["value"].bin.size().sum()) for frame in whole.batches(50_000, raw=True)
        )
    return before, _peak_mb(), size // 2**20


def _peak_mb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _median(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _row(measure: str, seconds: float, peer: float) -> dict[str, Any]:
    return {
        "measure": measure,
        "figure": f"{seconds * 1000:,.1f} ms",
        "ratio": f"{seconds / peer:.3f}",
    }


if __name__ == "__main__":
    from tests.benchmarks import table

    print(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)))
