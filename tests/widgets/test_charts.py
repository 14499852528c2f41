"""Charts say what they show, load nothing, and take event text as text."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair as alt
import polars as pl
import pytest

import workbench as wb
from workbench.source import display

START = datetime(2026, 11, 3, tzinfo=UTC)
HOSTILE = [
    "<script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "</td></table><svg onload=\"document.title='run'\">",
    "javascript:document.title='run'",
    "{{constructor.constructor('return 1')()}}",
    "]]><script>document.title='run'</script>",
    "&lt;script&gt;",
    "\u202e evil \u0000 \x1b[31m \ufffe",
    "a.b['c'][0]\\",
    "https://example.com/x.png",
    "<link rel=stylesheet href=https://example.com/x.css>",
    "' onmouseover='document.title=1",
]
FIELD = "m[0].x<b>'\""


@pytest.fixture
def hostile(log: wb.Log) -> wb.Slice:
    """A stream in which keys, values, field names and groups are hostile."""
    log.create("evil.topic_1", schema={"who": str, FIELD: float, "at": pl.Datetime("ms", "UTC")})
    rows = [
        {"who": text, FIELD: float(n), "at": START + timedelta(minutes=n * 7)}
        for n, text in enumerate(HOSTILE * 2)
    ]
    log.append("evil.topic_1", rows, key="who", timestamp="at")
    return log.stream("evil.topic_1").all()


def shown(day: wb.Slice) -> Iterator[tuple[Any, dict[str, str]]]:
    value = pl.col(FIELD)
    metrics: dict[str, Any] = {FIELD: value.sum(), "n": pl.len()}
    alarm = {HOSTILE[0]: (pl.col(FIELD) > 3, "critical")}
    for monitor in (
        day.monitor(window="10m", by="who", alerts=alarm, **metrics),
        day.monitor(window="10m", every="5m", alerts=alarm, **metrics),
        day.monitor(window="10m", alerts=alarm, **metrics),
    ):
        yield monitor.chart(), monitor._repr_mimebundle_()
    for trail in (day.trail(HOSTILE[1], by="who"), day.trail(HOSTILE[2])):
        yield trail.chart(), trail._repr_mimebundle_()


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def svg_of(html: str) -> ElementTree.Element:
    data = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert data is not None
    return ElementTree.fromstring(base64.b64decode(data.group(1)))


def test_hostile_text_is_text_in_pictures_and_tables(hostile: wb.Slice) -> None:
    for _, bundle in shown(hostile):
        page = Tags()
        page.feed(bundle["text/html"])
        assert page.tags <= {
            *("div", "strong", "p", "br", "img", "em", "style"),
            *("table", "caption", "thead", "tbody", "tr", "th", "td"),
        }
        assert {name for name, _ in page.attributes} <= {"style", "class", "alt", "src", "scope"}
        assert all(v.startswith("data:") for n, v in page.attributes if n == "src" and v)
        drawn = svg_of(bundle["text/html"])
        for element in drawn.iter():
            assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "image", "a")
            assert not any(name.lower().startswith("on") for name in element.attrib)
            assert not any(name.endswith("href") for name in element.attrib)


@pytest.mark.browser
def test_hostile_text_runs_nothing_and_loads_nothing(
    hostile: wb.Slice, page: Any, tmp_path: Path
) -> None:
    body = "".join(bundle["text/html"] for _, bundle in shown(hostile))
    place = tmp_path / "page.html"
    place.write_text(f"<!doctype html><title>calm</title><meta charset=utf-8>{body}", "utf-8")
    page.goto(place.as_uri())
    sizes = page.eval_on_selector_all("img", "all => all.map(i => i.naturalWidth)")

    assert page.title() == "calm"
    assert len(sizes) == 5
    assert all(width > 400 for width in sizes)
    assert HOSTILE[0] in page.inner_text("body")


@pytest.mark.browser
def test_a_picture_follows_a_dark_jupyterlab_and_stays_white_elsewhere(
    log: wb.Log, page: Any
) -> None:
    log.create("pulse")
    log.append("pulse", [{"n": n} for n in range(3)])
    monitor = log.stream("pulse").all().monitor(window="1s", n=pl.len())
    drawn = monitor._repr_mimebundle_()["text/html"]
    for light, media, turned in [
        ("false", "screen", "invert(0.93) hue-rotate(180deg)"),
        ("false", "print", "none"),
        ("true", "screen", "none"),
        (None, "screen", "none"),
    ]:
        page.set_content(f'<div class="jp-OutputArea-output">{drawn}</div>')
        if light is not None:
            page.evaluate("light => (document.body.dataset.jpThemeLight = light)", light)
        page.emulate_media(media=media, color_scheme="dark")
        assert page.locator("img").evaluate("img => getComputedStyle(img).filter") == turned


def test_what_is_empty_says_so_and_has_no_legend_of_nothing(log: wb.Log) -> None:
    log.create("quiet", schema={"n": int})
    for source in (log.stream("quiet"), log.stream("quiet").all()):
        html = source.monitor(window="1h", n=pl.len())._repr_mimebundle_()["text/html"]
        assert html.count("no events yet") == 1
        assert "<table" not in html
        assert "<img" not in html
    heat = alt.Chart(alt.NamedData("rows")).mark_point().encode(x="n:Q", color="heat:Q")
    chart = wb.live(heat, [])
    for rows, legend in [([], False), ([{"n": 1, "heat": 2}, {"n": 2, "heat": 3}], True)]:
        chart.add(rows)
        texts = list(svg_of(chart._repr_mimebundle_()["text/html"]).itertext())
        assert "NaN" not in texts
        assert ("heat" in texts) == legend


def test_a_chart_carries_its_data_and_shows_itself_as_a_picture(hostile: wb.Slice) -> None:
    for chart, _ in shown(hostile):
        spec = json.loads(chart.to_json())
        assert isinstance(chart, alt.TopLevelMixin)
        assert "url" not in spec.get("data", {})
        bundle = chart._repr_mimebundle_()
        assert bundle["text/plain"] == spec["description"]
        alt_text = re.search(r'<img alt="([^"]*)"', bundle["text/html"])
        assert alt_text is not None
        assert "evil.topic_1" in alt_text.group(1)


def test_the_picture_says_what_is_in_it(log: wb.Log) -> None:
    log.create("bank", schema={"kind": str, "amount": int, "at": pl.Datetime("ms", "UTC")})
    rows = [
        {"kind": f"kind {n % 30}", "amount": n, "at": START + timedelta(minutes=n)}
        for n in range(600)
    ]
    log.append("bank", rows, timestamp="at")
    big = {"big": (pl.col("volume") > 2200, "critical")}
    monitor = (
        log.stream("bank")
        .all()
        .monitor(window="2h", by="kind", volume=pl.col("amount").sum(), n=pl.len(), alerts=big)
    )
    texts = list(svg_of(monitor.chart()._repr_mimebundle_()["text/html"]).itertext())

    for text in (
        "bank: volume, n per 2h, by kind",
        "5 windows, 2026-11-03 00:00:00 .. 2026-11-03 10:00:00 UTC",
        "10 of 30 groups drawn: those with alerts, then those with most events",
        "window start (UTC)",
        "volume",
        "n",
        "big (critical)",
    ):
        assert text in texts
    flagged = monitor.alerts()["kind"].unique().to_list()
    assert 0 < len(flagged) < 10
    assert set(flagged) <= set(texts)


def test_windows_without_a_record_break_the_line(log: wb.Log) -> None:
    log.create("bank", schema={"kind": str, "at": pl.Datetime("ms", "UTC")})
    rows = [{"kind": "a", "at": START + timedelta(minutes=n)} for n in (0, 1, 5, 6)]
    log.append("bank", rows, timestamp="at")
    chart = log.stream("bank").all().monitor(window="1m", by="kind", n=pl.len()).chart()

    data = chart.to_dict()["datasets"]["windows"]
    assert [point.get("m0") for point in data] == [1, 1, None, 1, 1]


def test_of_many_windows_only_lone_ones_have_dots(log: wb.Log) -> None:
    log.create("bank", schema={"kind": str, "at": pl.Datetime("ms", "UTC")})
    rows = [{"kind": "a", "at": START + timedelta(minutes=n)} for n in (*range(500), 502, 504, 505)]
    log.append("bank", rows, timestamp="at")
    chart = log.stream("bank").all().monitor(window="1m", by="kind", n=pl.len()).chart()

    assert [point["start"] for point in chart.to_dict()["datasets"]["lone"]] == [
        int((START + timedelta(minutes=502)).timestamp() * 1000)
    ]
    drawn = svg_of(chart._repr_mimebundle_()["text/html"])
    dots = [part for part in drawn.iter() if "mark-symbol role-mark" in part.get("class", "")]
    marked = [dot for part in dots for dot in part]
    assert len(marked) == 1, marked


def test_metrics_that_are_no_numbers_are_told_and_events_are_drawn(log: wb.Log) -> None:
    log.create("bank", schema={"kind": str})
    log.append("bank", [{"kind": "a"}, {"kind": "b"}])
    monitor = log.stream("bank").all().monitor(window="1d", last=pl.col("kind").last())
    texts = list(svg_of(monitor._repr_mimebundle_()["text/html"]).itertext())

    assert "events" in texts
    assert "b" in monitor._repr_mimebundle_()["text/html"]


def test_without_views_a_result_is_text_and_tables(
    hostile: wb.Slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "_renderers", {})
    for made in (
        hostile.monitor(window="10m", n=pl.len()),
        hostile.trail(HOSTILE[0], by="who"),
    ):
        bundle = made._repr_mimebundle_()
        assert "<table>" in bundle["text/html"]
        assert "<img" not in bundle["text/html"]
        assert "<script" not in bundle["text/html"]
        with pytest.raises(wb.WorkbenchError, match="import workbench"):
            made.chart()


def test_what_a_table_cuts_off_is_said_in_place() -> None:
    frame = pl.DataFrame({"text": ["x" * 1000, None, ""], "n": [2**60, 1, 2]})
    html = display.html_table(frame, caption="Long", rows=2)

    assert "the first 2 of 3 rows" in html
    assert "no rows" not in html
    assert '<td colspan="2"><em>no rows</em></td>' in display.html_table(frame.clear(), caption="")
    assert "… (1,000 characters)" in html
    assert "<em>null</em>" in html
    assert str(2**60) in html
