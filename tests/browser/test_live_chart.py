"""Live charts, and the life of every view, in a real JupyterLab."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import Notebook

pytestmark = pytest.mark.browser

SETUP = """
import threading, time
import altair as alt
import ipykernel
import workbench as wb
from workbench.widgets.shown import _views

made = 0
def feed():
    global made
    made += 1
    if made == broken_at:
        raise wb.WorkbenchError("the sensor is unplugged", hint="plug it in")
    return {"n": made, "value": made % 17}

broken_at = None
gate = threading.Event()
line = alt.Chart(alt.NamedData("rows")).mark_line().encode(x="n:Q", y="value:Q")
line = line.properties(width=500, height=120)

def threads():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("workbench-"))
"""
CHART = "chart = wb.live(line, feed, points=300)\nchart"
#: Before ipykernel 7 a kernel hears nothing while a cell runs; the page holds its picture anyway.
UNTIL_PAUSED = """
deadline = time.monotonic() + (60 if ipykernel.version_info >= (7,) else 8)
while not any(view.paused for view in _views.values()) and time.monotonic() < deadline:
    time.sleep(0.02)
print("paused" if any(view.paused for view in _views.values()) else "never paused")
"""
#: What was on its way into a picture is in it then.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ONE_FEED = ["workbench-beat", "workbench-feed", "workbench-view-live.js"]


def wait_for_seq(notebook: Notebook, least: int) -> int:
    """Wait until that many messages have been painted; which was the last."""
    seq = "Number(document.querySelector('.wb-view')?.dataset.seq ?? 0)"
    notebook.page.wait_for_function(f"{seq} >= {least}")
    return int(notebook.page.evaluate(seq))


def wait_until(notebook: Notebook, code: str) -> None:
    """Wait until an expression is true in the kernel."""
    for _ in range(1200):
        if notebook.ask(code):
            return
        notebook.page.wait_for_timeout(100)
    raise AssertionError(f"never: {code}; threads {notebook.ask('threads()')}")


def test_a_chart_lives_through_cells_pauses_and_reloads(open_notebook: Open) -> None:
    notebook = open_notebook(SETUP, CHART, UNTIL_PAUSED)
    page = notebook.page
    notebook.run(0)
    notebook.run(1)
    seen = wait_for_seq(notebook, 10)
    assert page.locator(".wb-view canvas").count() == 1
    assert page.locator(".wb-still").first.is_hidden()

    # A cell that runs holds up neither the updates nor the controls: it ends when it is paused.
    notebook.run(2, wait=False)
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.sessionContext.kernelDisplayStatus === 'busy'"
    )
    seen = wait_for_seq(notebook, seen + 5)
    page.get_by_role("button", name="Pause the picture").click()
    view = page.locator(".wb-view")
    assert view.get_attribute("data-paused") == "true"
    page.wait_for_timeout(500)
    page.evaluate(TWO_FRAMES)
    held = view.get_attribute("data-seq")
    notebook.cell(2).locator(".jp-OutputArea-output pre").wait_for()
    if notebook.ask("ipykernel.version_info[0]") >= 7:
        assert notebook.text(2).strip() == "paused"

    # The picture stands, the feed does not; then it goes on.
    before = notebook.ask("made")
    wait_until(notebook, f"made > {before + 10}")
    assert view.get_attribute("data-seq") == held
    page.get_by_role("button", name="Resume").click()
    wait_for_seq(notebook, int(held or 0) + 5)

    # A page that is loaded anew gets the whole picture again.
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    made = notebook.ask("made")
    page.reload()
    page.wait_for_selector(".wb-view canvas")
    wait_for_seq(notebook, made // 2)
    assert notebook.ask("threads()") == ONE_FEED


def test_threads_end_and_what_is_lost_is_told(open_notebook: Open) -> None:
    notebook = open_notebook(SETUP, CHART)
    page = notebook.page
    notebook.run(0)
    for _ in range(10):
        notebook.run(1)
    wait_for_seq(notebook, 3)
    wait_until(notebook, f"threads() == {ONE_FEED}")
    notebook.ask("chart.close()")
    wait_until(notebook, "threads() == []")

    # What the feed raises is told, and it can be gone on with.
    notebook.run(1)
    wait_for_seq(notebook, 3)
    notebook.ask("globals().__setitem__('broken_at', made + 5)")
    banner = page.locator(".wb-banner")
    page.wait_for_selector(".wb-view[data-condition=error]")
    assert "the sensor is unplugged (plug it in)" in banner.inner_text()
    at = int(page.locator(".wb-view").get_attribute("data-seq") or 0)
    banner.get_by_role("button", name="Resume").click()
    wait_for_seq(notebook, at + 5)
    banner.wait_for(state="hidden")

    # A read that takes long is told, and is no sign that the kernel is gone.
    notebook.ask("[setattr(v, 'news', lambda: gate.wait() and None) for v in _views.values()]")
    page.wait_for_selector(".wb-view[data-condition=busy]")
    page.wait_for_timeout(5_000)
    page.locator(".wb-banner", has_text="Still reading.").wait_for()
    notebook.ask("gate.set()")
    banner.wait_for(state="hidden")

    # A kernel that has gone leaves no frozen lie.
    notebook.restart()
    page.wait_for_selector(".wb-view[data-condition=stale]")
    assert "Stale" in banner.inner_text()
