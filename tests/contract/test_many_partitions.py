"""Many partitions with few records each, which are decoded together: each record once, in order."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import workbench as wb
from workbench.errors import ReadLimitExceeded

from .conftest import Kind

PARTITIONS = 110
#: Two records each, but for an empty one, one with many, and one with few that are large.
COUNTS = {p: {7: 0, 50: 300, 51: 3}.get(p, 2) for p in range(PARTITIONS)}
LARGE = 51
EXPECTED = pl.DataFrame(
    [
        {"partition": p, "offset": n, "n": n, "pad": "x" * 40_000 if p == LARGE else ""}
        for p, count in COUNTS.items()
        for n in range(count)
    ],
    schema={"partition": pl.Int32, "offset": pl.Int64, "n": pl.Int64, "pad": pl.String},
)


@pytest.fixture(scope="module")
def part(shared_log: wb.Log, kind: Kind) -> wb.Slice:
    made = shared_log.create(
        "many", partitions=PARTITIONS, schema={"p": pl.Int64, "n": pl.Int64, "pad": str}
    )
    rows = EXPECTED.select(pl.col("partition").alias("p"), "n", "pad")
    # Written out of order, and the end of each partition after what has become old.
    shuffled = rows.sample(fraction=1, shuffle=True, seed=1).sort("n", maintain_order=True)
    for share in (shuffled.filter(pl.col("n") < 1), shuffled.filter(pl.col("n") >= 1)):
        shared_log.append("many", share, partition="p")
        kind.settle(shared_log)
    return made.all()


def check(found: pl.DataFrame, expected: pl.DataFrame = EXPECTED) -> None:
    assert_frame_equal(found.select(EXPECTED.columns), expected)


def test_a_frame(part: wb.Slice) -> None:
    check(part.frame(raw=True))


def test_a_lazy_frame(part: wb.Slice) -> None:
    check(part.lazy().collect())
    last = pl.col("partition") >= PARTITIONS - 5
    check(part.lazy().filter(last).collect(), EXPECTED.filter(last))


def test_sql(part: wb.Slice) -> None:
    query = 'SELECT partition, record_offset AS "offset", n, pad FROM slice'
    check(part.sql(query + " ORDER BY ALL"))


def test_batches(part: wb.Slice) -> None:
    check(pl.concat(part.batches(rows=7)))


def test_a_table(part: wb.Slice, shared_log: wb.Log) -> None:
    table = shared_log.stream("many").table(by="n", records=pl.len(), p=pl.col("partition").sum())
    expected = EXPECTED.group_by("n").agg(
        records=pl.len(), p=pl.col("partition").cast(pl.Int64).sum()
    )
    found = table.now().frame.select("n", "records", "p").sort("n")
    assert_frame_equal(found, expected.sort("n"), check_dtypes=False)


def test_limits_count_what_is_read(part: wb.Slice, shared_log: wb.Log) -> None:
    address = part.address
    hint = shared_log.backend.hint
    for limits, said in (
        ({"max_read": EXPECTED.height - 1}, "max_read is"),
        ({"max_read_bytes": 100_000}, "max_read_bytes is 100,000"),
    ):
        with wb.connect(hint, **limits) as log, pytest.raises(ReadLimitExceeded, match=said):
            wb.open_slice(address, log).frame()
