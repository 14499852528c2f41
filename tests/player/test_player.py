"""Players: one sequence, however it is played, and everything driven is as of its position."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import DefinitionError, InvalidRange
from workbench.player import Player
from workbench.player import sequence as sequences
from workbench.source.merged import merged

START = datetime(2026, 11, 3, tzinfo=UTC)
WHERE = ["topic", "partition", "offset"]


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three partitions; times that stand still, step back, and leap."""
    with wb.connect(tmp_path_factory.mktemp("player") / "log", create=True) as made:
        made.create(
            "bank",
            partitions=3,
            schema={"account": str, "amount": int, "at": pl.Datetime("ms", "UTC")},
        )
        rows = [
            {
                "account": f"A-{n % 7}",
                "amount": n,
                "at": START + timedelta(seconds=n // 3 * 3 - (40 if n % 17 == 0 else 0)),
            }
            for n in range(600)
        ]
        made.append("bank", rows, key="account", timestamp="at")
        made.append("bank", {"account": "A-1", "amount": 1, "at": START + timedelta(hours=3)})
        yield made


@pytest.fixture
def day(log: wb.Log) -> wb.Slice:
    return log.stream("bank").all()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred records are many blocks."""
    monkeypatch.setattr("workbench.player.sequence.BLOCK", 50)
    monkeypatch.setattr("workbench.player.player.BLOCK", 50)


def in_display_order(day: wb.Slice) -> pl.DataFrame:
    return pl.concat(merged(day.source)).select(WHERE)


def test_the_sequence_is_that_of_a_merged_read(day: wb.Slice) -> None:
    player = day.play()
    frames = [player.step("batch") for _ in range(1000) if not player.finished]
    assert pl.concat(frames).select(WHERE).equals(in_display_order(day))
    assert player.step().is_empty()


@pytest.mark.parametrize("speed", [0.1, 1, 60, 1000, None])
def test_every_speed_plays_the_same(day: wb.Slice, speed: float | None) -> None:
    clock = Clock()
    player = Player(day.source, speed=speed, clock=clock)
    monitor = player.monitor(window="10s", by="account", total=pl.col("amount").sum())
    player._since_s = clock()  # as `play` does, without its thread
    frames = []
    while not player.finished:
        clock.now += 37.0
        frames.append(player.advance())
    assert pl.concat(frames).select(WHERE).equals(in_display_order(day))
    whole = day.monitor(window="10s", by="account", total=pl.col("amount").sum())
    assert monitor.frame().equals(whole.frame())


def test_the_clock_decides_what_is_due(day: wb.Slice) -> None:
    clock = Clock()
    player = Player(day.source, speed=10, clock=clock)
    player._since_s = clock()
    span = player.span
    assert span is not None
    clock.now += 3
    player.advance()
    assert player.played == player._sequence.number(span[0] + timedelta(seconds=30, milliseconds=1))
    player.speed = 1
    before = player.played
    player.advance()
    assert player.played == before
    clock.now += 2.999
    player.advance()
    at = player.time
    assert at is not None
    assert at <= span[0] + timedelta(seconds=33)


def test_it_plays_by_itself_until_the_end(day: wb.Slice) -> None:
    player = day.play(speed=None).play()
    thread = player._thread
    assert thread is not None
    thread.join(60)
    assert player.finished
    assert not player.playing
    assert player.error is None
    player.play()
    assert player.played < player.total or player.finished
    player.pause()
    assert not player.playing


def test_pausing_is_where_it_stays(day: wb.Slice) -> None:
    clock = Clock()
    player = Player(day.source, speed=60, clock=clock).play()
    player.pause()
    at = player.played
    clock.now += 1000
    assert player.advance().is_empty()
    assert player.played == at
    assert player._thread is None


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("seek"), st.integers(-5, 700)),
        st.tuples(st.just("time"), st.integers(-60, 11_000)),
        st.tuples(st.just("offset"), st.integers(0, 2), st.integers(0, 300)),
        st.tuples(st.just("step"), st.sampled_from(["event", "batch"])),
        st.tuples(st.just("key"), st.integers(0, 8)),
    ),
    max_size=8,
)


@given(moves=MOVES)
def test_what_it_drives_is_as_of_its_position(log: wb.Log, moves: list[tuple[Any, ...]]) -> None:
    tx = log.stream("bank")
    day = tx.all()
    order = in_display_order(day)
    player = day.play()
    metrics: dict[str, Any] = {"total": pl.col("amount").sum()}
    monitor = player.monitor(window="1m", **metrics)
    table = player.table(tx.table(by="account", total=pl.col("amount").sum()))
    trail = player.trail("A-3", by="account")
    for kind, *given_ in moves:
        if kind == "seek":
            player.seek(given_[0])
        elif kind == "time":
            player.seek(START + timedelta(seconds=given_[0]))
        elif kind == "offset":
            player.seek({given_[0]: given_[1]})
        elif kind == "key":
            player.step(key=f"A-{given_[0]}")
        else:
            player.step(given_[0])
    played = order.head(player.played)
    everything = day.frame()
    seen = everything.join(played, on=WHERE, how="semi")
    counts = {row[1]: row[2] for row in seen.group_by("topic", "partition").len().iter_rows()}
    firsts = {tp[1]: offset for tp, offset in day.source.start.items()}
    assert {tp[1]: o for tp, o in player.position.items()} == {
        p: first + counts.get(p, 0) for p, first in firsts.items()
    }
    assert monitor.frame(open=True)["total"].sum() == seen["amount"].sum()
    expected = seen.group_by("account").agg(total=pl.col("amount").sum()).sort("account")
    assert table.state.frame.rows() == expected.rows()
    assert set(trail.frame()["offset"]) == set(seen.filter(account="A-3")["offset"])


def test_a_step_to_a_key_stops_after_it(day: wb.Slice) -> None:
    player = day.play()
    for _ in range(3):
        played = player.step(key="A-5")
        assert played["account"][-1] == "A-5"
        assert (played["account"] == "A-5").sum() == 1
    before = player.played
    assert player.step(key="nobody").is_empty()
    assert player.played == before


def test_going_back_is_as_never_having_gone(day: wb.Slice) -> None:
    player = day.play()
    monitor = player.monitor(window="1m", total=pl.col("amount").sum())
    player.seek(200)
    then = monitor.frame(open=True)
    player.run()
    assert player.finished
    player.seek(200)
    assert monitor.frame(open=True).equals(then)


def test_an_empty_slice_is_at_its_end(log: wb.Log) -> None:
    player = log.stream("bank").between("2027-01-01", "2027-01-02").play()
    monitor = player.monitor(window="1m")
    assert player.finished
    assert player.play().pause().step().is_empty()
    assert monitor.frame().is_empty()
    assert "0 of 0 records" in repr(player)


def test_density_counts_every_record(day: wb.Slice) -> None:
    player = day.play()
    assert sum(player.density(10)) == player.total
    assert len(player.density(10)) == 10


def test_what_cannot_be_played_is_told(day: wb.Slice) -> None:
    for speed in (0, -1, 0.01, 5000):
        with pytest.raises(DefinitionError, match=r"between 0.1 and 1000"):
            day.play(speed=speed)
    player = day.play()
    with pytest.raises(DefinitionError, match="event and batch"):
        player.step("page")  # type: ignore[arg-type]
    with pytest.raises(InvalidRange, match="no partition 9"):
        player.seek({9: 1})
    with pytest.raises(InvalidRange, match="not a time"):
        player.seek("tomorrow")


def test_only_some_blocks_are_kept(day: wb.Slice) -> None:
    player = day.play().run()
    player.monitor(window="1m")
    assert len(player._sequence._blocks) <= sequences.KEPT_BLOCKS


def test_filters_hold(log: wb.Log, tmp_path: Path) -> None:
    player = log.stream("bank").all().key("A-2").play().run()
    assert player.total == 86
    assert set(player.seek(0).step("batch")["account"]) == {"A-2"}


def test_pace_is_events_a_second_in_equal_shares_of_the_records(day: wb.Slice) -> None:
    player = day.play()
    pace = player.pace(10)
    # The last record comes hours after all others; before, one a second.
    assert len(pace) == 10
    assert pace[0] == pytest.approx(1, rel=0.5)
    assert pace[-1] < 0.01
    assert len(player.pace(10_000)) == player.total


def test_a_slice_without_records_has_no_pace(log: wb.Log) -> None:
    log.create("none")
    player = log.stream("none").all().play()
    assert player.pace() == []
    assert sum(player.density()) == 0


def test_times_are_those_of_the_connections_zone(tmp_path: Path) -> None:
    with wb.connect(tmp_path / "log", create=True, tz="Europe/Berlin") as log:
        tx = log.create("t", schema={"at": str})
        log.append("t", [{"at": f"2026-11-03T{hour}:00"} for hour in range(10, 16)], timestamp="at")
        cut = tx.between("earliest", "2026-11-03T12:00").frame().height
        player = tx.all().play()
        assert player.seek("2026-11-03T12:00").played == cut == 2
        assert player.seek("2026-11-03T12:00Z").played == 3
