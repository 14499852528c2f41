"""Loops are compiled once a process, and what was kept of other sources is not used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
