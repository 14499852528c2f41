"""The house rules that a machine can hold the code to."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import workbench as wb
from workbench import errors

PACKAGE = Path(wb.__file__).parent
REPO = PACKAGE.parent

#: What `import workbench` must not load: slow, drawing, or for other ways in.
HEAVY = {"altair", "anywidget", "duckdb", "ipywidgets", "jupyterlab", "kafka", "numpy", "papermill"}
HEAVY |= {"psutil", "tqdm"}


def test_imports_point_one_way() -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Contracts: 2 kept, 0 broken" in run.stdout


def test_exported_names() -> None:
    assert wb.__all__ == sorted(wb.__all__)
    late = {"disclose", "verify"}  # imported when they are named
    assert late & vars(wb).keys() == set()
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    public = {
        name
        for name, value in vars(wb).items()
        if not name.startswith("_") and not (inspect.ismodule(value) and name in modules)
    }
    offered = {name for name in wb.__all__ if not inspect.ismodule(getattr(wb, name))}
    assert offered == public | late
    with pytest.raises(AttributeError, match="module 'workbench' has no attribute 'nothing'"):
        _ = wb.nothing


def test_the_face_defines_nothing() -> None:
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(async )?(def|class) ", text, re.MULTILINE)


def test_import_is_light() -> None:
    code = f"import sys, workbench; print(*sorted(sys.modules.keys() & {HEAVY!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_error_tree_as_drawn() -> None:
    assert errors.__doc__ is not None
    drawn: list[tuple[str, str]] = []
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ((?:│   |    )*)(?:[├└]── )?(\w+)", line)
        if found is None or not line.startswith("    "):
            continue
        depth = len(found[1]) // 4 + ("──" in line)
        above[depth:] = [found[2]]
        if depth:
            drawn.append((above[depth - 1], found[2]))
    real = [
        (kind.__bases__[0].__name__, kind.__name__)
        for kind in vars(errors).values()
        if inspect.isclass(kind)
        and issubclass(kind, errors.WorkbenchError)
        and kind is not errors.WorkbenchError
    ]
    assert sorted(drawn) == sorted(real)
    assert above[0] == "WorkbenchError"


def test_no_module_is_too_long() -> None:
    long = {
        str(path.relative_to(REPO)): lines
        for path in PACKAGE.rglob("*.py")
        if "_bundled" not in path.parts
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(REPO))
        for path in PACKAGE.rglob("*.py")
        if (text := path.read_text(encoding="utf-8")) and not text.startswith('"""')
    ]
    assert silent == []


def test_every_benchmark_gives_rows() -> None:
    """`make bench` runs them one after the other, and one that cannot be run stops the others."""
    modules = sorted((REPO / "tests" / "benchmarks").glob("bench_*.py"))
    without = [path.name for path in modules if "\ndef run(" not in path.read_text("utf-8")]
    assert modules
    assert without == []
