"""Flipped bytes: found, or warned of; never returned as data."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.embedded.support import batch, count, make, numbered, raw, read, values
from workbench.errors import CorruptData, WorkbenchError
from workbench.log.embedded import EmbeddedLog, files

FLIPS = count(30, 300)


def flip(path: Path, choose: random.Random) -> int:
    """Change one bit anywhere in a file; returns where."""
    data = bytearray(path.read_bytes())
    place = choose.randrange(len(data))
    data[place] ^= 1 << choose.randrange(8)
    path.write_bytes(bytes(data))
    # A file system's clock may be coarser than this test is fast.
    os.utime(path, ns=(choose.randrange(10**18), choose.randrange(10**18)))
    return place


def sealed_log(folder: Path) -> list[bytes | None]:
    """A closed log with two segments and a hot tail; returns its values."""
    with make(folder) as log:
        for first in range(0, 230, 10):
            log.append("t", numbered(first, 10))
        log.seal()
        return values(log)


def test_a_segment_that_is_gone_or_cannot_be_read_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_log(tmp_path / "log")
    (first, second) = sorted(
        p for p in (tmp_path / "log").rglob("*.parquet") if ".typed" not in p.name
    )
    first.unlink()
    os.utime(second, ns=(1, 1))  # so that this process reads it anew
    hashed = files.sha256

    def broken(path: Path) -> str:
        if path.name == second.name:
            raise OSError(5, "Input/output error", str(path))
        return hashed(path)

    monkeypatch.setattr(files, "sha256", broken)
    with EmbeddedLog.open(tmp_path / "log") as log:
        found = [str(damage) for damage in log.verify().damage]
        assert len(found) == 2
        assert found[0].endswith("offsets [0, 100): the segment is missing")
        assert found[1].endswith(
            "offsets [100, 200): the segment cannot be read: Input/output error"
        )
        with pytest.raises(CorruptData, match="is missing: topic t, partition 0, offsets 0 to 99"):
            read(log, 0, 100)
        with pytest.raises(CorruptData, match="cannot be read: Input/output error: topic t"):
            read(log, 100, 200)


def test_what_a_process_has_sealed_it_does_not_hash_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 100))
        log.seal()
        monkeypatch.setattr(files, "sha256", lambda path: pytest.fail(f"{path} is hashed"))
        assert len(values(log)) == 100


def test_a_flipped_byte_in_a_segment_is_found(tmp_path: Path) -> None:
    good = sealed_log(tmp_path / "good")
    choose = random.Random(1)
    found = 0
    for _ in range(FLIPS):
        folder = tmp_path / "log"
        shutil.copytree(tmp_path / "good", folder)
        segments = [p for p in folder.rglob("*.parquet") if ".typed" not in p.name]
        damaged = choose.choice(sorted(segments))
        flip(damaged, choose)
        with EmbeddedLog.open(folder) as log:
            report = log.verify()
            with pytest.raises(CorruptData, match="topic t, partition 0, offsets"):
                raw(log)
            first = int(damaged.name.split("-")[1])
            assert [(d.start, d.end, d.partition) for d in report.damage] == [
                (first, first + 100, 0)
            ]
            for start in range(0, 230, 100):  # what is not damaged can be read
                if start != first:
                    end = min(start + 100, 230)
                    assert read(log, start, end)["value"].to_list() == good[start:end]
        found += not report.ok
        shutil.rmtree(folder)
    print(f"segment bytes flipped: {found} of {FLIPS} found")
    assert found == FLIPS


def test_what_a_check_finds_is_not_read_again(tmp_path: Path) -> None:
    """Storage can go bad under a file without a change of its size and times."""
    good = sealed_log(tmp_path / "log")
    (first, _) = sorted(p for p in tmp_path.rglob("*.parquet") if ".typed" not in p.name)
    with EmbeddedLog.open(tmp_path / "log") as log:
        assert values(log) == good
        before = first.stat()
        flip(first, random.Random(6))
        os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))
        [damage] = log.verify().damage
        assert str(damage).endswith("offsets [0, 100): the segment does not match its SHA-256")
        with pytest.raises(CorruptData, match="does not match its SHA-256: topic t, partition 0"):
            raw(log)


def test_a_cut_segment_is_told_with_its_sizes(tmp_path: Path) -> None:
    sealed_log(tmp_path / "log")
    (first, _) = sorted(p for p in tmp_path.rglob("*.parquet") if ".typed" not in p.name)
    size = first.stat().st_size
    os.truncate(first, 10)
    with EmbeddedLog.open(tmp_path / "log") as log:
        [damage] = log.verify().damage
        assert damage.message == (
            f"the segment has 10 bytes and not the {size:,} it was sealed with"
        )


def test_a_flipped_byte_in_a_companion_costs_a_rebuild(tmp_path: Path) -> None:
    good = sealed_log(tmp_path / "good")
    choose = random.Random(2)
    for _ in range(FLIPS):
        folder = tmp_path / "log"
        shutil.copytree(tmp_path / "good", folder)
        flip(choose.choice(sorted(folder.rglob("*.typed.parquet"))), choose)
        with EmbeddedLog.open(folder) as log:
            report = log.verify()
            assert report.ok
            assert [d.rebuildable for d in report.damage] == [True]
            assert values(log) == good
            assert sum(c.typed is not None for c in log.read("t", 0, 0, 230)) == 1
            assert log.rebuild_companions("t") == 1
            assert sum(c.typed is not None for c in log.read("t", 0, 0, 230)) == 2
            assert log.verify().damage == []
        shutil.rmtree(folder)
    print(f"companion bytes flipped: {FLIPS} of {FLIPS} found, and made anew")


def test_a_flipped_byte_in_the_catalog_is_found(tmp_path: Path) -> None:
    good = sealed_log(tmp_path / "good")
    choose = random.Random(3)
    found = 0
    for _ in range(FLIPS):
        folder = tmp_path / "log"
        shutil.copytree(tmp_path / "good", folder)
        place = flip(folder / "catalog.db", choose)
        try:
            with EmbeddedLog.open(folder, write=False) as log:
                report = log.verify()
                assert not report.ok, f"byte {place} of catalog.db"
                assert values(log) == good
        except WorkbenchError:
            pass
        found += 1
        shutil.rmtree(folder)
    print(f"catalog bytes flipped: {found} of {FLIPS} found")


def test_a_flipped_byte_in_the_wal_is_warned_of(tmp_path: Path) -> None:
    """What cannot be told from an interrupted write ends the log earlier, and is said."""
    log = make(tmp_path / "live")
    for first in range(0, 200, 10):
        log.append("t", numbered(first, 10))
    good = values(log)
    choose = random.Random(4)
    told = shorter = 0
    for _ in range(FLIPS):
        folder = tmp_path / "log"
        folder.mkdir()
        for name in ("catalog.db", "catalog.db-wal"):
            shutil.copy(tmp_path / "live" / name, folder)
        flip(folder / "catalog.db-wal", choose)
        try:
            with EmbeddedLog.open(folder, write=False) as damaged:
                report = damaged.verify()
                assert report.warnings or not report.ok
                if damaged.topics():
                    found = values(damaged)
                    assert found == good[: len(found)]
                    assert len(found) % 10 == 0
                    shorter += len(found) < len(good)
        except WorkbenchError:
            pass
        told += 1
        shutil.rmtree(folder)
    print(f"WAL bytes flipped: {told} of {FLIPS} found or warned of; {shorter} ended earlier")
    log.close()


def test_a_changed_row_does_not_match_its_checksum(tmp_path: Path) -> None:
    """As if SQLite itself had been used to change it."""
    changes = {
        "content": "CAST(content || x'00' AS BLOB)",
        "last_id": "last_id + 1",
        "records": "records + 1",
        "bytes": "bytes + 1",
        "min_ts": "min_ts - 1",
        "max_ts": "NULL",
        "untimed": "1",
        "stamp": "1",
        "crc": "crc + 1",
        "id": "id + 1000",
    }
    for column, value in changes.items():
        folder = tmp_path / column
        with make(folder) as log:
            for content in (b"a", b"b", b"c"):
                log.append("t", batch([content]))
            with log._catalog.write() as connection:
                connection.execute(
                    f"UPDATE batch SET {column} = {value} WHERE id & 0xFFFFFF = 1 RETURNING id"
                ).fetchall()
            assert not log.verify().ok, column
            if column != "id":
                assert log.verify().damage[0].start == 1, column
                with pytest.raises(CorruptData, match=r"offsets \[1, "):
                    raw(log)
                with pytest.raises(CorruptData):
                    log.seal(force=True)


def test_a_batch_moved_or_made_longer_takes_no_others_place(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", batch([b"a", b"b"]))
        log.append("t", batch([b"c", b"d"]))
        with log._catalog.write() as connection:
            connection.execute("UPDATE batch SET last_id = last_id + 2 WHERE id & 0xFFFFFF = 0")
        assert [(d.start, d.end) for d in log.verify().damage] == [(0, 4)]
        assert read(log, 2, 4)["value"].to_list() == [b"c", b"d"]


def test_a_missing_row_is_missed(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        for first in range(0, 30, 5):
            log.append("t", numbered(first, 5))
        with log._catalog.write() as connection:
            connection.execute("DELETE FROM batch WHERE (id & 0xFFFFFF) % 10 = 5")
        [chunk] = log.read("t", 0, 0, 30)
        assert [(g.start, g.end, g.reason) for g in chunk.gaps] == [
            (start, start + 5, "unexplained") for start in (5, 15, 25)
        ]
        assert [(d.start, d.end) for d in log.verify().damage] == [(5, 10), (15, 20), (25, 30)]


def test_a_killed_sealers_leftovers_are_removed(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 100))
        log.seal()
    left = tmp_path / "log" / "segments" / "1" / "0-00000000000000000100-abc.tmp"
    left.write_bytes(b"half a segment")
    with EmbeddedLog.open(tmp_path / "log") as log:
        report = log.verify()
        assert report.ok
        assert [left.name in warning for warning in report.warnings] == [True]
        log.seal()
        assert not left.exists()
        assert log.verify().warnings == []
        assert len(raw(log)) == 100
