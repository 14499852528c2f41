"""Loops are compiled once a process, and what was kept of other sources is not used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from workbench.compiled import told

INNER = """
NAMES = ("step",)
INLINED = ()

def step(x):
    return x + {more}
"""
OUTER = """
import inner
from inner import step

NAMES = ("twice",)
USES = (inner,)
INLINED = ()

def twice(x):
    return step(step(x))
"""
RUN = """
import outer
from workbench.compiled import compiled
print(compiled(outer).twice(0))
"""


def _run(code: str, folder: Path) -> int:
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(run.stdout)


def test_what_was_kept_is_of_the_sources_there_are(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner.py", tmp_path / "outer.py"
    inner.write_text(INNER.format(more=1))
    outer.write_text(OUTER)
    assert _run(RUN, tmp_path) == 2
    inner.write_text(INNER.format(more=10))
    assert _run(RUN, tmp_path) == 20


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(more=1))
    (tmp_path / "outer.py").write_text(OUTER)
    assert _run(RUN, tmp_path) == 2
    (kept,) = tmp_path.rglob("outer.twice-*.o")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-100])
    assert _run(RUN, tmp_path) == 2
    assert len(kept.read_bytes()) == len(whole)


def test_what_cannot_be_kept_beside_the_code_is_kept_in_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, private = tmp_path / "code", tmp_path / "private"
    code.mkdir()
    (code / "inner.py").write_text(INNER.format(more=1))
    (code / "outer.py").write_text(OUTER)
    (code / "__pycache__").write_text("no folder")
    monkeypatch.setenv("WORKBENCH_CACHE", str(private))
    assert _run(RUN, code) == 2
    (kept,) = private.rglob("outer.twice-*.o")
    made = kept.stat().st_mtime_ns
    assert _run(RUN, code) == 2
    assert kept.stat().st_mtime_ns == made
    monkeypatch.setenv("WORKBENCH_CACHE", "off")
    assert _run(RUN, code) == 2


def test_what_is_kept_is_run_without_numba(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(more=1))
    (tmp_path / "outer.py").write_text(OUTER)
    asked = RUN.replace("print(compiled(outer).twice(0))", "compiled(outer).twice(0)")
    asked += "import sys; print(int('numba' in sys.modules))"
    assert [_run(asked, tmp_path) for _ in range(2)] == [1, 0]


ARRAYS = """
import numpy as np, arrays
from workbench.compiled import compiled
whole = np.arange(24, dtype=np.int16).reshape(4, 6)
total = compiled(arrays).total
print(total(whole, 3), total(whole[1:, ::2], -1), total(whole.T, 0), total(whole[:0], 5))
"""


def test_arrays_are_given_as_they_lie(tmp_path: Path) -> None:
    (tmp_path / "arrays.py").write_text(
        """
NAMES = ("total",)
INLINED = ()

def total(table, more):
    found = more
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            found += table[row, column]
    return found
"""
    )
    run = subprocess.run(
        [sys.executable, "-c", ARRAYS],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["279", "125", "276", "5"]


THREADS = """
import threading, outer
from workbench.compiled import compiled
barrier, made = threading.Barrier(8), []
def make():
    barrier.wait()
    made.append(compiled(outer))
threads = [threading.Thread(target=make) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len({id(module) for module in made}))
"""


def test_threads_make_loops_once(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(more=1))
    (tmp_path / "outer.py").write_text(OUTER)
    assert _run(THREADS, tmp_path) == 1


def test_what_compiles_for_long_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("workbench.compiled.SILENT_SECONDS", 0.01)
    what = f"read {uuid.uuid4()}"
    with pytest.raises(KeyError), told(what):  # what failed has not run
        raise KeyError
    for _ in range(3):
        with told(what):
            time.sleep(0.3)
    said = capsys.readouterr().err
    assert said.count(what) == 1
    assert "once on this machine" in said


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with told(f"read {uuid.uuid4()}"):
        pass
    assert capsys.readouterr().err == ""
