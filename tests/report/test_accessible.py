"""Reports for everybody: axe finds nothing, charts have words, and all is there offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bs4
import nbformat
import pytest

import workbench as wb
from tests.report.test_reports import PARAMETERS, notebook
from workbench.report import Recipe, Series, run, since_last

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHART = "alt.Chart(day.frame()).mark_bar().encode(x='sensor:N', y='sum(n):Q', color='sensor:N')"
#: Every colour that a terminal knows, on no ground of its own.
COLOURS = "print(*(f'\\x1b[{n}mcolour {n}\\x1b[0m' for n in [*range(30, 38), *range(90, 98)]))"
WIDE = """
import polars as pl
pl.Config.set_tbl_cols(-1)
pl.DataFrame({f"column_{n}": [f"the words of column {n}"] for n in range(30)})
"""
TEXT = "# Heat\n\nWhat *sensors* [say](#).\n\n| sensor | where |\n|---|---|\n| s1 | hall |"
CELLS = [
    PARAMETERS,
    ("", "import altair as alt, workbench as wb\nday = wb.report_slice(address, None)"),
    ("", "day.frame()"),
    ("", "day.frame().clear()"),
    ("", f"{CHART}.properties(title='Heat by <sensor>')"),
    ("", f"{CHART}.display(actions=False)"),
    ("", "day.completeness()"),
    ("", WIDE),
    ("", COLOURS),
    ("alerts", "print('sensor <b> is hot')"),
    ("findings", "print('two sensors')"),
]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """A report of everything that a report can hold, and one that failed at its end."""
    folder = tmp_path_factory.mktemp("accessible")
    good = notebook(folder / "heat.ipynb", *CELLS, text=TEXT)
    bad = notebook(folder / "bad.ipynb", *CELLS[:4], ("", "day.frame().select('nothing')"))
    made = Series(folder / "out", "hourly")
    with made.lock, wb.connect(folder / "log", create=True) as log:
        log.create("heat", schema={"n": int, "sensor": str})
        log.append("heat", [{"n": 1, "sensor": "s1"}, {"n": 2, "sensor": "s2"}])
        log.append("heat", [{"value": b"{broken"}], encode="bytes")
        since_last(made, Recipe.read(good, None), log.stream("heat"))
        log.append("heat", [{"n": 4, "sensor": "s1"}])
        since_last(made, Recipe.read(bad, None), log.stream("heat"))
        made.write_index()
    return made


@pytest.fixture
def scripted(browser: Browser, page: Page) -> Iterator[Page]:
    """A page in which axe may run: a report's own policy lets no foreign script in."""
    context = browser.new_context(bypass_csp=True)
    yield context.new_page()
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shown", ["report", "failed", "index"])
def test_axe_finds_nothing(series: Series, scripted: Page, shown: str, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    failed, report = series.reports()
    index = report.html.parents[1] / "index.html"
    pages = {"report": report.html, "failed": failed.html, "index": index}
    scripted.emulate_media(color_scheme=scheme)
    scripted.goto(pages[shown].as_uri())
    found = Axe().run(scripted)
    assert found.violations_count == 0, found.generate_report()


def test_a_table_is_told_in_words(series: Series) -> None:
    _, report = series.reports()
    soup = bs4.BeautifulSoup(report.html.read_text(encoding="utf-8"), "html.parser")
    told = [small.get_text() for small in soup.select("main small")]
    assert told == ["3 rows, 8 columns", "0 rows, 8 columns", "1 row, 30 columns"]
    (none,) = soup.select("td[colspan]")
    assert (none.get_text(), none["colspan"]) == ("no rows", "8")
    # Why a record does not decode is longer than what a notebook shows of a text.
    (why,) = (td.get_text() for td in soup.select("td") if "not JSON" in td.get_text())
    assert "…" not in why


@pytest.mark.browser
def test_tables_have_the_room_they_need(series: Series, page: Page) -> None:
    _, report = series.reports()
    page.set_viewport_size({"width": 1100, "height": 900})
    page.goto(report.html.as_uri())
    wide = page.locator("table.dataframe").last
    # One line, in a box that scrolls; what Markdown has written begins where the others do.
    assert wide.locator("tbody tr").first.bounding_box()["height"] < 45  # type: ignore[index]
    assert page.evaluate("document.documentElement.scrollWidth") == 1100
    written = page.locator(".jp-RenderedMarkdown table").bounding_box()
    assert written is not None
    assert written["x"] < 60
    # On paper a table begins below what comes before it.
    page.emulate_media(media="print")
    breaks = "all => all.map(one => getComputedStyle(one).breakInside)"
    assert set(page.locator(".jp-OutputArea-child").evaluate_all(breaks)) == {"auto"}


@pytest.mark.browser
def test_the_index_fits_a_telephone(series: Series, page: Page) -> None:
    _, report = series.reports()
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto((report.html.parents[1] / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("tbody tr").last.bounding_box()["height"] < 250  # type: ignore[index]
    page.get_by_label("Search").fill("two sensors")
    assert page.locator("tbody tr:visible").count() == 1


def test_a_plain_chart_is_a_picture_with_words(series: Series) -> None:
    _, report = series.reports()
    soup = bs4.BeautifulSoup(report.html.read_text(encoding="utf-8"), "html.parser")
    titled, plain = soup.select("main img")
    for image in (titled, plain):
        assert str(image["src"]).startswith("data:image/svg+xml;base64,")
        words = str(image["alt"])
        assert "X-axis titled 'sensor' for a discrete scale with 2 values: s1, s2" in words
        assert "legend titled 'sensor'" in words
    assert str(titled["alt"]).startswith("Title text 'Heat by <sensor>'. X-axis")
    assert "fetches code" not in soup.get_text()
    assert soup.select("script, link, iframe, object, embed, [srcset]") == []
    assert all(str(one["src"]).startswith("data:") for one in soup.select("[src]"))
    assert {str(one["href"]) for one in soup.select("[href]")} == {"#", "heat.ipynb"}
    # The cells are those of the source: nothing was written into the notebook.
    executed = nbformat.read(report.ipynb, as_version=4).cells
    assert [
        cell.source for cell in executed if "injected-parameters" not in cell.metadata.tags
    ] == [
        TEXT,
        *(source for _, source in CELLS),
    ]


def test_a_renderer_that_the_notebook_chooses_wins(tmp_path: Path) -> None:
    source = notebook(
        tmp_path / "chosen.ipynb",
        ("", "import altair as alt\nalt.renderers.enable('html', fullhtml=False)"),
        ("", "alt.Chart({'values': [{'n': 1}]}).mark_point().encode(x='n:Q')"),
    )
    made = run(source, tmp_path / "out")
    text = made.html.read_text(encoding="utf-8")
    assert "unless the notebook enables another renderer" in text
    assert "<img" not in text
    (shown,) = nbformat.read(made.ipynb, as_version=4).cells[2].outputs
    assert "cdn.jsdelivr.net" in shown.data["text/html"]
