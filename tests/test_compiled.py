"""Loops are compiled once a process, and what was kept of other sources is not used."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest

from workbench.compiled import told

INNER = """
NAMES = ("step",)
INLINED = ()
PURPOSE = "step"

def step(x):
    return x + {more}
"""
OUTER = """
import inner
from inner import step

NAMES = ("twice",)
USES = (inner,)
INLINED = ()
PURPOSE = "step twice"

def twice(x):
    return step(step(x))
"""
RUN = """
import outer
from workbench.compiled import compiled
print(compiled(outer).twice(0))
"""


def _said(code: str, folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def _run(code: str, folder: Path) -> int:
    return int(_said(code, folder))


def _modules(folder: Path) -> None:
    """`outer`, whose loop calls that of `inner` twice, which adds one."""
    (folder / "inner.py").write_text(INNER.format(more=1))
    (folder / "outer.py").write_text(OUTER)


def test_what_was_kept_is_of_the_sources_there_are(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner.py", tmp_path / "outer.py"
    inner.write_text(INNER.format(more=1))
    outer.write_text(OUTER)
    assert _run(RUN, tmp_path) == 2
    inner.write_text(INNER.format(more=10))
    assert _run(RUN, tmp_path) == 20


OUTMOST = """
import outer
from outer import twice

NAMES = ("eight",)
USES = (outer,)
INLINED = ()
PURPOSE = "step on"

def eight(x):
    return twice(twice(twice(twice(x))))
"""


def test_what_is_used_by_what_is_used_counts(tmp_path: Path) -> None:
    (tmp_path / "outer.py").write_text(OUTER)
    (tmp_path / "outmost.py").write_text(OUTMOST)
    run = "import outmost as o, workbench.compiled as c; print(c.compiled(o).eight(0))"
    for more in (1, 5):
        (tmp_path / "inner.py").write_text(INNER.format(more=more))
        assert _run(run, tmp_path) == 8 * more


def test_whole_numbers_of_any_kind(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(more=1))
    loop = "import numpy as np, inner; from workbench.compiled import compiled; "
    loop += "step = compiled(inner).step; "
    assert _run(f"{loop} print(step(np.int16(7)) + step(np.uint64(2**40)))", tmp_path) == 9 + 2**40
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _run(f"{loop} step(1 << 63)", tmp_path)
    assert "beyond 64 bits" in failed.value.stderr


def test_another_loop_runs_while_one_is_compiled(tmp_path: Path) -> None:
    """And a child that is forked meanwhile makes its own."""
    _modules(tmp_path)
    assert _run(RUN, tmp_path) == 2
    code = """
        import os, threading, time, warnings
        import outer, inner, workbench.compiled as c
        warnings.simplefilter("ignore")
        assert c.compiled(outer).twice(0) == 2
        slow, begun, made = c._object, threading.Event(), threading.Event()
        def late(*given):
            begun.set()
            made.wait(60)
            return slow(*given)
        c._object = late
        thread = threading.Thread(target=lambda: c.compiled(inner).step(0))
        thread.start()
        begun.wait()
        assert c.compiled(outer).twice(1) == 3
        child = os.fork()
        if not child:
            made.set()
            os._exit(c.compiled(inner).step(1))
        done = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        made.set()
        thread.join()
        print(done)
    """
    assert _run(textwrap.dedent(code), tmp_path) == 2


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    _modules(tmp_path)
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
    _modules(code)
    (code / "__pycache__").write_text("no folder")
    monkeypatch.setenv("WORKBENCH_CACHE", str(private))
    assert _run(RUN, code) == 2
    (kept,) = private.rglob("outer.twice-*.o")
    made = kept.stat()
    assert _run(RUN, code) == 2
    assert kept.stat().st_ino == made.st_ino
    assert kept.stat().st_mtime_ns > made.st_mtime_ns  # what was used stays longest
    monkeypatch.setenv("WORKBENCH_CACHE", "off")
    assert _run(RUN, code) == 2


def test_what_is_kept_is_run_without_numba(tmp_path: Path) -> None:
    _modules(tmp_path)
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
PURPOSE = "add"

def total(table, more):
    found = more
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            found += table[row, column]
    return found
"""
    )
    assert _said(ARRAYS, tmp_path).split() == ["279", "125", "276", "5"]


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
    _modules(tmp_path)
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
