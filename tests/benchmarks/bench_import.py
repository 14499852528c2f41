"""How long `import workbench` takes in a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

REPEATS = 7


def run() -> list[dict[str, Any]]:
    """Median over fresh processes, beside `import polars` alone."""
    empty = _median("pass")
    return [
        {
            "measure": f"import {name}",
            "figure": f"{(_median(f'import {name}') - empty) * 1e3:.0f} ms",
        }
        for name in ("polars", "workbench")
    ]


def _median(code: str) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    from tests.benchmarks import table

    print(table(run()))
