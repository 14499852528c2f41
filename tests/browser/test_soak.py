"""Views left open: what they hold stays the same, for as long as one looks at them.

Seconds by default; two minutes in a soak, or as many as WORKBENCH_SOAK_SECONDS says (28800 is a
working day).  Each sample is a line of `reports/screenshots/soak.jsonl`, written as it is taken.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import Any

import pytest

from tests.browser.conftest import SCREENSHOTS, Open
from tests.conftest import SOAK
from workbench.widgets.still import FIRST_S

pytestmark = pytest.mark.browser

SECONDS = float(os.environ.get("WORKBENCH_SOAK_SECONDS", "120" if SOAK else "8"))

#: By how much the second half may hold more than the first: what allocators keep, and no leak.
#: What Vega keeps of rows that have gone is 20 MB within two minutes, where it is let.
KERNEL_BYTES = 24 * 2**20
PAGE_BYTES = 6 * 2**20
FILES = 4

SETUP = """
import gc, tempfile, threading
import altair as alt
import polars as pl
import psutil
import workbench as wb
log = wb.connect(tempfile.mkdtemp() + "/log", create=True)
log.create("readings", schema={"kind": str, "n": int}, retention="30s")
readings = log.stream("readings")
over = threading.Event()

def produce():
    while not over.wait(0.1):
        log.append("readings", [{"kind": f"k{n % 5}", "n": n} for n in range(20)])

log.append("readings", [{"kind": "k0", "n": 0}])
readings.all().monitor(window="1s", n=pl.len()).chart()._repr_mimebundle_()
producer = threading.Thread(target=produce, daemon=True)
producer.start()
me = psutil.Process()

def held():
    gc.collect()
    return {
        "kernel": me.memory_info().rss,
        "threads": threading.active_count(),
        "files": me.num_fds(),
    }
"""
#: What a kernel loads once is no growth: for the first picture that is drawn, and here when the
#: first records are sealed.
SEALED = """
log.append("readings", [{"kind": f"k{n % 5}", "n": n} for n in range(200_000)])
log.maintain()
"""
#: Fifty rows a second, so that all that are drawn have been replaced within half a minute.
MONITOR = """
readings.monitor(
    window="200ms", every="100ms", by="kind", on_late="count", n=pl.len(), sum=pl.col("n").sum()
)
"""
CHART = """
line = alt.Chart(alt.NamedData("rows")).mark_line().encode(x="offset:Q", y="n:Q")
wb.live(line.properties(width=500, height=120), readings, points=500)
"""
TABLE = 'readings.table(by="kind", events=pl.len())'


def slope_per_hour(samples: list[dict[str, Any]], name: str) -> float:
    """By how much something grows, as a line through the samples has it."""
    times, values = ([float(sample[key]) for sample in samples] for key in ("s", name))
    return 3600 * statistics.linear_regression(times, values).slope


def test_what_views_hold_does_not_grow(open_notebook: Open) -> None:
    first = SETUP + SEALED if SECONDS >= 60 else SETUP
    notebook = open_notebook(first, MONITOR, CHART, TABLE)
    page = notebook.page
    notebook.run()
    page.wait_for_function("document.querySelectorAll('.wb-view[data-seq]').length >= 3")
    page.wait_for_timeout(1000 * (FIRST_S + 2))  # The pictures beside the views are drawn anew.
    devtools = page.context.new_cdp_session(page)
    samples: list[dict[str, Any]] = []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    written = (SCREENSHOTS / "soak.jsonl").open("w", buffering=1)
    began = time.monotonic()
    while time.monotonic() < began + SECONDS or len(samples) < 8:
        page.wait_for_timeout(1000 * min(SECONDS / 20, 60))
        for _ in range(4):  # what one collection leaves over, the next one takes
            devtools.send("HeapProfiler.collectGarbage")
        sample = notebook.ask("held()")
        sample["page"] = devtools.send("Runtime.getHeapUsage")["usedSize"]
        sample["seqs"] = page.evaluate(
            "[...document.querySelectorAll('.wb-view')].map((view) => Number(view.dataset.seq))"
        )
        sample["s"] = round(time.monotonic() - began, 1)
        samples.append(sample)
        written.write(json.dumps(sample) + "\n")
    written.close()
    notebook.ask("[over.set(), producer.join()]")
    half = len(samples) // 2
    most = {
        name: [max(sample[name] for sample in part) for part in (samples[:half], samples[half:])]
        for name in ("kernel", "page", "threads", "files")
    }
    print(f"{SECONDS:g} s, {len(samples)} samples, most in the first and second half: {most}")
    for name in ("kernel", "page"):
        slope = slope_per_hour(samples[half:], name) / 2**20
        print(f"{name}: {slope:+.1f} MB an hour over the second half")
    assert most["kernel"][1] - most["kernel"][0] < KERNEL_BYTES
    assert most["page"][1] - most["page"][0] < PAGE_BYTES
    assert most["threads"][1] <= most["threads"][0]
    assert most["files"][1] - most["files"][0] <= FILES
    # All that time every view went on.
    assert all(a < b for a, b in zip(samples[half]["seqs"], samples[-1]["seqs"], strict=True))
