"""What a page, a cell and the threads of views do at one moment."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import workbench as wb
from tests.widgets.test_live import LINE, Counter, until
from workbench.widgets import still
from workbench.widgets.live import _LiveView
from workbench.widgets.shown import close_view, view_of
from workbench.widgets.still import Still

ROUNDS = 100


@pytest.fixture(autouse=True)
def quick_turns() -> Iterator[None]:
    """Threads take turns often, and so meet often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(*calls: Callable[[], Any]) -> None:
    """Call in a thread each, at one moment; what they raise is raised."""
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> None:
        ready.wait()
        call()

    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(one, calls))


def test_a_close_waits_for_an_end_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stopped what the next view of the same chart had just started."""
    monkeypatch.setattr("workbench.widgets.view.GRACE_S", 0.0)
    monkeypatch.setattr(
        "workbench.widgets.view._cells", lambda: type("Idle", (), {"idle_s": lambda _: 1e9})()
    )
    ending, told, over = threading.Event(), threading.Event(), threading.Event()

    class Slow(Counter):
        def end(self) -> None:
            ending.set()
            told.wait()
            over.set()

        def post(self, kind: str, content: Any, buffers: Any = None) -> None:
            if kind == "over":
                threading.Timer(0.2, told.set).start()

    view = Slow()
    view.say(kind="bye", page="a")
    assert ending.wait(60)
    assert view.running
    view.close()
    assert over.is_set()
    assert not view.running


def test_a_view_is_closed_once_however_many_close_it() -> None:
    view = Counter()
    view.say(kind="hello", page="a")
    until(lambda: view.n > 1)

    def draw() -> dict[str, str]:
        closer = threading.Thread(target=view.close)
        closer.start()
        closer.join()
        return {"text/plain": "", "text/html": ""}

    view.still = Still(draw)
    view.still.outdate()
    view.close()
    assert len(view.told("over")) == 1


def test_an_object_has_one_view_however_many_show_it() -> None:
    shown = object()
    meet = threading.Barrier(2)

    def kind(_: Any) -> Counter:
        with pytest.raises(threading.BrokenBarrierError):
            meet.wait(0.3)
        return Counter()

    found: list[Any] = []
    at_once(*[lambda: found.append(view_of(shown, kind))] * 2)
    close_view(shown)
    assert found[0] is found[1]


def test_the_picture_that_was_looked_at_first_is_not_shown_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(still, "FIRST_S", 0.0)
    shown: list[str] = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **_: shown.append(data["text/plain"])
    )
    now = ["before"]
    looked, go_on = threading.Event(), threading.Event()

    def draw() -> dict[str, str]:
        seen = now[0]
        if seen == "first":
            looked.set()
            go_on.wait()
        return {"text/plain": seen, "text/html": seen}

    picture = Still(draw)
    picture.show()
    now[0] = "first"
    picture.outdate()
    view = threading.Thread(target=picture.refresh)
    view.start()
    assert looked.wait(60)
    now[0] = "last"
    picture.outdate()
    cell = threading.Thread(target=lambda: picture.refresh(at_once=True))
    cell.start()
    cell.join(0.3)
    go_on.set()
    for thread in (view, cell):
        thread.join()
    assert shown == ["before", "first", "last"]


class Lingering(threading.Thread):
    """A thread that has done its work and is not yet gone."""

    def run(self) -> None:
        super().run()
        time.sleep(0.2)


def test_a_chart_that_is_started_reads_on_whatever_was_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "Thread", Lingering)
    numbers = itertools.count()
    chart = wb.live(LINE, lambda: {"n": next(numbers)}, points=10)
    chart.start()
    until(lambda: bool(chart.rows()))
    chart.stop()
    time.sleep(0.1)
    chart.start()
    seen = chart.rows()[-1:]
    until(lambda: chart.rows()[-1:] != seen)
    chart.close()


def test_a_feed_that_raised_is_gone_on_with_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Thread", Lingering)
    broken = [True]

    def feed() -> Any:
        if broken:
            broken.clear()
            raise wb.WorkbenchError("unplugged")
        return {"n": 1}

    chart = wb.live(LINE, feed)
    chart.start()
    until(lambda: chart.error is not None)
    chart.start()
    until(lambda: bool(chart.rows()))
    assert chart.error is None
    chart.close()


def test_each_row_is_told_once_whenever_it_comes() -> None:
    chart = wb.live(LINE, [], points=10**6)
    view = _LiveView(chart)
    over = threading.Event()

    def add() -> None:
        for n in itertools.count():
            if over.is_set():
                return
            chart.add({"n": n})

    adding = threading.Thread(target=add)
    adding.start()
    try:
        for _ in range(ROUNDS):
            told = list(view.picture()["rows"])
            news = view.news()
            told += news["rows"] if news else []
            assert [row["n"] for row in told] == list(range(len(told)))
    finally:
        over.set()
        adding.join()
        view.close()
    view.news()
    chart.add({"n": -1})
    assert view.news() is None  # It is kept for no one.


def test_a_row_is_told_when_it_comes_and_not_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.widgets.view.PERIOD_S", 3600.0)
    chart = wb.live(LINE, [])
    view = _LiveView(chart)
    told: list[str] = []
    view.post = lambda kind, content, buffers=None: told.append(kind)  # type: ignore[method-assign]
    view._hear(None, {"kind": "hello", "page": "a"}, [])
    until(lambda: "picture" in told)
    chart.add({"n": 1})
    until(lambda: "news" in told)
    view.close()


def test_a_player_that_came_to_the_end_plays_again_at_that_moment(
    log: wb.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "Thread", Lingering)
    log.create("few", schema={"n": int})
    log.append("few", [{"n": n} for n in range(3)])
    player = log.stream("few").all().play(speed=None)
    for _ in range(2):
        player.play()
        until(lambda: not player.playing)
        assert player.finished
    player.pause()


def test_a_monitor_that_is_started_while_it_stops_runs(
    log: wb.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()

    class Told(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            if self.name == "workbench-monitor":
                stopping.set()
            super().join(timeout)

    monkeypatch.setattr(threading, "Thread", Told)
    log.create("readings", schema={"n": int})
    monitor = log.stream("readings").monitor(window="1s")
    monitor.start()
    stopper = threading.Thread(target=monitor.stop)
    stopper.start()
    assert stopping.wait(60)
    monitor.start()
    stopper.join()
    until(lambda: monitor.status().running)
    at_once(monitor.stop, monitor.stop)
    assert not monitor.status().running
