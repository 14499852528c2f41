"""Monitors, players, tables, trails and logs, used with mouse and keyboard in a real JupyterLab."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Open

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

BANK = """
import polars as pl
import workbench as wb
log = wb.sample("bank")
tx = log.stream("transactions")
day = tx.between("2026-11-03", "2026-11-05")
balances = tx.table(by="account", balance=pl.col("amount").sum())
"""
LIVE = """
import tempfile
own = wb.connect(tempfile.mkdtemp() + "/log", create=True)
own.create("readings", schema={"n": int})
monitor = own.stream("readings").monitor(
    window="1h",
    n=pl.len(),
    most=pl.col("n").max(),
    alerts={"high": (pl.col("most") > 90, "critical")},
)
monitor
"""
TIME_MACHINE = """
player = day.play(speed=60)
movements = player.monitor(window="1h", n=pl.len())
state = player.table(balances)
trail = player.trail("A-1042", by="account")
player
"""

#: How many points of a canvas have the colour of bars and dots.
DRAWN = """
(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let drawn = 0;
  for (let n = 0; n < data.length; n += 4) drawn += data[n] < 90 && data[n + 2] > 150;
  return drawn;
}
"""


def assert_accessible(page: Page) -> None:
    """What axe finds wrong in the views: nothing."""
    found = Axe().run(page, context=".wb-view", options={"resultTypes": ["violations"]})
    wrong = [(rule["id"], rule["nodes"][0]["html"]) for rule in found.response["violations"]]
    assert wrong == []


def test_a_monitor_shows_what_comes_and_hands_back_its_records(open_notebook: Open) -> None:
    notebook = open_notebook(BANK, LIVE)
    page = notebook.page
    notebook.run(0)
    notebook.run(1)
    page.wait_for_selector(".wb-view canvas")
    canvas = page.locator(".wb-view canvas")
    empty = canvas.bounding_box()
    notebook.ask("[own.append('readings', {'n': n}).records for n in (5, 95, 7)]")
    alert = page.locator(".wb-alerts tbody tr")
    figures = page.locator(".wb-figures")
    page.locator(".wb-figures", has_text=re.compile(r"3events(?!/)")).wait_for()
    notebook.ask("monitor.stop()")
    notebook.ask("monitor.finish()")
    # The axes of the rows that have come need more room.
    page.wait_for_function(
        "height => document.querySelector('.wb-view canvas').clientHeight > height",
        arg=empty["height"] if empty else 0,
    )
    alert.first.wait_for()
    assert "critical" in alert.first.inner_text()
    # Without groups there is no column of them.
    heads = page.locator(".wb-alerts th").all_inner_texts()
    assert heads == ["severity", "alert", "window start (UTC)", "values"]
    assert "event to screen" in figures.inner_text()
    alert.first.focus()
    page.keyboard.press("Enter")
    page.locator(".wb-chosen").wait_for()
    assert "readings 0:[0, 3)" in page.locator(".wb-chosen").inner_text()
    assert notebook.ask("monitor.selection.frame()['n'].to_list()") == [5, 95, 7]
    assert_accessible(page)


def test_a_player_drives_everything_to_one_position(open_notebook: Open) -> None:
    notebook = open_notebook(BANK, TIME_MACHINE, "movements", "state", "trail")
    page = notebook.page
    notebook.run()
    page.wait_for_function("document.querySelectorAll('.wb-view[data-seq]').length >= 4")
    page.get_by_role("button", name="Pause", exact=True).first.click()
    page.get_by_role("button", name="Play", exact=True).first.wait_for()
    page.get_by_label("Key", exact=True).fill("A-1042")
    page.keyboard.press("Enter")
    slider = page.get_by_role("slider", name="Position").first
    # An arrow key moves the position, and no cell of the notebook.
    cells = page.locator(".jp-CodeCell").count()
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_function(
        "document.querySelector('input[type=range]').getAttribute('aria-valuetext')"
        ".startsWith('2026-11-04 23:59')"
    )
    page.keyboard.press("b")
    assert page.locator(".jp-CodeCell").count() == cells
    assert notebook.ask("player.finished")
    assert notebook.ask(
        "movements.frame().equals(day.monitor(window='1h', n=pl.len()).frame())"
        " and state.state.frame.equals(balances.at(day.source.end).frame)"
        " and trail.frame().height == trail.trail.frame().height"
    )
    pictures = page.locator(".wb-view canvas")
    pictures.nth(1).wait_for()
    assert_accessible(page)
    drawn = [pictures.nth(n).evaluate(DRAWN) for n in range(2)]
    assert min(drawn) > 0
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelectorAll('.wb-future').length > 40")
    assert notebook.ask("player.played") == 0
    # Nothing is drawn of what has been unplayed; the trail keeps its legend.
    page.wait_for_function(
        f"([, dots]) => {{ const [a, b] = [...document.querySelectorAll('.wb-view canvas')]"
        f".map({DRAWN}); return a === 0 && b < dots / 2; }}",
        arg=drawn,
    )


def test_tables_trails_and_logs_answer(open_notebook: Open) -> None:
    notebook = open_notebook(BANK, "log", "balances", "day.trail('A-1042', by='account')")
    page = notebook.page
    notebook.run()
    page.wait_for_function("document.querySelectorAll('.wb-view[data-seq]').length >= 3")
    topics, table, trail = (page.locator(".wb-view").nth(n) for n in range(3))

    topics.locator("tbody tr", has_text="accounts").click()
    topics.locator(".wb-why strong", has_text="accounts").wait_for()

    table.get_by_role("button", name="balance").click()
    table.locator("th[aria-sort=ascending]").wait_for()
    condition = table.get_by_label("Condition in SQL")
    condition.fill("balance < -500")
    condition.press("Enter")
    table.locator(".wb-facts", has_text="11 of 312 rows").wait_for()
    condition.fill("nothing > 1")
    condition.press("Enter")
    table.locator(".wb-banner", has_text="cannot be computed").wait_for()
    table.locator("tbody tr[tabindex]").first.click()
    table.locator(".wb-why strong", has_text="129 events made the row of account A-1063").wait_for()

    trail.locator("tbody tr[tabindex]").nth(3).click()
    trail.get_by_role("button", name="Raw value").click()
    trail.locator(".wb-raw", has_text='"id":"TX-00003604"').wait_for()
    assert "217 bytes, whole" in trail.inner_text()
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.theme(theme)
        page.wait_for_function(f"document.body.dataset.jpThemeName === '{theme}'")
        assert_accessible(page)
    assert trail.locator("canvas").count() == 1


EMPTY = """
import altair as alt
none = wb.connect(tempfile.mkdtemp() + "/log", create=True)
mine = wb.connect(tempfile.mkdtemp() + "/log", create=True)
mine.create("none", schema={"who": str, "n": int})
nothing = mine.stream("none")
line = alt.Chart(alt.NamedData("rows")).mark_line().encode(x="n:Q", y="n:Q")
who, topic = "key-" + "abcdefghij" * 30, "topic-" + "x" * 120
mine.create(topic, schema={"who": str, "n": int})
mine.append(topic, [{"who": f"{n % 7}-{who}", "n": n * 10**12} for n in range(70)], key="who")
long = mine.stream(topic).all()
mine.create("far", schema={"who": str, "n": int, "at": int})
stamps = enumerate([1_762_128_000_000_000, -10**15, 5])
mine.append("far", [{"who": "a", "n": n, "at": at} for n, at in stamps], timestamp="at")
far = mine.stream("far").all()
alerts = {"an alert with a rather long name, which goes on": pl.col("n") > 3}
"""
LONG = [
    "long.monitor(window='1s', by='who', n=pl.len(), most=pl.col('n').max(), alerts=alerts)",
    "long.trail('3-' + who, by='who')",
    "mine",
    "far.monitor(window='1h', n=pl.len(), alerts={'any': pl.col('n') > 0})",
    "far.play()",
    "far.trail('a', by='who')",
]


def test_what_is_empty_says_so_and_what_is_long_has_room(open_notebook: Open) -> None:
    notebook = open_notebook(
        BANK + "import tempfile\n" + EMPTY,
        "none",
        "nothing.monitor(window='1m', n=pl.len())",
        "nothing.table(by='who', n=pl.len())",
        "nothing.all().play()",
        "nothing.all().trail('x', by='who')",
        "wb.live(line, nothing)",
        *LONG,
    )
    page = notebook.page
    page.set_viewport_size({"width": 1280, "height": 6000})
    notebook.run()
    page.wait_for_function("document.querySelectorAll('.wb-view[data-seq]').length >= 12")
    views = page.locator(".wb-view")
    assert page.locator(".wb-view[data-condition=error]").all_inner_texts() == []
    for number, words in enumerate(
        [
            "no topics yet",
            "No events yet.",
            "no rows yet",
            "nothing to play",
            "no events",
            "no rows",
        ]
    ):
        views.nth(number).get_by_text(words, exact=False).first.wait_for()
    assert views.nth(3).get_by_role("button", name="Play").is_disabled()
    # Nothing is wider than the view, also after the page has become narrow.
    for width in (1280, 760):
        page.set_viewport_size({"width": width, "height": 6000})
        for number in (6, 7):
            page.wait_for_function(
                """number => {
                  const plot = [...document.querySelectorAll('.wb-view')][number]
                    .querySelector('.wb-plot');
                  const { width } = plot.querySelector('canvas').getBoundingClientRect();
                  return width > 0.6 * plot.clientWidth && width <= plot.clientWidth;
                }""",
                arg=number,
            )
