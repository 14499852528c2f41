"""Growing log files: however they are rotated and whenever we die, each line once, in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import workbench as wb
from tests.cli.conftest import Command
from tests.cli.test_write import values
from workbench.cli import growing as module
from workbench.cli.growing import GrowingFile
from workbench.cli.lines import LineReader
from workbench.errors import LogBusy
from workbench.log.embedded import EmbeddedLog


def lines(log: Path, topic: str = "lines") -> list[str]:
    """What the `line` field says, in order."""
    with wb.connect(log, write=False) as opened:
        stream = opened.stream(topic, decode="json", schema={"line": str, "file": str})
        return stream.all().frame()["line"].to_list()


def test_what_a_line_becomes(command: Command, tmp_path: Path) -> None:
    plain = [b"plain", b'{"k": "x",  "n": 1.0}', b"[1]", b"", b"\xff\x1b end", b'{"k": "\xff"}']
    (tmp_path / "app.log").write_bytes(b"\n".join(plain) + b"\r\nlast")
    words = ("append", "log#lines", "--lines", "app.log", "--create", "--key", "k")
    assert command(*words).out == "7 lines appended\n"
    found = values(tmp_path / "log", "lines")
    assert found[0] == b'{"line":"plain","file":"app.log"}'
    assert found[1] == plain[1]
    texts = [json.loads(value)["line"] for value in found[2:]]
    assert texts == ["[1]", "", "\\xff\x1b end", '{"k": "\\xff"}', "last"]
    keys = [row["key"] for row in command("tail", "log#lines", "--json").rows]
    assert keys == [None, "x", None, None, None, None, None]


def test_a_line_longer_than_a_batch(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 16)
    monkeypatch.setattr(module, "BATCH_LINES", 3)
    written = ["a", "b" * 100, *"cdefgh", "i" * 33]
    (tmp_path / "app.log").write_text("\n".join(written))
    command("append", "log#lines", "--lines", "app.log", "--create")
    assert lines(tmp_path / "log") == written


def test_a_file_that_is_not_the_one_from_before(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    words = ("append", "log#lines", "--lines", "app.log", "--create")
    file.write_text("one\ntwo\n")
    command(*words)
    file.unlink()
    file.write_text("1\n2\n")
    ran = command(*words)
    assert "lines after its byte 0 may be missing" in ran.err
    assert lines(tmp_path / "log") == ["one", "two", "1", "2"]
    command(*words)
    assert len(lines(tmp_path / "log")) == 4


def test_another_key_after_a_restart(command: Command, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("".join(f'{{"a":{n},"b":{-n}}}\n' for n in range(20)))
    words = ("append", "log#lines", "--lines", "app.log", "--create", "--partitions", "3")
    command(*words, "--key", "a")
    assert command(*words, "--key", "b").out == "0 lines appended\n"


class Crash(BaseException):
    """The process dies here."""


class Rotations(RuleBasedStateMachine):
    """A log file that is written, rotated both ways, and appended by a process that may die."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(self.new_folder())
        self.file = self.folder / "app.log"
        self.file.touch()
        self.written: list[str] = []
        self.clock = 1_000_000_000
        with wb.connect(self.folder / "log", create=True, durability="process") as log:
            log.create("lines")
        # What was rotated away before we ever read is nobody's.
        self.write(1)
        self.append("no", 0)

    new_folder: Callable[[], str]

    def tick(self) -> None:
        """Every write has a time of its own, as in a real life that is slower than this test."""
        self.clock += 1
        os.utime(self.file, (self.clock, self.clock))

    @rule(count=st.integers(1, 5))
    def write(self, count: int) -> None:
        new = [f"line {len(self.written) + n}" for n in range(count)]
        self.written += new
        with self.file.open("a") as file:
            file.writelines(f"{line}\n" for line in new)
        self.tick()

    def shift(self) -> None:
        """`app.log.1` becomes `app.log.2`, and so on, as logrotate does it."""
        for number in range(40, 0, -1):
            old = self.folder / f"app.log.{number}"
            if old.exists():
                old.rename(self.folder / f"app.log.{number + 1}")

    @rule()
    def rotate(self) -> None:
        self.shift()
        self.file.rename(self.folder / "app.log.1")
        self.file.touch()
        self.tick()

    @rule()
    def copy_and_cut(self) -> None:
        self.shift()
        shutil.copy2(self.file, self.folder / "app.log.1")
        self.file.write_bytes(b"")
        self.tick()

    @rule(crash=st.sampled_from(["no", "before", "after"]), on=st.integers(1, 3))
    def append(self, crash: str, on: int) -> None:
        calls = 0
        real = EmbeddedLog.append

        def append(backend: EmbeddedLog, *arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if crash == "before" and calls == on:
                raise Crash
            done = real(backend, *arguments)
            if crash == "after" and calls == on:
                raise Crash
            return done

        with (
            pytest.MonkeyPatch.context() as patch,
            wb.connect(self.folder / "log", durability="process") as log,
        ):
            patch.setattr(EmbeddedLog, "append", append)
            patch.setattr(module, "BATCH_LINES", 2)
            reader = LineReader(log.tz, file="app.log")
            try:
                GrowingFile(log, "lines", self.file, reader.frame, print).run(follow=False)
            except Crash:
                return
        assert lines(self.folder / "log") == self.written

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.append("no", 0)


def test_however_it_is_rotated_and_whenever_we_die(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    class Here(Rotations):
        def new_folder(self) -> str:  # type: ignore[override]
            return str(tmp_path_factory.mktemp("rotations"))

    case = Here.TestCase
    case.settings = settings(
        settings.default,
        max_examples=settings.default.max_examples // 3,
        stateful_step_count=10,
    )
    case().runTest()


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts `workbench append --lines app.log --follow`; what still runs is ended."""
    started: list[subprocess.Popen[str]] = []
    words = ["append", "log#lines", "--lines", "app.log", "--follow"]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench", *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("lines", schema={"line": str, "file": str})
    yield start
    for process in started:
        process.kill()
        process.communicate()


def reaches(log: Path, wanted: list[str]) -> None:
    """Wait until the log holds these lines."""
    deadline = time.monotonic() + 60
    while lines(log) != wanted:
        assert time.monotonic() < deadline, lines(log)
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["rename", "cut"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_following(
    tmp_path: Path,
    following: Callable[[], subprocess.Popen[str]],
    how: str,
    end: signal.Signals,
) -> None:
    file = tmp_path / "app.log"
    file.write_text("a\nb\n")
    process = following()
    log = tmp_path / "log"
    reaches(log, ["a", "b"])
    with file.open("a") as writer:
        writer.write("c\nhalf of")
        writer.flush()
        reaches(log, ["a", "b", "c"])
        if how == "rename":
            file.rename(tmp_path / "app.log.1")
            writer.write(" d\nlate")  # a writer may go on for a moment
            writer.flush()
            file.write_text("e\n")
            wanted = ["a", "b", "c", "half of d", "late", "e"]
        else:
            writer.write(" d\n")
            writer.flush()
            reaches(log, ["a", "b", "c", "half of d"])
            file.write_text("e\n")
            wanted = ["a", "b", "c", "half of d", "e"]
        reaches(log, wanted)
    process.send_signal(end)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == f"{len(wanted)} lines appended\n"
    assert "Traceback" not in err
    assert ("was rotated" if how == "rename" else "was cut") in err


def test_killed_and_started_again(
    tmp_path: Path, following: Callable[[], subprocess.Popen[str]]
) -> None:
    file, log = tmp_path / "app.log", tmp_path / "log"
    file.write_text("a\n")
    first = following()
    reaches(log, ["a"])
    first.kill()
    first.communicate()
    with file.open("a") as writer:
        writer.write("b\n")
    second = following()
    reaches(log, ["a", "b"])
    third = following()
    _, err = third.communicate(timeout=60)
    assert third.returncode == 1
    assert f"is held by process {second.pid}" in err
    assert second.poll() is None


def test_one_at_a_time_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("a\n")
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("lines")
        one, two = (
            GrowingFile(log, "lines", tmp_path / "app.log", reader.frame, print)
            for reader in [LineReader(log.tz, file="app.log")] * 2
        )

        def second(found: list[bytes]) -> Any:
            with pytest.raises(LogBusy):
                two.run(follow=False)
            return LineReader(log.tz, file="app.log").frame(found)

        one._to_frame = second
        one.run(follow=False)
    assert lines(tmp_path / "log") == ["a"]
