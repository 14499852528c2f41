"""The life of live views in the versions of JupyterLab and ipykernel that people have.

    python -m tests.browser.matrix [JUPYTERLAB/IPYKERNEL ...]

Each pair gets an environment of its own, which is kept for the next time; in it the tests of live
charts (updates, pauses beside a running cell, reloads, restarts, errors) run in a real browser.
Needs Chromium and an index of packages.  Exits 1 if any pair fails.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

PAIRS = ("4.4/6.31", "4.5/7.2", "4.6/7.4")
ROOT = Path(__file__).parents[2]
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "playwright")
TESTS = ("tests/browser/test_live_chart.py",)


def environment(lab: str, kernel: str) -> Path:
    """The Python of an environment with these versions, made where there is none yet."""
    folder = ROOT / ".matrix" / f"lab-{lab}-kernel-{kernel}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        wanted = [f"jupyterlab=={lab}.*", f"ipykernel=={kernel}.*", "--editable", ".", *TOOLS]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], cwd=ROOT, check=True)
        (folder / "ready").touch()
    return python


def main(pairs: list[str]) -> int:
    """Run the tests with every pair; how many failed."""
    results = {}
    for pair in pairs:
        python = environment(*pair.split("/"))
        told = "import importlib.metadata as m; print(*map(m.version, ('jupyterlab', 'ipykernel')))"
        found = subprocess.run([python, "-c", told], capture_output=True, text=True, check=True)
        print(f"jupyterlab and ipykernel {found.stdout.strip()}", flush=True)
        tests = subprocess.run([python, "-m", "pytest", *TESTS], cwd=ROOT, check=False)
        results[found.stdout.strip()] = tests.returncode == 0
    for versions, passed in results.items():
        print(f"{versions}: {'passed' if passed else 'FAILED'}")
    return sum(not passed for passed in results.values())


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:] or list(PAIRS)) else 0)
