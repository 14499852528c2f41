"""Event text is text: in every view, in every table, and in the report of a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from tests.browser.conftest import Open
from tests.browser.hostile import PAYLOADS
from workbench import report

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

#: A stream with every payload as key, value and header, and some as field, metric and group.
HOSTILE = f"""
import tempfile
import altair as alt
import polars as pl
import workbench as wb
payloads = {PAYLOADS!r}
log = wb.connect(tempfile.mkdtemp() + "/log", create=True)
field = payloads[0] + ".x[0]"
log.create("evil", schema={{"who": str, "again": str, field: int}})
rows = [{{"who": text, "again": text, field: n}} for n, text in enumerate(payloads * 2)]
log.append("evil", rows, key="who", headers=lambda row: [(row["who"], row["again"].encode())])
log.create("free")
log.append("free", [{{"value": text.encode(), "key": text.encode()}} for text in payloads],
           encode="bytes")
for text in payloads[:14]:
    list(log.stream("free").follow(group=text, start="now", timeout=0.01))
day = log.stream("evil").all()
value = pl.col(field)
table = log.stream("evil").table(by="who", **{{payloads[2]: value.sum(), "n": pl.len()}})
"""
SHOWN = [
    "log",
    "day",
    "log.stream('evil')",
    "log.stream('free').all()",
    "day.monitor(window='1h', by='who', **{payloads[1]: value.sum()},"
    " alerts={payloads[3]: (pl.col('events') > 0, 'critical')})",
    "table",
    "table.now()",
    "table.diff('earliest', 'now')",
    "day.trail(payloads[4], by='who')",
    "day.completeness()",
    "log.find(payloads[5])",
    "log.stream('free').find(payloads[6]) if hasattr(log.stream('free'), 'find') else None",
]
LIVE = [
    "player = day.play(speed=None)\nplayer.monitor(window='1h', by='who', n=pl.len())",
    "player.table(table)",
    "player.trail(payloads[7], by='who')",
    "bars = alt.Chart(alt.NamedData('r')).mark_bar().encode(x='n:Q', y='who:N', tooltip='who:N')\n"
    "wb.live(bars, [[{'n': n, 'who': text} for n, text in enumerate(payloads)]])",
]


def ran(page: Page) -> Any:
    return page.evaluate("window.__ran || 0")


def test_there_are_fifty() -> None:
    assert len(set(PAYLOADS)) == 50


def test_views_run_nothing_and_load_nothing(open_notebook: Open) -> None:
    """That nothing is loaded from elsewhere, the page itself asserts."""
    notebook = open_notebook(HOSTILE, *SHOWN, *LIVE)
    page = notebook.page
    notebook.run()
    page.wait_for_function("document.querySelectorAll('.wb-view[data-seq]').length >= 9")
    assert page.locator("text=Traceback").count() == 0
    # Everything that can be opened is opened, and everything shown is pointed at.
    for fold in page.locator(".wb-view summary").all():
        fold.click()
    for view in page.locator(".wb-view").all():
        for row in view.locator("tbody tr[tabindex]").all()[:3]:
            row.click()
        for button in view.get_by_role("button", name="Raw value").all():
            button.click()
        for canvas in view.locator("canvas").all():
            box = canvas.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".wb-raw").first.wait_for()
    page.locator(".wb-alerts").first.wait_for()
    notebook.ask("player.run().finished")
    page.wait_for_timeout(500)
    assert ran(page) == 0
    assert PAYLOADS[0] in page.locator("body").inner_text()
    assert (
        page.locator(".wb-view script, .wb-view iframe, .wb-view img, .wb-view link").count() == 0
    )


def test_a_report_runs_nothing_and_loads_nothing(page: Page, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in (HOSTILE, *SHOWN, *LIVE)]
    )
    nbformat.write(notebook, tmp_path / "evil.ipynb")
    done = report.run(tmp_path / "evil.ipynb", tmp_path / "out")
    page.goto(Path(done.html).as_uri())
    page.wait_for_timeout(300)
    assert ran(page) == 0
    assert PAYLOADS[0] in page.inner_text("body")
    executed = nbformat.read(done.ipynb, as_version=4)
    for cell in executed.cells[1:]:
        for output in cell.outputs:
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
