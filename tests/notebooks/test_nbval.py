"""Notebooks by way of nbval, as those who review them run it: no cell raises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import workbench as wb
from tests.conftest import SOAK

NOTEBOOKS = Path(wb.__file__).parent.parent / "notebooks"
#: A kernel for each takes its time; other tests run all of them in this process, or in one kernel.
FEW = [NOTEBOOKS / "04-formats.ipynb", NOTEBOOKS / "11-offsets-and-seeking.ipynb"]
#: It goes on until it is stopped.
ENDLESS = {"producer.ipynb"}


def test_nbval() -> None:
    every = [path for path in sorted(NOTEBOOKS.rglob("*.ipynb")) if path.name not in ENDLESS]
    chosen = [path for path in every if ".ipynb_checkpoints" not in path.parts] if SOAK else FEW
    # Their cells live in IPython, where the warnings of others are no errors.
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "-W", "default", *map(str, chosen)],
        cwd=NOTEBOOKS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
