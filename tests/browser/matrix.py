"""The life of live views in the JupyterLabs and kernels that people have, and in Voila.

    python -m tests.browser.matrix [JUPYTERLAB/IPYKERNEL ...] [voila]

Each gets an environment of its own, which is kept for the next time; in it the tests of live
charts (updates, pauses beside a running cell, reloads, restarts, errors) run in a real browser.
Needs Chromium and an index of packages.  Exits 1 if any fails.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

PAIRS = ("4.4/6.31", "4.5/7.2", "4.6/7.4")
VOILA = "voila"
ROOT = Path(__file__).parents[2]
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "playwright")


def environment(name: str, packages: list[str]) -> Path:
    """The Python of an environment with these packages, made where there is none yet."""
    folder = ROOT / ".matrix" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        wanted = [*packages, "--editable", ".", *TOOLS]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], cwd=ROOT, check=True)
        (folder / "ready").touch()
    return python


def one(chosen: str) -> tuple[str, bool]:
    """Run the tests in one environment: its versions, and whether they passed."""
    if chosen == VOILA:
        named, tests = ["voila", "ipykernel"], "tests/browser/in_voila.py"
        python = environment(VOILA, [VOILA])
    else:
        lab, kernel = chosen.split("/")
        named, tests = ["jupyterlab", "ipykernel"], "tests/browser/test_live_chart.py"
        wanted = [f"jupyterlab=={lab}.*", f"ipykernel=={kernel}.*"]
        python = environment(f"lab-{lab}-kernel-{kernel}", wanted)
    told = f"import importlib.metadata as m; print(*[n + ' ' + m.version(n) for n in {named}])"
    found = subprocess.run([python, "-c", told], capture_output=True, text=True, check=True)
    versions = found.stdout.strip()
    print(versions, flush=True)
    run = subprocess.run([python, "-m", "pytest", tests], cwd=ROOT, check=False)
    return versions, run.returncode == 0


def main(chosen: list[str]) -> int:
    """Run the tests in every environment; how many failed."""
    results = [one(name) for name in chosen]
    for versions, passed in results:
        print(f"{versions}: {'passed' if passed else 'FAILED'}")
    return sum(not passed for _, passed in results)


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:] or [*PAIRS, VOILA]) else 0)
