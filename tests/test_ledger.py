"""The ledger accounts for every offset, however the slice is cut into windows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec
from workbench.records import TIMESTAMP, TIMESTAMP_TYPE, Gap, empty_raw
from workbench.source import ledger


@pytest.mark.parametrize("window", [1, 2, 3, 100])
def test_late_records_are_counted_across_windows(
    log: wb.Log, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    stream = log.create("t", schema={"at": int})
    log.append("t", [{"at": at} for at in (10, 5, 3, 4, 11, 11, 2)], timestamp="at")
    monkeypatch.setattr(ledger, "WINDOW_ROWS", window)
    found = stream.all().completeness()
    assert found.late == 4
    assert found.complete
    assert found.records == 7


def test_every_missing_offset_has_its_reason(tmp_path: Path) -> None:
    records = (
        empty_raw()
        .clear(3)
        .with_columns(
            partition=pl.lit(0, pl.Int32),
            offset=pl.Series([2, 3, 7]),
            timestamp=pl.Series([5, 6, 7], dtype=pl.Int64).cast(TIMESTAMP),
            timestamp_type=pl.lit("create", dtype=TIMESTAMP_TYPE),
            value=pl.lit(b"{}"),
        )
    )
    with EmbeddedLog.create_recording(tmp_path / "rec", "source", "kafka") as recording:
        recording.create_topic(TopicSpec("t", source_log="source", topic_id="t-1"))
        gaps = [Gap("t", 0, 0, 2, "compacted"), Gap("t", 0, 4, 6, "aborted")]
        recording.record_batch("t", 0, records, 9, gaps, start=0)

    with wb.connect(tmp_path / "rec") as log:
        found = log.stream("t", decode="text").all().completeness()
    assert [(g.start, g.end, g.reason) for g in found.gaps] == [
        (0, 2, "compacted"),
        (4, 6, "aborted"),
        (6, 7, "unexplained"),
        (8, 9, "unexplained"),
    ]
    assert not found.complete
    assert found.statement.startswith("NOT complete: t 0:[0, 9): 3 records in 9 offsets")
    assert found.frame().row(0, named=True)["unexplained"] == 2
