"""Making and opening logs: what is refused, and what opening leaves alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import psutil
import pytest

from tests.embedded.support import batch, make, numbered, raw, values
from workbench.errors import (
    InvalidTopicName,
    LogExists,
    LogNotFound,
    NotALog,
    ReadOnly,
    TopicExists,
    UnknownTopic,
    UnsupportedStorage,
)
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import LogBackend, TopicSpec
from workbench.schema import Schema


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's hash and time of change."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_is_a_log_backend(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        assert isinstance(log, LogBackend)
        assert (log.kind, log.live, log.writable) == ("embedded", True, True)
        assert log.hint == str(tmp_path / "log")


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 10))
        log_id = log.id
    with EmbeddedLog.open(tmp_path / "log") as log:
        assert log.id == log_id
        assert values(log) == [b'{"n":%d}' % n for n in range(10)]


def test_a_missing_folder_says_how_to_make_a_log(tmp_path: Path) -> None:
    for place in (tmp_path / "no", tmp_path):
        with pytest.raises(LogNotFound, match="create=True"):
            EmbeddedLog.open(place)


def test_a_folder_with_other_things_is_no_log_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter one")
    with pytest.raises(NotALog):
        EmbeddedLog.open(tmp_path)
    with pytest.raises(NotALog):
        EmbeddedLog.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_database_is_no_log(tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "catalog.db"))
    other.execute("CREATE TABLE invoice (id)")
    other.close()
    with pytest.raises(NotALog):
        EmbeddedLog.open(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "log").close()
    from workbench.log.embedded.catalog import checksum_vfs

    catalog = apsw.Connection(str(tmp_path / "log" / "catalog.db"), vfs=checksum_vfs())
    catalog.pragma("user_version", 99)
    catalog.close()
    with pytest.raises(NotALog, match="format 99"):
        EmbeddedLog.open(tmp_path / "log")


def test_a_log_is_not_made_twice(tmp_path: Path) -> None:
    make(tmp_path / "log").close()
    with pytest.raises(LogExists):
        EmbeddedLog.create(tmp_path / "log")


def test_network_storage_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = namedtuple("disk", "mountpoint fstype")
    make(tmp_path / "log").close()
    for kind in ("nfs4", "cifs", "9p", "fuse.sshfs"):
        mounts = [disk("/", "ext4"), disk(str(tmp_path), kind)]
        monkeypatch.setattr(psutil, "disk_partitions", lambda all, mounts=mounts: mounts)
        with pytest.raises(UnsupportedStorage, match=kind):
            EmbeddedLog.open(tmp_path / "log")
        with pytest.raises(UnsupportedStorage, match=kind):
            EmbeddedLog.create(tmp_path / "new" / "log")
    assert not (tmp_path / "new").exists()


def test_opening_and_reading_change_no_file(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 250))
        log.seal()
    before = fingerprint(tmp_path)
    for write in (None, False):
        with EmbeddedLog.open(tmp_path / "log", write=write) as log:
            assert len(raw(log)) == 250
            log.topics(), log.groups(), log.cover("t", 0, None, None), log.verify()
    assert fingerprint(tmp_path) == before


def test_read_only_refuses_every_write(tmp_path: Path) -> None:
    make(tmp_path / "log").close()
    with EmbeddedLog.open(tmp_path / "log", write=False) as log:
        assert not log.writable
        assert not log.pin_schema("t", Schema({"n": int}))
        for write in (
            lambda: log.append("t", numbered(0, 1)),
            lambda: log.create_topic(TopicSpec("u")),
            lambda: log.seal(),
            lambda: log.enforce_retention(),
        ):
            with pytest.raises(ReadOnly):
                write()


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_a_read_only_folder_shows_exactly_what_was_committed(closed: bool) -> None:
    """Also the commits in the WAL of a writer that was killed."""
    with tempfile.TemporaryDirectory() as place:  # which nobody may pass through
        Path(place).chmod(0o755)
        read_from_a_read_only_folder(Path(place), closed)


def read_from_a_read_only_folder(tmp_path: Path, closed: bool) -> None:
    log = make(tmp_path / "live")
    log.append("t", numbered(0, 120))
    log.seal()
    log.append("t", numbered(120, 30))
    if closed:
        log.close()
    shutil.copytree(
        tmp_path / "live", tmp_path / "log", ignore=shutil.ignore_patterns("*-shm", "*.lock")
    )
    log.close()
    before = fingerprint(tmp_path / "log")
    with read_only(tmp_path / "log"):
        with EmbeddedLog.open(tmp_path / "log") as log:
            assert not log.writable
            assert values(log) == [b'{"n":%d}' % n for n in range(150)]
            with pytest.raises(ReadOnly):
                log.append("t", numbered(0, 1))
        with pytest.raises(ReadOnly):
            EmbeddedLog.open(tmp_path / "log", write=True)
    assert fingerprint(tmp_path / "log") == before


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder cannot be written: by a mount where root may, else by modes as nobody."""
    if _mount("--bind", folder, folder) and _mount("-o", "remount,ro,bind", folder):
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    try:
        if root:
            os.setresuid(65534, 65534, 0)
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)
        for path, mode in modes.items():
            path.chmod(mode)


def _mount(*arguments: str | Path) -> bool:
    return (
        os.geteuid() == 0
        and subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0
    )


def test_topic_names(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        with pytest.raises(UnknownTopic, match="did you mean 't'"):
            log.topic("tt")
        with pytest.raises(TopicExists):
            log.create_topic(TopicSpec("t"))
        for name in (
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "a b",
            "é",
            "a" * 250,
            "__offsets",
            "a\0",
            "a\n",
        ):
            with pytest.raises(InvalidTopicName):
                log.create_topic(TopicSpec(name))
        for name in ("a", "A.b-c_1", "_x", "..."):
            assert log.create_topic(TopicSpec(name)).name == name


def test_a_pinned_schema_stays(tmp_path: Path) -> None:
    first, second = Schema({"n": int}), Schema({"n": str})
    with make(tmp_path / "log") as log:
        assert log.pin_schema("t", first)
        assert not log.pin_schema("t", second)
        assert log.pin_schema("t", first)
        assert log.topic("t").schema == first


def test_closing_twice_is_harmless_and_using_after_is_an_error(tmp_path: Path) -> None:
    log = make(tmp_path / "log")
    log.close()
    log.close()
    with pytest.raises(ReadOnly, match="closed"):
        log.append("t", batch([b""]))


def test_a_cleanly_closed_log_is_one_plain_file_and_its_segments(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 10))
        log.seal(force=True)
    names = {p.name for p in (tmp_path / "log").iterdir()}
    assert "catalog.db" in names
    assert not names & {"catalog.db-wal", "catalog.db-shm", "catalog.db-journal"}


def test_a_log_that_is_being_made_is_not_there_yet(tmp_path: Path) -> None:
    """Between the file and its first commit there is a catalog without tables."""
    folder = tmp_path / "log"
    folder.mkdir()
    connection = apsw.Connection(str(folder / "catalog.db"))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE meta (name)")
    with pytest.raises(LogNotFound, match="holds no log yet"):
        EmbeddedLog.open(folder)
    connection.execute("ROLLBACK")
    connection.close()
