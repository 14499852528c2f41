"""A producer that counts in microseconds stamps the year 57809: nothing stops there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import msgspec
import polars as pl
import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.app import app
from workbench.records import TIMESTAMP
from workbench.source.display import html_table
from workbench.widgets.live import _LiveView
from workbench.widgets.monitor import MonitorView
from workbench.widgets.player import PlayerView
from workbench.widgets.table import TableView
from workbench.widgets.topics import TopicsView
from workbench.widgets.trail import TrailView
from workbench.widgets.view import View

MS = 1_762_128_000_000
FAR, LAST = "+57809-08-13", "9999-12-31"


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[wb.Stream]:
    with wb.connect(tmp_path / "log", create=True) as log:
        rows = {
            "value": [b'{"v":1}', b'{"v":2}', b'{"v":3}'],
            "key": [b"a"] * 3,
            "timestamp": pl.Series([MS, MS * 1000, MS + 1]).cast(TIMESTAMP),
        }
        stream = log.create("t", schema={"v": int})
        log.append("t", pl.DataFrame(rows), encode="bytes")
        yield stream


def test_a_monitor_goes_on(stream: wb.Stream) -> None:
    day = stream.all()
    monitor = day.monitor(window="1h", n=pl.len(), alerts={"any": pl.col("n") > 0})
    assert monitor.frame()["n"].to_list() == [2, 1]
    status = monitor.status()
    assert (status.events, status.late) == (3, 1)
    assert str(status.watermark).startswith(LAST)
    assert str(monitor.newest).startswith(LAST)
    raised = monitor.alerts()
    behind = [wb.open_slice(address).frame()["v"].to_list() for address in raised["address"]]
    assert behind == [[1, 3], [2]]
    assert FAR in html_table(raised.drop("address"), caption="")


def test_a_trail_tells_of_it(stream: wb.Stream, tmp_path: Path) -> None:
    trail = stream.all().trail("a")
    assert trail.frame()["v"].to_list() == [1, 3, 2]
    assert FAR in repr(trail)
    trail.to_html(tmp_path / "trail.html")
    assert FAR in (tmp_path / "trail.html").read_text(encoding="utf-8")


def test_a_player_plays_it(stream: wb.Stream) -> None:
    player = stream.all().play().run()
    assert (player.played, str(player.time)[:10]) == (3, LAST)


def test_topics_and_ranges_hold(stream: wb.Stream, tmp_path: Path) -> None:
    log = wb.connect(tmp_path / "log")
    assert str(log.topics(details=True)["last"][0]).startswith(LAST)
    stream.all().record(tmp_path / "copy")
    with wb.connect(tmp_path / "copy") as copy:
        held = copy.stream("t")
        assert held.between("2025-01-01", "now").frame().height == 3
        assert held.between("2025-01-01", "2026-01-01").completeness().matches == 2
        assert "31 Dec 22:59:59.999 .. end UTC" in repr(held.between("-1h", "now"))
    log.close()


@pytest.mark.parametrize("command", ["tail", "find"])
def test_the_shell_shows_it(stream: wb.Stream, tmp_path: Path, command: str) -> None:
    place = f"{tmp_path / 'log'}#t"
    words = ["tail", place] if command == "tail" else ["find", "a", place]
    shown = CliRunner().invoke(app, words)
    assert (shown.exit_code, FAR in shown.output) == (0, True)
    lines = CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert any(row["timestamp"].startswith(FAR) for row in rows)


@pytest.mark.parametrize(
    "stamps", [(5, MS * 1000), (MS * 1000, MS), (5, MS * 10**6), (-5, -(10**15)), (MS, -MS * 10**6)]
)
def test_views_show_it(tmp_path: Path, stamps: tuple[int, int]) -> None:
    """In a live view and in its picture: micro- and nanoseconds, and times before the year 1."""
    with wb.connect(tmp_path / "log", create=True) as log:
        stream = log.create("t", schema={"who": str, "n": int, "at": int})
        rows = [{"who": "a", "n": n, "at": at} for n, at in enumerate(stamps)]
        log.append("t", rows, timestamp="at", key="who")
        day = stream.all()
        chart = wb.live(alt.Chart(alt.NamedData("r")).mark_line().encode(x="timestamp:T"), stream)
        chart.add(day.frame())
        shown: dict[View, Any] = {
            MonitorView(monitor := day.monitor(window="1h", n=pl.len())): monitor,
            PlayerView(player := day.play()): player,
            TableView(stream.table(by="key").now): None,
            TrailView(trail := day.trail("a", by="who")): trail,
            TopicsView(log): None,
            _LiveView(chart): chart,
        }
        for view, still in shown.items():
            msgspec.json.encode(view.picture())
            if isinstance(view, TopicsView):
                view.act("peek", {"topic": "t"})
            if still is not None:
                assert "<table>" in still._repr_mimebundle_()["text/html"]
            view.close()
