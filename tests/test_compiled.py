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
