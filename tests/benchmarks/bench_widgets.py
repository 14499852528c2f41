"""Live charts in a real JupyterLab: from push to paint, and what it costs.

Needs Chromium, and for the case of Kafka what its tests need. Push and paint are stamped by the
clock of one machine: what is measured is from the moment a row is made (by a function of the
kernel, or by another process that appends to a log, embedded or on a broker) to the moment at which
the chart that holds it has been drawn.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.bench_kafka import broker
from tests.browser.lab import Lab, Notebook
from tests.conftest import CHROMIUM_ARGUMENTS

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECONDS = 10

_KERNEL = """
import threading, time
import altair as alt
import workbench as wb
from workbench.widgets.view import View

sent = []
post = View.post
def noted(self, kind, content, buffers=None):
    post(self, kind, content, buffers)
    if kind == "news" and "rows" in content:
        sent.append((self._sent, content["rows"][0]["at"]))
View.post = noted

line = alt.Chart(alt.NamedData("rows")).mark_line().encode(x="n:Q", y="value:Q")
line = line.properties(width=600, height=160)
made = 0
def row():
    global made
    made += 1
    return {"n": made, "value": made * 7919 % 101, "at": time.time() * 1000}
"""
_POINTS = """
chart = wb.live(line, row, points=%d)
chart.add([row() for _ in range(%d)])
chart
"""
_FAST = """
chart = wb.live(line, iter(()), points=1000)
def push():
    due = time.monotonic()
    while chart is not None:
        chart.add(row())
        due += 1 / 200
        time.sleep(max(due - time.monotonic(), 0))
threading.Thread(target=push, daemon=True).start()
chart
"""
_LOG = """
log = wb.connect(%r)
chart = wb.live(line, log.stream("rows"), points=1000)
chart
"""
_APPEND = """
import sys, time
import workbench as wb
log = wb.connect(sys.argv[1], write=True)
for n in range(int(sys.argv[2])):
    log.append("rows", {"n": n, "value": n * 7919 % 101, "at": time.time() * 1000})
    time.sleep(0.1)
"""
_WATCH = """() => {
  window.painted = [];
  const view = document.querySelector('.wb-view');
  new MutationObserver(() => window.painted.push([Number(view.dataset.seq), Date.now()]))
    .observe(view, { attributes: true, attributeFilter: ['data-seq'] });
}"""
_FRAMES = """() => new Promise((resolve) => {
  let frames = 0;
  const until = performance.now() + 3000;
  const next = () => {
    frames += 1;
    if (performance.now() < until) requestAnimationFrame(next);
    else resolve(frames / 3);
  };
  requestAnimationFrame(next);
})"""


def run() -> list[dict[str, Any]]:
    """Rows of figures: updates painted, push to paint, processor time of the kernel."""
    rows = []
    with _page() as (lab, page):
        for points in (1000, 5000):
            notebook = Notebook(lab, page, f"p{points}", [_KERNEL, _POINTS % (points, points)])
            rows.append({"case": f"{points:,} points, 20 pushes/s", **_measure(notebook)})
        notebook = Notebook(lab, page, "fast", [_KERNEL, _FAST])
        rows.append({"case": "1,000 points, 200 pushes/s", **_measure(notebook)})
        place = str(lab.folder / "log")
        appended = "appended by another process"
        rows.append({"case": f"embedded log, {appended}", **_from_a_log(lab, page, place)})
        with broker() as server:
            found = _from_a_log(lab, page, f"kafka://{server}")
        rows.append({"case": f"Kafka, {appended}", **found})
        rows += _eight(lab, page)
    return rows


def _measure(notebook: Notebook, command: list[str] | None = None) -> dict[str, Any]:
    page = notebook.page
    notebook.run(0)
    notebook.run(1)
    page.wait_for_selector(".wb-view canvas", timeout=60_000)
    appending = None if command is None else subprocess.Popen(command)
    page.wait_for_timeout(2000)
    notebook.ask("sent.clear()")
    page.evaluate(_WATCH)
    cpu_s, wall_s = notebook.ask("(time.process_time(), time.time())")
    page.wait_for_timeout(SECONDS * 1000)
    painted = page.evaluate("window.painted")
    cpu_end_s, wall_end_s = notebook.ask("(time.process_time(), time.time())")
    sent = notebook.ask("sent")
    if appending is not None:
        appending.wait()
    notebook.close()
    times = dict(painted[::-1])  # the first time that a number is seen
    # What was sent between two paints was painted with the second.
    waits = [min((t for seq, t in times.items() if seq >= n), default=None) for n, _ in sent]
    delays = sorted(t - at for t, (_, at) in zip(waits, sent, strict=True) if t is not None)
    return {
        "painted/s": round(len(times) / SECONDS, 1),
        "p50 ms": round(statistics.median(delays)),
        "p95 ms": round(delays[int(0.95 * len(delays))]),
        "kernel CPU": f"{(cpu_end_s - cpu_s) / (wall_end_s - wall_s):.1%}",
    }


def _from_a_log(lab: Lab, page: Page, place: str) -> dict[str, Any]:
    import workbench as wb

    made = {"write": True} if place.startswith("kafka:") else {"create": True}
    with wb.connect(place, **made) as log:
        log.create("rows")
        log.append("rows", {"n": 0, "value": 0, "at": 0.5})  # what its fields are
    notebook = Notebook(lab, page, "log", [_KERNEL, _LOG % place])
    count = str((SECONDS + 4) * 10)
    return _measure(notebook, [sys.executable, "-c", _APPEND, place, count])


def _eight(lab: Lab, page: Page) -> list[dict[str, Any]]:
    """What eight charts in one notebook send and cost."""
    received = 0

    def count(payload: str | bytes) -> None:
        nonlocal received
        received += len(payload)

    page.on("websocket", lambda socket: socket.on("framereceived", count))
    notebook = Notebook(lab, page, "eight", [_KERNEL, *[_POINTS % (1000, 1000)] * 8])
    notebook.run()
    page.wait_for_function("document.querySelectorAll('.wb-view canvas').length >= 8")
    loaded = received
    frames = page.evaluate(_FRAMES)
    heap = page.evaluate("performance.memory.usedJSHeapSize")
    cpu_s, wall_s = notebook.ask("(time.process_time(), time.time())")
    received = 0
    page.wait_for_timeout(SECONDS * 1000)
    cpu_end_s, wall_end_s = notebook.ask("(time.process_time(), time.time())")
    each = received / SECONDS / 8
    notebook.close()
    return [
        {
            "case": f"8 charts: {loaded / 1e6:.1f} MB to load, then {each / 1e3:.0f} KB/s each, "
            f"heap {heap / 1e6:.0f} MB, {frames:.0f} frames/s",
            "kernel CPU": f"{(cpu_end_s - cpu_s) / (wall_end_s - wall_s):.1%}",
        }
    ]


@contextmanager
def _page() -> Iterator[tuple[Lab, Page]]:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder) / "lab")
        lab.start()
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGUMENTS)
        try:
            yield lab, browser.new_page(viewport={"width": 1280, "height": 3000})
        finally:
            browser.close()
            lab.stop()
