"""Live charts and views without a page: what is held, what is told, and what ends."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import altair as alt
import msgspec
import polars as pl
import pytest

import workbench as wb
from workbench.errors import DefinitionError
from workbench.player import PlayedTrail
from workbench.widgets import assets
from workbench.widgets.live import _LiveView
from workbench.widgets.still import Still
from workbench.widgets.view import LONGEST_S, View, rest_s

LINE = alt.Chart(alt.NamedData("rows")).mark_line().encode(x="n:Q", y="n:Q")


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread, for as long as it takes a slow machine."""
    deadline = time.monotonic() + 180
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Counter(View):
    """Counts; breaks when told to."""

    entry: ClassVar[str] = "live.js"
    latest: ClassVar[frozenset[str]] = frozenset({"set"})

    def __init__(self) -> None:
        self.n = 0
        self.done: list[Any] = []
        self.broken = False
        self.slow = threading.Event()
        self.slow.set()
        self.messages: list[tuple[str, int, Any]] = []
        self.begun = self.over = 0
        super().__init__("Counter")

    def send(self, content: Any, buffers: Any = None) -> None:
        self.messages.append((content["kind"], content["seq"], msgspec.json.decode(buffers[0])))

    def begin(self) -> None:
        self.begun += 1

    def end(self) -> None:
        self.over += 1

    def picture(self) -> Any:
        return {"n": self.n}

    def news(self) -> Any:
        if self.broken:
            raise wb.WorkbenchError("it broke", hint="mend it")
        self.slow.wait()
        self.n += 1
        return {"n": self.n}

    def act(self, command: str, details: Any) -> None:
        if command == "fail":
            raise wb.WorkbenchError("not so")
        self.done.append((command, details["to"]))

    def told(self, kind: str) -> list[Any]:
        return [body for name, _, body in list(self.messages) if name == kind]

    def say(self, **content: Any) -> None:
        self._hear(self, content, [])


@pytest.fixture
def counter() -> Iterator[Counter]:
    made = Counter()
    yield made
    made.close()
    assert not made.running


def test_nothing_runs_before_a_page_speaks(counter: Counter) -> None:
    assert not counter.running
    assert counter.begun == 0


def test_messages_are_counted_and_a_page_gets_the_whole_picture(counter: Counter) -> None:
    counter.say(kind="hello", page="a")
    until(lambda: len(counter.told("news")) > 3)
    counter.say(kind="hello", page="b")
    until(lambda: len(counter.told("picture")) == 2)
    counter.close()
    assert [seq for _, seq, _ in counter.messages] == list(range(1, len(counter.messages) + 1))
    assert counter.messages[0][0] == "picture"
    assert counter.messages[-1][0] == "over"
    assert (counter.begun, counter.over) == (1, 1)


def test_a_pause_holds_the_picture_and_beats_go_on(counter: Counter) -> None:
    counter.say(kind="hello", page="a")
    counter.say(kind="pause")
    until(lambda: bool(counter.told("beat")))
    assert counter.told("state")[-1] == {"paused": True, "error": None}
    at = counter.n
    counter.say(kind="resume")
    until(lambda: counter.n > at)
    assert counter.told("picture")[-1]["state"]["paused"] is False


def test_an_error_is_one_sentence_and_can_be_gone_on_from(counter: Counter) -> None:
    counter.say(kind="hello", page="a")
    counter.broken = True
    until(lambda: counter.error is not None)
    assert counter.told("state")[-1]["error"] == "it broke (mend it)"
    until(lambda: bool(counter.told("beat")))
    counter.broken = False
    at = counter.n
    counter.say(kind="resume")
    until(lambda: counter.n > at)
    assert counter.error is None
    assert (counter.begun, counter.over) == (2, 1)


def test_a_long_read_is_told_while_it_lasts(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.widgets.view.BEAT_S", 0.05)
    monkeypatch.setattr("workbench.widgets.view.BUSY_S", 0.2)
    counter.slow.clear()
    counter.say(kind="hello", page="a")
    until(lambda: {"busy": True} in counter.told("beat"))
    assert not counter.told("news")
    assert counter.told("beat")[0] == {"busy": False}
    counter.slow.set()
    until(lambda: bool(counter.told("news")))
    counter.say(kind="pause")
    until(lambda: counter.told("beat")[-1] == {"busy": False})


def test_what_costs_much_is_looked_at_seldom_but_is_looked_at() -> None:
    assert rest_s(0.001, 0.1, 0.25) == 0.25
    assert rest_s(0.1, 0.1, 0.25) == pytest.approx(1)
    assert rest_s(60, 0.1, 0.25) == LONGEST_S


def test_a_command_that_fails_changes_nothing(counter: Counter) -> None:
    counter.say(kind="do", name="fail")
    until(lambda: bool(counter.told("note")))
    assert counter.told("note") == [{"sentence": "not so"}]
    assert counter.error is None


def test_of_commands_that_came_at_once_the_last_counts(counter: Counter) -> None:
    for to in range(50):
        counter._said.put(("do", {"kind": "do", "name": "set", "to": to}))
    counter._said.put(("do", {"kind": "do", "name": "other", "to": 0}))
    counter.say(kind="do", name="set", to=50)
    until(lambda: ("set", 50) in counter.done)
    assert ("other", 0) in counter.done
    assert len(counter.done) == 2


def test_a_view_that_nobody_looks_at_ends_and_wakes_again(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.widgets.view.GRACE_S", 0.05)
    monkeypatch.setattr(
        "workbench.widgets.view._cells", lambda: type("Idle", (), {"idle_s": lambda _: 1e9})()
    )
    counter.say(kind="hello", page="a")
    until(lambda: counter.n > 2)
    counter.say(kind="bye", page="a")
    until(lambda: not counter.running)
    assert counter.over == 1
    counter.say(kind="hello", page="a")
    until(lambda: counter.begun == 2)


def test_a_page_that_answers_to_the_end_wakes_nothing(counter: Counter) -> None:
    counter.say(kind="hello", page="a")
    until(lambda: counter.n > 2)
    last: list[bool] = []

    def answer() -> dict[str, str]:
        # As a page does from another thread, while the last picture is being drawn.
        counter.say(kind="hello", page="a")
        last.append(counter.running)
        return {"text/plain": "", "text/html": ""}

    counter.still = Still(answer)
    counter.still.outdate()
    counter.close()
    assert last == [False]
    assert not counter.running


def test_modules_come_with_their_digests_and_after_their_imports() -> None:
    for entry in ("live.js", "monitor.js", "player.js", "table.js", "trail.js", "topics.js"):
        listed = [module.name for module in assets.modules(entry)]
        assert listed[-1] == entry
        for module in assets.modules(entry):
            if module.name != assets.VEGA:
                for imported in re.findall(rb'from "\./([\w-]+\.js)"', module.source):
                    assert listed.index(imported.decode()) < listed.index(module.name)


def test_nothing_in_the_modules_writes_html() -> None:
    for path in assets.FOLDER.glob("*.js"):
        text = path.read_text("utf-8")
        for means in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert means not in text, path.name
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http:", "")


def test_a_chart_reads_its_feed_and_keeps_the_newest_rows() -> None:
    frames = [pl.DataFrame({"n": [n, n + 1]}) for n in range(0, 40, 2)]
    chart = wb.live(LINE, frames, points=15)
    chart.start()
    until(lambda: len(chart.rows()) == 15 and chart.rows()[-1]["n"] == 39)
    chart.close()
    assert [row["n"] for row in chart.rows()] == list(range(25, 40))


def test_a_function_is_asked_until_the_end() -> None:
    asked = []

    def feed() -> dict[str, Any]:
        asked.append(None)
        return {"n": len(asked), "at": datetime(2026, 11, 3, tzinfo=UTC)}

    chart = wb.live(LINE, feed)
    chart.start()
    until(lambda: len(chart.rows()) > 2)
    chart.stop()
    thread = chart._thread
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()
    assert chart.rows()[0] == {"n": 1, "at": 1793664000000}


def test_a_stream_gives_its_new_records(log: wb.Log) -> None:
    log.create("readings", schema={"n": int})
    log.append("readings", {"n": 1})
    chart = wb.live(LINE, log.stream("readings"))
    chart.start()
    until(lambda: chart._batches is not None)
    log.append("readings", [{"n": 2}, {"n": 3}])
    until(lambda: len(chart.rows()) >= 2)
    chart.stop()
    assert [row["n"] for row in chart.rows()][-2:] == [2, 3]


def test_a_feed_that_raises_is_told_and_gone_on_with() -> None:
    def feed() -> Iterator[Any]:
        yield {"n": 1}
        raise ValueError("unplugged")

    chart = wb.live(LINE, feed())
    chart.start()
    until(lambda: chart.error is not None)
    assert str(chart.error) == "unplugged"
    assert [row["n"] for row in chart.rows()] == [1]


def test_what_came_before_an_error_is_told() -> None:
    def feed() -> Iterator[Any]:
        yield [{"n": 1}, {"n": 2}]
        raise wb.WorkbenchError("unplugged")

    chart = wb.live(LINE, feed())
    view = _LiveView(chart)
    view.picture()
    chart.start()
    until(lambda: chart.error is not None)
    news = view.news()
    assert news is not None
    assert [row["n"] for row in news["rows"]] == [1, 2]
    with pytest.raises(wb.WorkbenchError, match="unplugged"):
        view.news()
    view.close()


def test_a_chart_over_a_frame_begins_with_its_rows() -> None:
    chart = wb.live(alt.Chart(pl.DataFrame({"n": [1, 2]})).mark_point().encode(x="n"), [])
    assert [row["n"] for row in chart.rows()] == [1, 2]


class Foreign:
    """A frame of some other library."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pl.DataFrame({"n": [1]}).__arrow_c_stream__(requested_schema)


def test_rows_are_frames_of_any_library_or_dicts_and_nothing_else() -> None:
    chart = wb.live(LINE, [])
    chart.add(Foreign())
    chart.add([{"n": 2}, {"n": 3}])
    chart.add({"n": 4})
    assert [row["n"] for row in chart.rows()] == [1, 2, 3, 4]
    for wrong in (7, "text", [7], b"bytes"):
        with pytest.raises(DefinitionError, match="is no row of a chart"):
            chart.add(wrong)


@pytest.mark.parametrize(
    ("chart", "feed", "told"),
    [
        (LINE, 7, "int feeds no chart"),
        ("line", [], "str is no Altair chart"),
        (alt.Chart("rows.csv").mark_bar(), [], "not none"),
        (LINE | alt.Chart(alt.NamedData("b")).mark_bar(), [], "not b, rows"),
    ],
)
def test_what_cannot_be_live_is_told(chart: Any, feed: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        wb.live(chart, feed)


def test_without_a_page_everything_is_a_picture(log: wb.Log) -> None:
    log.create("bank", schema={"who": str, "n": int})
    log.append("bank", [{"who": "a", "n": 1}, {"who": "b", "n": 2}, {"who": "b", "n": 3}])
    bank = log.stream("bank")
    early = bank.all().play().seek(2).trail("b", by="who")._repr_mimebundle_()
    assert early["text/plain"].startswith("1 of 2 events played")
    assert early["text/html"].count(">to come<") == 1
    player = bank.all().play()
    room = player.monitor(window="1d", n=pl.len())
    table = player.table(bank.table(by="who", n=pl.col("n").sum()))
    trail = player.trail("a", by="who")
    chart = wb.live(LINE, [])
    chart.add({"n": 1})
    shown = [room, table, trail, player, chart, log, bank.table(by="who", n=pl.len())]
    for one in shown:
        bundle = one._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/html"}
        assert "<script" not in bundle["text/html"]
    # Where nobody can press play, it has been played.
    assert player.finished
    assert room.frame()["n"].sum() == 3
    assert isinstance(trail, PlayedTrail)
    assert trail.frame().height == 1
    assert not [t for t in threading.enumerate() if t.name.startswith("workbench-view")]
