"""A table takes memory by its keys, not by its records, and no more than there is."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.conftest import SOAK
from workbench.table import memory
from workbench.table.aggregation import Aggregation
from workbench.table.definition import define
from workbench.table.spill import Spilled

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


def held() -> int:
    """The bytes that this process holds and has not offered to the system."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    offered = int(rollup.split("LazyFree:")[1].split()[0]) * 1024
    return memory.taken() - offered


def fold(events: int, keys: int, free_mb: int) -> tuple[int, bool, int, int]:
    """The most MB that this process held while it folds, as if the machine had no more to give.

    And whether it went on in files, and the table's keys and events.
    """
    most, over = held(), threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, held())

    watching = threading.Thread(target=watch)
    watching.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available", lambda: free_mb * 2**20 - held())
        table = engine()
        state = table.fold(table.empty(), frames(events, keys), lambda torn: [])
        frame = table.finalise(state)
    over.set()
    watching.join()
    most >>= 20
    print(f"{keys:,} keys over {events:,} events: {most:,} MB of {free_mb:,} MB")
    return most, isinstance(state, Spilled), frame.height, int(frame["events"].sum())


# Grouping a frame of records takes memory too, beside what is free for the state.
@pytest.mark.parametrize(
    ("events", "keys", "free_mb", "most_mb", "in_files"),
    [
        # In memory or in files: what the allocator has not given back yet counts as taken.
        (50_000_000, 5_000_000, 3_600, 4_096, None),
        (50_000_000, 25_000_000, 3_600, 4_096, True),
    ]
    if SOAK
    else [(2_000_000, 200_000, 800, 1_024, False), (1_500_000, 1_000_000, 450, 1_024, True)],
)
def test_memory_is_that_of_the_keys_and_no_more_than_there_is(
    events: int, keys: int, free_mb: int, most_mb: int, in_files: bool | None
) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak, spilled, height, counted = pool.apply(fold, (events, keys, free_mb))
    assert (height, counted) == (keys, events)
    assert in_files in (None, spilled)
    assert peak < most_mb


def test_what_is_free_is_what_the_container_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    everything: Any = memory.available()
    assert everything > 2**20
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    stat = "anon 700000\nshmem 100000\ninactive_file 150000\nactive_file 50000\n"
    (tmp_path / "memory.stat").write_text(stat)
    assert memory.available() == 2_200_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > 2**20
