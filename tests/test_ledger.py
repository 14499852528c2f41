"""The ledger accounts for every offset, however the slice is cut into windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from workbench.address import TimeFilter
from workbench.errors import DefinitionError
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


def test_keys_that_are_no_text_match_as_bytes(log: wb.Log) -> None:
    stream = log.create("t", schema={"x": int})
    rows = {"value": [b'{"x":1}', b'{"x":2}', None], "key": [b"\xff\xfe", b"a", b"\xff\xfe"]}
    log.append("t", pl.DataFrame(rows), encode="bytes")
    part = stream.all().key(b"\xff\xfe")
    assert part.completeness().matches == part.frame().height == 2


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ({"ordres": "id"}, "'ordres', which is not in the slice"),
        ({"payments": "id"}, "no field 'id' in 'payments'"),
        ("no", "no field 'no' in 'orders' or 'payments'"),
    ],
)
def test_a_business_id_that_is_not_there(log: wb.Log, by: str | dict[str, str], said: str) -> None:
    log.create("orders", schema={"id": str})
    log.create("payments", schema={"order": str})
    log.append("orders", [{"id": "a"}, {"id": "a"}])
    log.append("payments", [{"order": "a"}])
    both = log.stream(["orders", "payments"]).all()
    with pytest.raises(DefinitionError, match=said):
        both.completeness(duplicates_by=by)


def test_one_business_id_for_the_topics_that_have_it(log: wb.Log) -> None:
    log.create("orders", schema={"id": str})
    log.create("payments", schema={"order": str})
    log.append("orders", [{"id": "a"}, {"id": "a"}])
    log.append("payments", [{"order": "a"}])
    found = log.stream(["orders", "payments"]).all().completeness(duplicates_by="id").duplicates
    assert found is not None
    assert found.rows() == [("orders", "a", 2, ["0:0", "0:1"])]


def recorded(into: Path, stamps: list[int | None], keys: list[bytes | None] | None = None) -> None:
    """A recording of one partition, of records with these timestamps."""
    records = (
        empty_raw()
        .clear(len(stamps))
        .with_columns(
            partition=pl.lit(0, pl.Int32),
            offset=pl.int_range(len(stamps)),
            timestamp=pl.Series(stamps, dtype=pl.Int64).cast(TIMESTAMP),
            timestamp_type=pl.lit("create", dtype=TIMESTAMP_TYPE),
            key=pl.Series(keys or [None] * len(stamps), dtype=pl.Binary),
            value=pl.lit(b"{}"),
        )
    )
    with EmbeddedLog.create_recording(into, "source", "kafka") as recording:
        recording.create_topic(TopicSpec("t", source_log="source", topic_id="t-1"))
        recording.record_batch("t", 0, records, len(stamps), [], start=0)


@pytest.mark.parametrize("window", [1, 2, 100])
def test_what_comes_after_a_record_without_a_timestamp_can_be_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    stamps = [10, None, 5, None, 11]
    recorded(tmp_path / "rec", stamps)
    monkeypatch.setattr(ledger, "WINDOW_ROWS", window)
    with wb.connect(tmp_path / "rec") as log:
        assert log.stream("t", decode="text").all().completeness().late == 1


def test_what_a_filter_cannot_judge_is_counted(tmp_path: Path) -> None:
    """A record without a timestamp is neither inside nor outside of a time range."""
    stamps = [10, None, 500, None, 11]
    recorded(tmp_path / "rec", stamps, [b"a", b"a", b"a", b"b", None])
    with wb.connect(tmp_path / "rec") as log:
        whole = log.stream("t", decode="text").all()
        part = whole.source.narrow(replace(whole.address, times=TimeFilter(0, 100, None)))
        found = part.ledger()
        assert (found.matches, found.unjudged) == (2, 2)
        assert "2 match the filter; 2 the filter cannot judge" in found.statement
        assert found.frame()["unjudged"].to_list() == [2]
        assert part.frame()["offset"].to_list() == [0, 4]
        # The other key is another one, whenever it was.
        assert part.with_keys((b"a",)).ledger().unjudged == 1
        assert whole.completeness().unjudged == 0


def test_business_ids_of_bytes_and_none_of_lists(log: wb.Log) -> None:
    frame = pl.DataFrame({"id": [b"\xff", b"\xff", b"a"]})
    assert frame.select(ledger._id("id", pl.Schema({"id": pl.Binary()})))["id"].to_list() == [
        "ff",
        "ff",
        "61",
    ]
    log.create("t", schema={"ids": pl.List(pl.Int64)})
    log.append("t", [{"ids": [1]}])
    with pytest.raises(DefinitionError, match="no business id"):
        log.stream("t").all().completeness(duplicates_by="ids")
