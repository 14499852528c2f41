"""Copies, recordings, and what retention has taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from workbench.errors import (
    AppendRejected,
    InvalidRange,
    LogExists,
    OffsetOutOfRange,
    ReadOnly,
    UnknownTopic,
)
from workbench.positions import Position
from workbench.sink import record as recording_module
from workbench.source.progress import progress

from .conftest import Kind
from .support import Event, append, columns, minute, places

#: Nothing of a record is left out: bytes that do not decode, null key and value, repeated headers.
EVENTS = [
    Event(0, 1, b"a", b'{"n": 1}', [("h", b"1"), ("h", None)]),
    Event(1, 0, None, b'{"n": 2}'),
    Event(1, 5, b"", None, [("", b"")]),
    Event(0, -7, b"\xff", b"{"),
    Event(2, 2, b"b", b""),
]


@pytest.fixture
def filled(any_log: wb.Log) -> wb.Log:
    any_log.create("events", partitions=3, schema={"n": int})
    append(any_log, "events", EVENTS)
    return any_log


def raw(log: wb.Log, topic: str = "events") -> pl.DataFrame:
    stream = log.stream(topic, decode="bytes", decode_key="bytes")
    # Whose leader wrote a record, and who recorded it when, is the log's own affair.
    own = ("leader_epoch", "recorded_at")
    return columns(stream.all().frame(raw=True)).drop(own, strict=False)


def test_a_copy_keeps_everything_but_the_log(filled: wb.Log, other_log: wb.Log) -> None:
    done = filled.stream("events").all().copy_to(other_log)
    assert done.records == len(EVENTS)
    assert raw(other_log).equals(raw(filled))
    assert other_log.id != filled.id
    assert other_log.stream("events").schema == filled.stream("events").schema


def test_a_copy_of_a_part_has_its_own_offsets(filled: wb.Log, other_log: wb.Log) -> None:
    filled.stream("events").between({0: 1, 1: 1}, {0: 2, 1: 2}).copy_to(other_log)
    assert places(raw(other_log)) == [("events", 0, 0), ("events", 1, 0)]
    filled.stream("events").all().key(b"b").copy_to(other_log)
    assert places(raw(other_log)) == [("events", 0, 0), ("events", 1, 0), ("events", 2, 0)]


def test_a_paced_copy_is_the_same(filled: wb.Log, other_log: wb.Log) -> None:
    filled.stream("events").all().copy_to(other_log, speed=1e9)
    assert raw(other_log).equals(raw(filled))


def test_a_copy_needs_as_many_partitions(filled: wb.Log, other_log: wb.Log) -> None:
    other_log.create("events", partitions=2)
    with pytest.raises(AppendRejected, match="3 partitions"):
        filled.stream("events").all().copy_to(other_log)
    assert raw(other_log).is_empty()


@pytest.mark.parametrize("speed", [0, -1.0])
def test_a_copy_has_a_speed(filled: wb.Log, other_log: wb.Log, speed: float) -> None:
    with pytest.raises(AppendRejected, match="speed"):
        filled.stream("events").all().copy_to(other_log, speed=speed)


def test_a_recording_is_the_log(filled: wb.Log, tmp_path: Path) -> None:
    done = filled.record(tmp_path / "recording")
    assert done.records == len(EVENTS)
    with wb.connect(tmp_path / "recording") as recording:
        assert raw(recording).equals(raw(filled))
        assert recording.id == filled.id
        assert recording.topics()["id"].to_list() == filled.topics()["id"].to_list()
        assert "recording" in repr(recording)
        # An address of the one opens the same records of the other.
        address = filled.stream("events").all().address
        again = columns(wb.open_slice(address, log=recording).frame(raw=True))
        assert again["recorded_at"].null_count() == 0
        now = columns(filled.stream("events").all().frame(raw=True))
        assert again.drop("recorded_at").equals(now)
        with pytest.raises(ReadOnly, match=r"recording.*work on a copy"):
            recording.append("events", [{"n": 1}])
        with pytest.raises(ReadOnly, match=r"recording.*work on a copy"):
            next(recording.stream("events").follow(group="mine", timeout=0))
        with pytest.raises(ReadOnly, match="recording"):
            recording.create("more")
    with pytest.raises(ReadOnly, match="recording"):
        wb.connect(tmp_path / "recording", write=True)


def test_a_recording_goes_on_where_it_stopped(filled: wb.Log, tmp_path: Path) -> None:
    into = tmp_path / "recording"
    filled.stream("events").between({0: 0, 1: 0, 2: 0}, {0: 1, 1: 0, 2: 1}).record(into)
    assert filled.record(into).records == len(EVENTS) - 2
    assert filled.record(into).records == 0
    append(filled, "events", [Event(1, 9)])
    assert filled.record(into, topics=["events"]).records == 1
    with wb.connect(into) as recording:
        assert raw(recording).equals(raw(filled))


def test_a_continuous_recording(
    filled: wb.Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bar has the lag; and when it is interrupted it says what it has done, all of it."""
    lags: list[int] = []

    class Bar(progress):
        def update(self, count: int) -> None:
            super().update(count)
            lags.append(self.total - self.n)

    def more(streams: object, position: Position) -> None:
        ends.append(dict(position))
        if len(ends) == 2:
            raise KeyboardInterrupt
        append(filled, "events", [Event(1, 9), Event(1, 10)])

    ends: list[dict[tuple[str, int], int]] = []
    monkeypatch.setattr(recording_module, "progress", Bar)
    monkeypatch.setattr(recording_module, "_wait", more)
    done = filled.record(tmp_path / "recording", follow=True)
    assert ends[0] == {("events", 0): 2, ("events", 1): 2, ("events", 2): 1}
    assert ends[1] == {**ends[0], ("events", 1): 4}
    assert (done.records, dict(done.end)) == (len(EVENTS) + 2, ends[1])
    assert dict(done.start) == dict.fromkeys(ends[0], 0)
    assert lags == [3, 1, 0, 0]


def test_a_recording_of_nothing(any_log: wb.Log, tmp_path: Path) -> None:
    for follow in (False, True):
        with pytest.raises(UnknownTopic, match="it has no topics yet"):
            any_log.record(tmp_path / "recording", follow=follow)
    any_log.create("events")
    with pytest.raises(UnknownTopic, match=r"no topic '\[\]' .*it has: events"):
        any_log.stream([])


def test_a_recording_starts_where_its_slice_does(filled: wb.Log, tmp_path: Path) -> None:
    append(filled, "events", [Event(0, 10), Event(0, 11)])
    part = filled.stream("events").between({0: 2}, {0: 4})
    part.record(tmp_path / "recording")
    with wb.connect(tmp_path / "recording") as recording:
        assert places(raw(recording)) == [("events", 0, 2), ("events", 0, 3)]
        with pytest.raises(OffsetOutOfRange):
            recording.stream("events").between({0: 0}, {0: 4}).frame()
        assert wb.open_slice(part.address, log=recording).frame().height == 2


def test_a_recording_has_no_hole(filled: wb.Log, tmp_path: Path) -> None:
    append(filled, "events", [Event(0, n) for n in range(10, 16)])
    stream, into = filled.stream("events"), tmp_path / "recording"
    stream.between({0: 1}, {0: 2}).record(into)
    assert stream.between({0: 5}, {0: 7}).record(into).records == 5
    with wb.connect(into) as recording:
        assert recording.stream("events").all().completeness().complete
        assert recording.partitions("events").row(0)[:3] == (0, 1, 7)
    with pytest.raises(InvalidRange, match="begins at offset 1, the slice at 0"):
        filled.record(into)


def test_what_expired_before_it_was_recorded_is_a_gap(kind: Kind, tmp_path: Path) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    with kind.open(tmp_path / "log") as log:
        stream = log.create("events", retention="1d", schema={"n": int})
        log.append("events", [{"n": n} for n in range(4)], timestamp=lambda row: old)
        stream.between({0: 0}, {0: 2}).record(tmp_path / "recording")
        kind.settle(log)
        log.append("events", [{"n": n} for n in range(4, 6)])
        kind.expire(log)
        log.record(tmp_path / "recording")
    with wb.connect(tmp_path / "recording") as recording:
        whole = recording.stream("events").all()
        assert whole.frame()["n"].to_list() == [0, 1, 4, 5]
        ledger = whole.completeness()
        assert ledger.gap_frame().rows() == [("events", 0, 2, 4, "expired")]
        assert ledger.complete


def test_durations_count_back_from_the_last_record_of_a_recording(
    filled: wb.Log, tmp_path: Path
) -> None:
    filled.record(tmp_path / "recording")
    with wb.connect(tmp_path / "recording") as recording:
        part = recording.stream("events").between("-3m", "now")
        assert part.frame()["timestamp"].to_list() == [minute(5), minute(2)]


def test_a_recording_is_of_one_log(filled: wb.Log, other_log: wb.Log, tmp_path: Path) -> None:
    filled.record(tmp_path / "recording")
    other_log.create("events")
    with pytest.raises(LogExists, match=other_log.id):
        other_log.record(tmp_path / "recording")


def test_what_has_expired_is_not_skipped_in_silence(kind: Kind, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    old = now - timedelta(days=3)
    with kind.open(tmp_path / "log") as log:
        stream = log.create("events", retention="1d", schema={"n": int})
        log.append("events", [{"n": n} for n in range(3)], timestamp=lambda row: old)
        kind.settle(log)
        log.append("events", [{"n": n} for n in range(3, 6)], timestamp=lambda row: now)
        whole, part = stream.all(), stream.between({0: 1}, {0: 4})
        kind.expire(log)
        start = log.partitions("events")["start"].item()
        assert 0 < start <= 3
        for expired in (whole, part):
            for read in (
                expired.frame,
                lambda expired=expired: expired.lazy().collect(),
                lambda expired=expired: list(expired.batches()),
                lambda expired=expired: expired.sql("SELECT count(*) FROM slice"),
            ):
                with pytest.raises(OffsetOutOfRange, match=f"{start}"):
                    read()
        left = stream.all().frame()
        assert left["offset"].to_list() == list(range(start, 6))
        assert left["n"].to_list() == list(range(start, 6))
        assert stream.between(old - timedelta(days=1), now + timedelta(days=1)).frame().height == (
            6 - start
        )
        # A consumer that was away for too long is told, too.
        with pytest.raises(OffsetOutOfRange):
            next(stream.follow(None, start={0: 0}, timeout=0.05))
