"""From a commit in one process to the record in another's `follow`."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workbench as wb

PAUSE_SECONDS = 0.01


def run(commits: int = 1_000) -> list[dict[str, Any]]:
    """Append so many records one by one; a row per percentile of the delay."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with wb.connect(path, create=True) as log:
            log.create("ticks", schema={"at_ns": int})
            context = multiprocessing.get_context("spawn")
            producer = context.Process(target=_produce, args=(path, commits))
            producer.start()
            delays: list[float] = []
            for frame in log.stream("ticks").follow(timeout=10, until={0: commits}):
                now = time.time_ns()
                delays += [(now - at) / 1e6 for at in frame["at_ns"]]
            producer.join()
    cuts = statistics.quantiles(delays, n=100)
    return [
        {"measure": f"commit to follow in another process, {name}", "figure": f"{ms:.2f} ms"}
        for name, ms in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(delays)))
    ]


def _produce(path: Path, commits: int) -> None:
    with wb.connect(path, write=True) as log:
        for _ in range(commits):
            log.append("ticks", {"at_ns": time.time_ns()})
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    from tests.benchmarks import table

    print(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)))
