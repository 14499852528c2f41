"""Retention: by age, by size, for ever; and what readers are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import apsw
import polars as pl
import pytest

from tests.embedded.support import T0, batch, make, numbered, raw, read, values
from workbench.errors import OffsetOutOfRange, OutOfSequence
from workbench.log.embedded import retention
from workbench.log.embedded.catalog import checksum_vfs
from workbench.log.protocol import Producer
from workbench.records import Gap

#: Long enough that the background upkeep, which knows the real time, finds nothing to do.
LONG = 10**13


def files(folder: Path) -> int:
    return len(list(folder.rglob("*.parquet")))


def test_age_moves_the_start_over_segments_and_tail(tmp_path: Path) -> None:
    with make(tmp_path / "log", retention_ms=LONG) as log:
        log.append("t", numbered(0, 250))  # at T0 + n
        log.seal()
        assert log.enforce_retention(T0 + LONG) == 0
        assert log.enforce_retention(T0 + LONG + 99) == 0  # offset 99 is just old enough to stay
        assert log.enforce_retention(T0 + LONG + 100) == 100
        assert values(log) == [b'{"n":%d}' % n for n in range(100, 250)]
        assert log.enforce_retention(T0 + LONG + 220) == 120
        assert values(log) == [b'{"n":%d}' % n for n in range(220, 250)]
        [info] = log.partitions("t")
        assert (info.start, info.end, info.min_timestamp_ms) == (220, 250, T0 + 220)
        with pytest.raises(OffsetOutOfRange, match=r"\[220, 250\)"):
            log.read("t", 0, 219, 250)
        assert log.gaps("t", 0, 200, 250) == [Gap("t", 0, 200, 220, "expired")]
        assert log.offset_for_time("t", T0) == {0: 220}
        assert log.enforce_retention(T0 + LONG + 9_000) == 30
        assert log.partitions("t")[0].start == 250
        assert log.append("t", numbered(250, 1)) == {0: (250, 251)}  # never used again
        assert log.verify().ok


def test_the_producers_that_wrote_last_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when all that they wrote has expired: a retry may be on its way."""
    monkeypatch.setattr(retention, "PRODUCERS_KEPT", 1)

    def at(second: int, partition: int = 0) -> pl.DataFrame:
        return batch([b"{}"], times=[T0 + 1_000 * second], partition=partition)

    with make(tmp_path / "log", partitions=2, retention_ms=LONG) as log:
        once, both = Producer("once", 0, 0), Producer("both", 0, 0)
        log.append("t", at(0), once)
        log.append("t", at(1), both)
        log.append("t", at(9, partition=1), replace(both, sequence=1))
        assert log.enforce_retention(T0 + LONG + 2_000) == 2
        assert log.append("t", at(0), once) == {0: (0, 1)}  # as it was answered before
        with pytest.raises(OutOfSequence):  # also of the partition where it has nothing left
            log.append("t", at(1), both)
        log.append("t", at(9), replace(both, sequence=2))
        assert log.enforce_retention(T0 + LONG + 10_000) == 2
        assert _producers(tmp_path / "log") == {"both"}
        assert log.append("t", at(9), replace(both, sequence=2)) == {0: (2, 3)}


def _producers(folder: Path) -> set[str]:
    with apsw.Connection(str(folder / "catalog.db"), vfs=checksum_vfs()) as catalog:
        return {name for (name,) in catalog.execute("SELECT producer_id FROM producer")}


def test_files_stay_for_the_time_of_grace(tmp_path: Path) -> None:
    with make(tmp_path / "log", retention_ms=LONG) as log:
        log.append("t", numbered(0, 100))
        log.seal()
        [chunk] = log.read("t", 0, 0, 100)
        now = T0 + LONG + 2_000
        log.enforce_retention(now)
        assert chunk.raw.collect().height == 100  # a reader that came before
        log.enforce_retention(now + 59_999)
        assert files(tmp_path / "log") == 2
        log.enforce_retention(now + 60_000)
        assert files(tmp_path / "log") == 0
        assert log.verify().damage == []


def test_size_keeps_at_least_what_was_asked_for(tmp_path: Path) -> None:
    with make(tmp_path / "log", retention_bytes=3_000) as log:
        log.append("t", batch([bytes([n]) * 968 for n in range(10)], keys=[None] * 10))
        log.enforce_retention()  # 1,000 bytes a row
        assert [v[0] for v in values(log) if v] == [7, 8, 9]
        assert log.verify().ok


def test_size_drops_whole_segments_while_enough_is_left(tmp_path: Path) -> None:
    with make(tmp_path / "log", segment_rows=10) as log:
        log.append("t", numbered(0, 50))
        log.seal()
        size = log.partitions("t")[0].bytes
    with make(tmp_path / "small", segment_rows=10, retention_bytes=size // 2) as log:
        log.append("t", numbered(0, 50))
        log.seal()
        log.enforce_retention()
        [info] = log.partitions("t")
        assert info.start in (20, 10)
        assert info.bytes is not None
        assert info.bytes >= size // 2
        assert read(log, info.start, 50)["offset"].to_list() == list(range(info.start, 50))


def test_without_retention_everything_stays(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 150))
        log.seal()
        assert log.enforce_retention(T0 + 10**12, grace_seconds=0) == 0
        assert len(raw(log)) == 150


def test_records_without_a_time_to_judge_by_do_not_age(tmp_path: Path) -> None:
    with make(tmp_path / "log", retention_ms=LONG) as log:
        log.append("t", batch([b"future", b"old"], times=[T0 + 10**9, T0]))
        assert log.enforce_retention(T0 + LONG + 5_000) == 0  # everything after what stays, stays
