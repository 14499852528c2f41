"""How long `import workbench` takes in a fresh process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

REPEATS = 7


def run() -> list[dict[str, Any]]:
    """Median over fresh processes, beside `import polars` alone; compiled before, as installed."""
    with tempfile.TemporaryDirectory() as compiled:
        empty = _median("pass", compiled)
        return [
            {
                "measure": f"import {name}",
                "figure": f"{(_median(f'import {name}', compiled) - empty) * 1e3:.0f} ms",
            }
            for name in ("polars", "workbench")
        ]


def _median(code: str, compiled: str) -> float:
    environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    times = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    from tests.benchmarks import table

    print(table(run()))
