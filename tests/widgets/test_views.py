"""What views tell a page: which groups are drawn, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import workbench as wb
from workbench.monitor import Monitor
from workbench.widgets.charts.monitor import MOST_GROUPS
from workbench.widgets.monitor import MonitorView
from workbench.widgets.topics import TopicsView

START = datetime(2026, 11, 3, tzinfo=UTC)


def monitor(log: wb.Log, loud: int) -> Monitor:
    """Thirty accounts of which one is loud, seen late: what comes first is quiet."""
    log.create("bank", schema={"who": str, "at": pl.Datetime("ms", "UTC")})
    seen = [*range(30)] * 3 + [loud] * 20
    rows = [
        {"who": f"A-{who:02}", "at": START + timedelta(seconds=n)} for n, who in enumerate(seen)
    ]
    log.append("bank", rows, timestamp="at")
    alerts = {"burst": (pl.col("n") > 10, "critical")}
    made = log.stream("bank").all().monitor(window="1m", by="who", n=pl.len(), alerts=alerts)
    assert isinstance(made, Monitor)
    return made


@pytest.fixture
def view(log: wb.Log) -> Iterator[MonitorView]:
    made = MonitorView(monitor(log, loud=29))
    yield made
    made.close()


def test_a_group_with_an_alert_is_drawn_in_place_of_a_quiet_one(view: MonitorView) -> None:
    told = view.picture()
    groups = {point["group"] for point in told["windows"]}
    assert len(groups) == MOST_GROUPS
    assert "A-29" in groups
    assert [mark["group"] for mark in told["marks"]["alerts0"]] == ["A-29"]
    assert told["left_out"] == "10 of 30 groups drawn: those with the newest alerts first"
    # A page that is loaded anew is told the same.
    assert view.picture()["left_out"] == told["left_out"]


def test_a_burst_while_one_watches_is_drawn(log: wb.Log) -> None:
    quiet = monitor(log, loud=0)
    player = log.stream("bank").all().play()
    room = player.monitor(
        window="1m",
        by="who",
        n=pl.len(),
        alerts={"third": ((pl.col("n") > 1) & (pl.col("who") == "A-29"), "info")},
    )
    assert quiet.frame().height
    view = MonitorView(room)
    view.picture()
    player.seek(20)
    view._rows_due_s = 0
    first = view.news()
    assert first is not None
    assert "A-29" not in {point["group"] for point in first["windows"]}
    player.run()
    view._rows_due_s = 0
    then = view.news()
    assert then is not None
    assert "A-29" in {point["group"] for point in then["windows"]}
    view.close()


def test_topics_are_told_as_people_read_them(log: wb.Log) -> None:
    log.create("kept", partitions=3, retention="90m")
    log.create("readings", schema={"n": int})
    log.append("readings", [{"n": n} for n in range(1234)])
    view = TopicsView(log)
    told = view.picture()
    names = [column["name"] for column in told["topics"]["columns"]]
    kept, readings = (dict(zip(names, row, strict=True)) for row in told["topics"]["rows"])
    assert (kept["partitions"], kept["kept for"], kept["size"]) == ("3", "1h30m", "0 B")
    assert (readings["offsets"], readings["kept for"]) == ("1,234", "forever")
    assert readings["size"].endswith(" kB")
    assert kept["last (UTC)"] is None
    view.close()
    for _ in log.stream("readings").follow(group="billing", timeout=0.1):
        pass
    left = log._repr_mimebundle_()["text/html"]
    for fact in ("kept for", "1h30m", "forever", "1234", "Consumer groups", "billing"):
        assert fact in left
    log.close()
    assert "has been closed" in log._repr_mimebundle_()["text/html"]


def test_a_metric_may_be_called_events_and_text_is_counted(log: wb.Log) -> None:
    """Nothing that a view adds for itself takes the place of what was asked for."""
    log.create("named", schema={"kind": str})
    log.append("named", [{"kind": "a"}] * 3 + [{"kind": "b"}] * 2)
    named = log.stream("named").all()
    for definition in (
        {"events": pl.len()},
        {},
        {"kinds": pl.col("kind").first()},
    ):
        view = MonitorView(named.monitor(window="1h", **definition))
        try:
            drawn = [point["m0"] for point in view.picture()["windows"]]
            assert drawn == [5], definition
        finally:
            view.close()
