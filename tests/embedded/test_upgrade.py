"""Logs of format 1, which had a row for each hot record: `format-1.zip` was written by it."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.embedded.support import numbered, raw, values
from workbench.errors import CorruptData, NotALog
from workbench.log.embedded import EmbeddedLog
from workbench.log.embedded.catalog import Catalog


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.unpack_archive(Path(__file__).parent / "format-1.zip", tmp_path)
    return tmp_path


def test_an_old_log_is_upgraded_when_it_is_opened(old: Path) -> None:
    before = pl.read_parquet(old / "records.parquet")
    for _ in range(2):
        with EmbeddedLog.open(old / "log") as log:
            assert pl.concat([raw(log, 0), raw(log, 1)])[: before.height].equals(before)
            assert log.verify().ok
    with EmbeddedLog.open(old / "log") as log:
        log.append("t", numbered(0, 3, partition=1))
        log.seal(force=True)
        assert pl.concat([raw(log, 0), raw(log, 1)])[: before.height].equals(before)
        [left] = log._catalog.rows("SELECT sum(hot_rows) || ' ' || sum(hot_bytes) FROM part")
        assert left == ("0 0",)
        assert log.verify().ok


def test_an_old_recording_keeps_offsets_gaps_and_times_of_receipt(old: Path) -> None:
    with EmbeddedLog.open(old / "recording") as log:
        assert raw(log).equals(pl.read_parquet(old / "recorded.parquet"))
        assert log.verify().ok
    with EmbeddedLog.create_recording(old / "recording", "abc", "kafka") as recorder:
        assert recorder.recorded_position()["t", 0] == 34


def test_an_old_log_is_not_changed_by_who_only_reads(old: Path) -> None:
    before = (old / "log" / "catalog.db").read_bytes()
    with pytest.raises(NotALog, match=r"format 1.*open it once without write=False"):
        EmbeddedLog.open(old / "log", write=False)
    assert (old / "log" / "catalog.db").read_bytes() == before


def test_a_damaged_old_log_stays_as_it_was(old: Path) -> None:
    catalog = Catalog(old / "log", writable=True, durability="power", lock_timeout=5)
    with catalog.write() as connection:
        connection.execute("UPDATE record SET value = x'00' WHERE id & 0xFFFF = 61")
    with pytest.raises(CorruptData, match="offset 61"):
        EmbeddedLog.open(old / "log")
    assert catalog.rows("SELECT count(*) FROM record") == [(19,)]
    catalog.close()
    with pytest.raises(CorruptData, match="offset 61"):
        EmbeddedLog.open(old / "log")


def test_values_are_those_that_were_appended(old: Path) -> None:
    with EmbeddedLog.open(old / "log") as log:
        assert values(log)[60:] == [b"a", None, b"", b"\xff"]
