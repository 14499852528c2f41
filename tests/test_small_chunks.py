"""A topic of many partitions with few records each, and one with many: read as one, in order."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import workbench as wb

PARTITIONS, LARGE = 250, 120
COUNTS = {p: 200 if p == LARGE else 2 for p in range(PARTITIONS)}
EXPECTED = pl.DataFrame(
    {
        "partition": [p for p, count in COUNTS.items() for _ in range(count)],
        "n": [n for count in COUNTS.values() for n in range(count)],
    },
    schema={"partition": pl.Int32, "n": pl.Int64},
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small") / "log"
    with wb.connect(place, create=True) as log:
        log.create("t", partitions=PARTITIONS)
        log.append(
            "t", EXPECTED.select("partition", pl.struct("n").struct.json_encode().alias("value"))
        )
    return place


def test_frame_lazy_and_sql_agree(place: Path) -> None:
    with wb.connect(place) as log:
        some = log.stream("t").all()
        columns = ["partition", "n"]
        assert_frame_equal(some.frame().select(columns), EXPECTED)
        assert_frame_equal(some.lazy().select(columns).collect(), EXPECTED)
        found = log.sql("SELECT partition, n FROM s ORDER BY partition, record_offset", s=some)
        assert_frame_equal(found, EXPECTED)


def test_a_limit_counts_what_is_read(place: Path) -> None:
    with (
        wb.connect(place, max_read=EXPECTED.height - 1) as log,
        pytest.raises(wb.errors.ReadLimitExceeded, match="max_read"),
    ):
        log.stream("t").all().frame()
    with (
        wb.connect(place, max_read_bytes=2_000) as log,
        pytest.raises(wb.errors.ReadLimitExceeded, match="max_read_bytes is 2,000"),
    ):
        log.stream("t").all().frame()
