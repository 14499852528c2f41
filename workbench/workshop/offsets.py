"""11: offsets and seeking."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from workbench.api.slice import Slice
from workbench.workshop.verdict import HintError, exercise, of_kind, transactions


@exercise("11.1")
def partition_of_a_key(answer: Any) -> str:
    """All records of a key lie in one partition."""
    of_kind(answer, int, "the number of a partition")
    (place,) = transactions().filter(key="A-1042")["partition"].unique()
    if answer != place:
        raise HintError("filter a frame for the key A-1042, and look at its column `partition`.")
    return "every record of A-1042 is in it, and so they are in order."


@exercise("11.2")
def ten_records(answer: Any) -> str:
    """A slice by offsets."""
    of_kind(answer, Slice, "a slice")
    end = answer.address.end.get(("transactions", 2))
    if end == 109:
        raise HintError("the end is not part of a slice: it is the first offset that is left out.")
    found = answer.frame()
    if found.select("partition", "offset").rows() != [(2, offset) for offset in range(100, 110)]:
        raise HintError(
            f"this slice has {found.height} records; it should have those of partition 2 from "
            "offset 100 to offset 109. A bound can be {partition: offset}."
        )
    return "bounds are half-open, [100, 110): ten records, and the next slice begins at 110."


@exercise("11.3")
def one_day(answer: Any) -> str:
    """How many records were stamped on a day."""
    of_kind(answer, int, "a number of records")
    day = transactions().filter(pl.col("timestamp").dt.date() == date(2026, 11, 5))
    if answer != day.height:
        raise HintError('between("2026-11-05", "2026-11-06") is the day; frame().height counts.')
    return "the times became offsets, and what was read is only what lies between them."


@exercise("11.4")
def time_runs_backwards(answer: Any) -> str:
    """The first late record of a partition."""
    of_kind(answer, int, "an offset")
    times = transactions().filter(partition=0).sort("offset")
    back = times["timestamp"].shift(1) - times["timestamp"]
    first = times.filter(back > timedelta(hours=1))["offset"][0]
    if answer != first:
        raise HintError(
            'take partition 0 in the order of its offsets; pl.col("timestamp").shift(1) is the '
            "time of the record before."
        )
    return (
        "offsets tell the order of arrival, timestamps the producer's clock. The Harbour branch "
        "was off the network, and its records came when it was back."
    )
