"""Views in a page that is no JupyterLab, as the ones of VS Code are: nothing but anywidget's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import altair as alt
import msgspec
import polars as pl
import pytest

import workbench as wb
from tests.browser.conftest import SCREENSHOTS
from tests.browser.plain import Plain
from workbench.widgets.live import _LiveView
from workbench.widgets.monitor import MonitorView
from workbench.widgets.shown import view_of
from workbench.widgets.table import TableView
from workbench.widgets.topics import TopicsView
from workbench.widgets.view import View

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

ROWS = 100_000
DARK = """
body {
  background: #1f1f1f;
  --vscode-editor-foreground: #cccccc;
  --vscode-descriptionForeground: #9d9d9d;
  --vscode-editorIndentGuide-background1: #404040;
  --vscode-editor-background: #1f1f1f;
  --vscode-editorWidget-background: #2b2b2b;
  --vscode-focusBorder: #0078d4;
}
"""


@pytest.fixture
def readings(log: wb.Log) -> wb.Stream:
    log.create("readings", schema={"who": str, "n": int})
    log.append(
        "readings", pl.DataFrame({"who": [f"w{n:06}" for n in range(ROWS)]}).with_row_index("n")
    )
    return log.stream("readings")


@pytest.fixture
def opened() -> Iterator[list[View]]:
    views: list[View] = []
    yield views
    for view in views:
        view.close()


def test_a_table_of_many_rows_has_few_of_them_in_the_page(
    readings: wb.Stream, page: Page, opened: list[View]
) -> None:
    table = readings.table(by="who", n=pl.col("n").sum())
    view = TableView(table.now)
    opened.append(view)
    plain = Plain(page, view)
    lines = page.locator("tbody tr:not([aria-hidden])")
    plain.until(lambda: lines.count() > 10)
    assert "100,000 rows" in page.locator(".wb-facts").inner_text()
    scroll = page.locator(".wb-scroll").first
    for to, row in [(0.5, "w050"), (1, "w099999"), (0, "w000000")]:
        scroll.evaluate("(el, to) => el.scrollTo(0, to * el.scrollHeight)", to)
        plain.until(lambda row=row: page.get_by_role("cell", name=row).count())  # type: ignore[misc]
        assert lines.count() < 100
    # Also where the picture is held.
    page.get_by_role("button", name="Pause the picture").click()
    page.get_by_label("Search").fill("W04242")
    plain.until(lambda: "10 of 100,000 rows" in page.locator(".wb-facts").inner_text())


def test_a_view_that_has_ended_says_so_whatever_was_on_its_way(
    log: wb.Log, page: Page, opened: list[View]
) -> None:
    view = TopicsView(log)
    opened.append(view)
    plain = Plain(page, view)
    plain.until(lambda: page.get_by_role("cell", name="no topics yet").is_visible())
    view.close("its cell was run again")
    late = msgspec.json.encode({"state": view._state(), **view.picture()})
    plain._send({"kind": "picture", "seq": view._sent + 1}, [late])
    ended = page.get_by_text("This view has ended: its cell was run again.")
    plain.until(ended.is_visible)
    plain.until(lambda: plain._out.empty())
    assert ended.is_visible()


def test_a_chart_without_rows_has_no_legend_of_nothing(page: Page, opened: list[View]) -> None:
    heat = alt.Chart(alt.NamedData("rows")).mark_point().encode(x="n:Q", color="heat:Q")
    chart = wb.live(heat, [])
    view = view_of(chart, _LiveView)
    opened.append(view)
    page.evaluate(
        """() => {
          window.words = new Set();
          const write = CanvasRenderingContext2D.prototype.fillText;
          CanvasRenderingContext2D.prototype.fillText = function (words, ...place) {
            window.words.add(words);
            return write.call(this, words, ...place);
          };
        }"""
    )
    plain = Plain(page, view)
    plain.until(lambda: page.locator(".wb-view[data-seq] canvas").count())
    chart.add([{"n": 1, "heat": 2}, {"n": 2, "heat": 3}])
    plain.until(lambda: page.evaluate("window.words.has('heat')"))
    assert not page.evaluate("window.words.has('NaN')")


def test_of_many_topics_some_are_listed_and_all_are_found(
    log: wb.Log, page: Page, opened: list[View]
) -> None:
    for number in range(230):
        log.create(f"area.{number:03}_{'x' * number}")
    log.create("wide", partitions=20)
    log.append("wide", [{"n": 1}])
    for number in range(14):
        list(log.stream("wide").follow(group=f"group {number}", timeout=0.01))
    view = TopicsView(log)
    opened.append(view)
    plain = Plain(page, view)
    topics = page.get_by_role("table", name="Topics").locator("tbody tr")
    plain.until(lambda: page.get_by_text("200 of 231 topics").is_visible())
    assert topics.count() == 200
    page.get_by_label("Topics with this in their name").fill("wid")
    plain.until(lambda: topics.count() == 1)
    topics.first.press("Enter")
    parts = page.get_by_text("Partitions (20)")
    plain.until(parts.is_visible)
    # What is long is folded away, and stays open once it is opened.
    groups = page.get_by_text("Consumer groups (14)")
    last = page.get_by_role("cell", name="group 13")
    assert not last.is_visible()
    groups.click()
    parts.click()
    log.append("wide", [{"n": 2}])
    plain.until(lambda: page.get_by_role("cell", name="2", exact=True).first.is_visible())
    assert last.is_visible()
    assert page.evaluate("document.body.scrollWidth <= document.body.clientWidth")


def test_a_stretch_of_time_is_brushed_and_dark_pages_are_legible(
    log: wb.Log, page: Page, opened: list[View]
) -> None:
    log.create("pulse", schema={"n": int, "at": pl.Datetime("ms", "UTC")})
    minute = 60_000
    log.append("pulse", [{"n": n, "at": n * minute} for n in range(120)], timestamp="at")
    monitor = log.stream("pulse").all().monitor(window="1m", most=pl.col("n").max())
    view = MonitorView(monitor)
    opened.append(view)
    plain = Plain(page, view, DARK)
    canvas = page.locator(".wb-plot canvas")
    plain.until(lambda: canvas.count() and page.locator(".wb-view[data-seq]").count())
    box = canvas.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], y, steps=5)
    page.mouse.up()
    plain.until(lambda: page.locator(".wb-chosen").is_visible())
    tip = page.locator("#vg-tooltip-element")
    plain.until(tip.is_visible)
    assert re.search(r"window start\s+1970-01-01 01:2\d:00", tip.inner_text())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "test_plain_dark.png")
    chosen = monitor.selection
    assert isinstance(chosen, wb.Slice)
    numbers = chosen.frame()["n"]
    assert 20 < numbers.len() < 60
    assert numbers.to_list() == list(range(numbers[0], numbers[0] + numbers.len()))
    # The words on the axes are as light as those beside them.
    light = canvas.evaluate(
        """(canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let light = 0;
          for (let n = 0; n < data.length; n += 4) light += data[n] > 180 && data[n + 3] > 200;
          return light;
        }"""
    )
    assert light > 50

    # Colours that change while the page has no room for a moment leave no narrow chart.
    page.evaluate(
        """async () => {
          const plot = document.querySelector(".wb-plot");
          plot.style.width = "300px";
          document.body.className = "other";
          await new Promise((resolve) => setTimeout(resolve));
          plot.style.width = "";
        }"""
    )
    plain.until(lambda: canvas.count() and (canvas.bounding_box() or {"width": 0})["width"] > 900)
