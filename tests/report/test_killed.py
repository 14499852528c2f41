"""Killed at any step, a schedule repeats a report and never passes over a record."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from itertools import count
from pathlib import Path

import nbformat
import nbformat.v4 as v4
import pytest

import workbench as wb
from tests.conftest import SOAK
from tests.report import killed
from workbench.report import Report, Series

MOST_STEPS = 60
READ = "import workbench as wb\nprint(*wb.report_slice(address, None).frame()['n'])"


def test_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, monkeypatch)
    outcomes = set()
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("heat", schema={"n": int})
        for step in count():
            assert step < MOST_STEPS
            log.append("heat", [{"n": 10 * step}, {"n": 10 * step + 1}])
            before = reached(tmp_path)
            ran = run("since", tmp_path, step)
            after, reports = reached(tmp_path), told(tmp_path)
            # The position is that of a whole report, and says no more than it does.
            assert after == before or after == 2 * (step + 1)
            new = [numbers for numbers in reports if 10 * step in numbers]
            assert after == before or new
            outcomes.add((after > before, bool(new)))
            if ran == 0:
                break
            assert ran == -signal.SIGKILL
            killed.since(tmp_path)
            assert reached(tmp_path) == 2 * (step + 1)
            newest = told(tmp_path)[0]
            # Everything that was not reported before it is in it, in order.
            assert newest == [10 * s + n for s in range(step + 1) for n in (0, 1)][before:] or (
                newest == [] and after > before
            )
            assert not list((tmp_path / "out" / "hourly").glob(".*"))
            assert len(told(tmp_path)) <= 3
    # It was killed before there was a report, between report and position, and after both.
    assert outcomes == {(False, False), (False, True), (True, True)}


def test_a_backfill_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, monkeypatch)
    days = {f"2026-11-0{3 + day}T00:00:00Z": [2 * day, 2 * day + 1] for day in range(3)}
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("heat", schema={"n": int, "at": str}, retention="3650d")
        for at, numbers in enumerate(days.values()):
            when = killed.DAY + timedelta(days=at, hours=5)
            log.append("heat", [{"n": n, "at": when.isoformat()} for n in numbers], timestamp="at")
    series = Series(tmp_path / "out", "daily")
    left = []
    for step in count():
        assert step < MOST_STEPS
        ran = run("backfill", tmp_path, step)
        before = {report.summary.at: report.html.stat().st_mtime_ns for report in series.reports()}
        left.append(len(before))
        if ran == 0:
            break
        assert ran == -signal.SIGKILL
        killed.backfill(tmp_path)
        # Each day once and whole; what was there before the kill is what is there now.
        found = {report.summary.at: report for report in series.reports()}
        assert {at: numbers_of(report) for at, report in found.items()} == days
        assert before.items() <= {
            (at, report.html.stat().st_mtime_ns) for at, report in found.items()
        }
        assert not list(series.folder.glob(".*"))
        index = (series.folder / "index.html").read_text()
        assert all(index.count(report.html.parent.name) == 1 for report in found.values())
        shutil.rmtree(series.folder)
    assert set(left) == {0, 1, 2, 3}


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that says which records it was given, and no kernel to execute it."""
    for name, module in killed.without_kernel().items():
        monkeypatch.setitem(sys.modules, name, module)
    cells = [
        v4.new_code_cell("address = None", metadata={"tags": ["parameters"]}),
        v4.new_code_cell(READ, metadata={"tags": ["findings"]}),
    ]
    nbformat.write(v4.new_notebook(cells=cells), folder / "heat.ipynb")


def run(kind: str, folder: Path, step: int) -> int:
    """A run in a process that dies before this step; its exit code."""
    steps = killed.STEPS if SOAK else killed.COMMITS
    words = [sys.executable, "-m", "tests.report.killed", kind, str(folder), str(step), *steps]
    return subprocess.run(words, check=False).returncode


def reached(folder: Path) -> int:
    """The next offset to report."""
    position = Series(folder / "out", "hourly").position()
    return 0 if position is None else position.position["heat", 0]


def told(folder: Path) -> list[list[int]]:
    """The numbers in each report, newest first; each of them is whole."""
    reports = Series(folder / "out", "hourly").reports()
    for report in reports:
        assert report.html.read_text() == "<!DOCTYPE html>"
        nbformat.validate(nbformat.read(report.ipynb, as_version=4))
    return [numbers_of(report) for report in reports]


def numbers_of(report: Report) -> list[int]:
    return [int(word) for line in report.findings for word in line.split()]
