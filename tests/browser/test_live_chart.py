"""Live charts in a real JupyterLab."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser

CHART = """
import threading, time
import altair as alt
import workbench as wb
made = 0
def feed():
    global made
    made += 1
    return {"n": made, "value": made % 17}
line = alt.Chart(alt.NamedData("rows")).mark_line().encode(x="n:Q", y="value:Q")
chart = wb.live(line.properties(width=500, height=160), feed, points=300)
chart
"""


def shown(notebook: Any) -> int:
    return int(notebook.page.locator(".wb-view").first.get_attribute("data-seq") or 0)


def test_a_live_chart_is_drawn_and_goes_on(open_notebook: Any) -> None:
    notebook = open_notebook(CHART)
    notebook.run(0)
    notebook.page.wait_for_function(
        "document.querySelector('.wb-view')?.dataset.seq > 20", timeout=15000
    )
    assert notebook.page.locator(".wb-view canvas").count() == 1
