"""A table takes memory by its keys, not by its records, and says so before there is none left."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.conftest import SOAK
from workbench.errors import ReadLimitExceeded
from workbench.table import aggregation, memory
from workbench.table.aggregation import Aggregation
from workbench.table.definition import define

SCHEMA = {"offset": pl.Int64(), "account": pl.String(), "amount": pl.Decimal(18, 2)}
AGGREGATES = {
    "balance": pl.col("amount").sum(),
    "events": pl.len(),
    "last": pl.col("amount").last(),
}
FRAME_ROWS = 500_000


def engine() -> Aggregation:
    return Aggregation(define(("account",), AGGREGATES, SCHEMA), SCHEMA)


def frames(events: int, keys: int) -> Iterator[pl.DataFrame]:
    for first in range(0, events, FRAME_ROWS):
        number = pl.int_range(first, min(first + FRAME_ROWS, events), eager=True).alias("offset")
        yield number.to_frame().with_columns(
            pl.format("A-{}", pl.col("offset") * 7919 % keys).alias("account"),
            (pl.col("offset") % 1000).cast(pl.Decimal(18, 2)).alias("amount"),
            pl.col("offset").alias("_at"),
            pl.lit(0, pl.Int64).alias("_lane"),
            _counts=True,
            _tombstone=False,
        )


def fold(events: int, keys: int) -> tuple[int, int, int]:
    """Peak MB of this process while it folds, and the table's keys and events."""
    Path("/proc/self/clear_refs").write_text("5")
    table = engine()
    state = table.fold(table.empty(), frames(events, keys), lambda torn: [])
    frame = table.finalise(state)
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    return peak, frame.height, int(frame["events"].sum())


def test_memory_is_that_of_the_keys() -> None:
    events, keys, most_mb = (50_000_000, 5_000_000, 4_096) if SOAK else (4_000_000, 200_000, 1_024)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak, height, counted = pool.apply(fold, (events, keys))
    assert (height, counted) == (keys, events)
    assert peak < most_mb


def test_a_table_that_outgrows_the_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "WAITING_ROWS", 0)
    monkeypatch.setattr(memory, "available", lambda: 2**20)
    table = engine()
    with pytest.raises(
        ReadLimitExceeded, match=r"500,000 keys so far.* and 1 MB are free .*log\.sql"
    ):
        table.fold(table.empty(), frames(2_000_000, 10**9), lambda torn: [])


def test_what_is_free_is_what_the_container_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    everything: Any = memory.available()
    assert everything > 2**20
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert memory.available() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > 2**20
