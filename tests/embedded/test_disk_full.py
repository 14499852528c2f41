"""A full disk: nothing acknowledged is lost, nothing else appears, and the log stays usable."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.embedded import workers
from tests.embedded.support import count, make, numbered, processes, values
from workbench.errors import StorageFull
from workbench.log.embedded import EmbeddedLog, files, hot

ROUNDS = count(3, 100)
DISK_BYTES = 3 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, int | None]]:
    """A file system of 3 MB; where mounting is not allowed, a folder and the limit to simulate."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0:
        yield place, None
        subprocess.run(["umount", place], check=True)
    else:
        print("a small file system cannot be mounted here: simulated")
        yield place, DISK_BYTES


def test_a_full_disk_takes_nothing_away(small_disk: tuple[Path, int | None]) -> None:
    disk, limit = small_disk
    lost = phantom = 0
    for number in range(ROUNDS):
        folder = disk / f"log-{number}"
        make(folder, segment_rows=2_000).close()
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(500_000 + number * 10_000))
        queue = processes.Queue()
        process = processes.Process(target=workers.fill, args=(str(folder), number, limit, queue))
        process.start()
        acknowledged = queue.get(timeout=120)
        process.join(60)
        assert process.exitcode == 0
        with EmbeddedLog.open(folder, write=False) as log:
            found = values(log)
            lost += max(acknowledged - len(found), 0)
            phantom += max(len(found) - acknowledged, 0)
            assert found == [b'{"n":%d}' % n for n in range(len(found))]
        ballast.unlink()
        with EmbeddedLog.open(folder) as log:
            log.append("t", numbered(acknowledged, 10))
            assert len(values(log)) == acknowledged + 10
            assert log.verify().ok
        subprocess.run(["rm", "-r", folder], check=True)
    print(f"{ROUNDS} full disks: lost {lost}, phantom {phantom}, reopened every time")
    assert (lost, phantom) == (0, 0)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a small disk: the same errors, raised where they would be."""
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 100))

        def full(*_: object) -> None:
            raise apsw.FullError("database or disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(hot, "store", full)
            with pytest.raises(StorageFull, match="no space left"):
                log.append("t", numbered(100, 10))

        def no_space(*_: object) -> None:
            raise OSError(28, "No space left on device")

        for name in ("write", "sync_file", "rename", "make_folder"):
            with monkeypatch.context() as patch:
                patch.setattr(files, name, no_space)
                with pytest.raises(StorageFull):
                    log.seal()
        assert values(log) == [b'{"n":%d}' % n for n in range(100)]
        assert list((tmp_path / "log").rglob("*.parquet")) == []
        log.append("t", numbered(100, 10))
        log.seal(force=True)  # unless the background has been quicker
        assert list((tmp_path / "log").rglob("*.parquet"))
        assert len(values(log)) == 110
