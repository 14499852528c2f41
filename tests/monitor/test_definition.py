"""A monitor that cannot be computed is refused where it is defined, in a sentence that helps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench.errors import DefinitionError, InvalidRange
from workbench.monitor.definition import describe_ms, duration_ms

AMOUNT = pl.col("amount")


@pytest.fixture
def tx(log: wb.Log) -> wb.Stream:
    log.create("bank", schema={"kind": str, "amount": int, "at": str, "tags": pl.List(pl.String)})
    return log.stream("bank")


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"volume": pl.col("amuont").sum()}, "metric 'volume': no column 'amuont'.*'amount'"),
        ({"volume": AMOUNT}, "'volume' gives a list per window"),
        ({"volume": pl.col("amount", "kind").count()}, "'volume' is over columns that it does not"),
        ({"volume": pl.sum_horizontal(pl.all()).sum()}, "is over columns that it does not name"),
        ({"volume": 3}, "'volume' is a int, not a Polars expression"),
        ({"window_start": AMOUNT.sum()}, "cannot be called 'window_start'"),
        ({"volume": pl.col("kind").dt.year().sum()}, "'volume' cannot be computed"),
        ({"by": "kidn"}, "no column 'kidn' to group by.*did you mean 'kind'"),
        ({"by": ["kind", "kind"]}, "groups by 'kind' once"),
        ({"by": "kind", "kind": pl.len()}, "names both a metric and a column"),
        ({"time": "amont"}, "no column 'amont' to take the time from.*'amount'"),
        ({"time": "tags"}, "is List\\(String\\), which is no time"),
        ({"every": "20s"}, "leave records out"),
        ({"window": 0}, "would be empty"),
        ({"alerts": {"big": pl.col("volum") > 1}}, "alert 'big': no column 'volum'.*'volume'"),
        ({"alerts": {"big": pl.col("volume") + 1}}, "alert 'big' gives Int64, not true or false"),
        ({"alerts": {"big": pl.col("volume").str.len_bytes() > 1}}, "'big' cannot be computed"),
        ({"alerts": {"big": (pl.col("volume") > 1, "bad")}}, "severity 'bad'.*info, warning"),
        ({"alerts": {"big": True}}, "alert 'big' is a bool"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_its_name(
    tx: wb.Stream, definition: dict[str, Any], message: str
) -> None:
    given = {"window": "10s", "volume": AMOUNT.sum(), **definition}
    with pytest.raises(DefinitionError, match=message):
        tx.monitor(**given)


@pytest.mark.parametrize("name", ["window", "every", "late"])
@pytest.mark.parametrize("given", ["soon", True, False, 0.5])
def test_what_is_no_duration_is_refused(tx: wb.Stream, name: str, given: Any) -> None:
    with pytest.raises(InvalidRange, match=f"{given!r} is not a duration"):
        tx.monitor(**{"window": "10s", name: given})


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [("10s", 10_000), ("1h30m", 5_400_000), (timedelta(minutes=1), 60_000), (250, 250), ("0s", 0)],
)
def test_durations(given: Any, milliseconds: int) -> None:
    assert duration_ms(given) == milliseconds
    assert duration_ms(describe_ms(milliseconds)) == milliseconds
