"""What views tell a page: which groups are drawn, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench.monitor import Monitor
from workbench.widgets.charts.monitor import MOST_GROUPS
from workbench.widgets.monitor import MonitorView
from workbench.widgets.table import TableView
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


def test_of_alerts_on_one_point_the_gravest_is_seen(log: wb.Log) -> None:
    log.create("named", schema={"n": int})
    log.append("named", {"n": 1})
    alerts = {name: (pl.col("n") > 0, name) for name in ("critical", "info", "warning")}
    view = MonitorView(log.stream("named").all().monitor(window="1h", n=pl.len(), alerts=alerts))
    marks = view.picture()["marks"]["alerts0"]
    view.close()
    assert [mark["alert"].partition(" ")[0] for mark in marks] == ["info", "warning", "critical"]


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


def test_a_state_is_clicked_for_the_events_behind_a_row(
    log: wb.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.create("named", schema={"kind": str, "n": int})
    log.append("named", [{"kind": "b", "n": 1}, {"kind": "b", "n": 2}])
    state = log.stream("named").table(by="kind", n=pl.col("n").sum()).now()
    shown: list[Any] = []
    monkeypatch.setattr("workbench.widgets.frontend.watched", lambda: True)
    monkeypatch.setattr("workbench.widgets.bundles.beside", lambda view, draw: shown.append(view))
    state._repr_mimebundle_()
    (view,) = shown
    told: list[Any] = []
    view.post = lambda kind, content, buffers=None: told.append(content)
    seen = view.picture()
    assert seen["explains"]
    view.act("explain", {"row": seen["numbers"][0], "moment": seen["moment"]})
    assert [line[-1] for line in told[-1]["why"]["rows"]] == ["1", "3"]
    view.close()


def test_what_is_clicked_is_what_was_shown(log: wb.Log) -> None:
    """Rows and alerts that come between a page and its click take nobody's place."""
    log.create("named", schema={"kind": str, "n": int})
    log.append("named", {"kind": "b", "n": 1})
    named = log.stream("named")
    table = named.table(by="kind", n=pl.col("n").sum())
    view = TableView(table.now, moment=table.end, explain=table.explain)
    told: list[Any] = []
    view.post = lambda kind, content, buffers=None: told.append(content)  # type: ignore[method-assign]
    seen = view.picture()
    clicked = {"row": seen["numbers"][0], "moment": seen["moment"]}
    log.append("named", {"kind": "a", "n": 2})
    news = view.news()
    assert news is not None
    assert [row[0] for row in news["rows"]] == ["a", "b"]
    view.act("explain", clicked)
    assert told[-1]["why"]["key"] == "kind b"
    log.append("named", {"kind": "0", "n": 2})
    view._due_s = 0
    assert view.news() is not None
    with pytest.raises(wb.WorkbenchError, match="changed meanwhile"):
        view.act("explain", clicked)
    view.close()

    room = named.all().monitor(window="1h", by="kind", n=pl.len(), alerts={"any": pl.col("n") > 0})
    rooms = MonitorView(room)
    shown = {alert["group"]: alert["id"] for alert in rooms.picture()["alerts"]}
    assert set(shown) == {"a", "b", "0"}
    for group, clicked_id in shown.items():
        rooms.act("alert", {"id": clicked_id})
        assert isinstance(room.selection, wb.Slice)
        assert room.selection.frame()["kind"].to_list() == [group]
    with pytest.raises(wb.WorkbenchError, match="not listed any more"):
        rooms.act("alert", {"id": "none"})
    rooms.close()
