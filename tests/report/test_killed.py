"""Killed at any step, a schedule repeats a report and never passes over a record."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import nbformat
import nbformat.v4 as v4
import pytest

import workbench as wb
from tests.conftest import SOAK
from tests.report import killed
from workbench.report import Series

MOST_STEPS = 60
READ = "import workbench as wb\nprint(*wb.report_slice(address, None).frame()['n'])"


def test_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in killed.without_kernel().items():
        monkeypatch.setitem(sys.modules, name, module)
    cells = [
        v4.new_code_cell("address = None", metadata={"tags": ["parameters"]}),
        v4.new_code_cell(READ, metadata={"tags": ["findings"]}),
    ]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "heat.ipynb")
    outcomes = set()
    steps = killed.STEPS if SOAK else killed.COMMITS
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("heat", schema={"n": int})
        for step in count():
            assert step < MOST_STEPS
            log.append("heat", [{"n": 10 * step}, {"n": 10 * step + 1}])
            before = reached(tmp_path)
            ran = subprocess.run(
                [sys.executable, "-m", "tests.report.killed", str(tmp_path), str(step), *steps],
                check=False,
            )
            after, reports = reached(tmp_path), told(tmp_path)
            # The position is that of a whole report, and says no more than it does.
            assert after == before or after == 2 * (step + 1)
            new = [numbers for numbers in reports if 10 * step in numbers]
            assert after == before or new
            outcomes.add((after > before, bool(new)))
            if ran.returncode == 0:
                break
            assert ran.returncode == -signal.SIGKILL
            killed.run(tmp_path)
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
    return [[int(word) for line in report.findings for word in line.split()] for report in reports]
