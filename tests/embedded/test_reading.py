"""Reading: chunks, times, gaps, recordings, damage that nobody may see as data."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.embedded.support import T0, batch, make, numbered, raw, read, values
from workbench.errors import (
    InvalidRange,
    LogBusy,
    LogExists,
    OffsetOutOfRange,
    OutOfSequence,
    ReadOnly,
    TopicChanged,
)
from workbench.log.embedded import EmbeddedLog
from workbench.log.embedded import read as reading
from workbench.log.protocol import Producer, TopicSpec
from workbench.records import RAW, Gap, empty_raw


def test_any_range_over_segments_and_tail(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        for first in range(0, 450, 50):
            log.append("t", numbered(first, 50))
            log.seal()
        whole = raw(log)
        assert whole.schema == RAW
        assert whole["offset"].to_list() == list(range(450))
        choose = random.Random(1)
        for _ in range(40):
            start, end = sorted(choose.choices(range(451), k=2))
            assert read(log, start, end).equals(whole[start:end])


def test_the_tail_comes_in_bounded_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TAIL_ROWS", 7)
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 30))
        assert [c.rows for c in log.read("t", 0, 0, 30)] == [7, 7, 7, 7, 2]
        assert values(log) == [b'{"n":%d}' % n for n in range(30)]


def test_sealing_between_two_chunks_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TAIL_ROWS", 10)
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 50))
        seen = []
        for chunk in log.read("t", 0, 0, 50):
            seen += chunk.raw.collect()["offset"].to_list()
            log.seal(force=True)
        assert seen == list(range(50))


def test_typed_companions(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 100))
        log.append("t", batch([b"not json", None, b'{"n":7,"m":1}', b'{"n":"x"}']))
        log.seal(force=True)
        assert log.topic("t").schema is not None
        frame = pl.concat([c.typed for c in log.read("t", 0, 0, 104) if c.typed is not None])
        typed = frame.collect()
        assert typed["n"].to_list() == [*range(100), None, None, 7, None]
        assert typed["decode_error"].is_not_null().to_list()[-4:] == [True, False, False, True]
        [chunk] = log.read("t", 0, 100, 104)
        assert chunk.typed_schema == log.topic("t").schema.fingerprint
        assert chunk.typed_path is not None
        assert chunk.typed_path.startswith(log.hint)


def test_companions_can_be_rebuilt(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 100))
        log.seal()
        [chunk] = log.read("t", 0, 0, 100)
        assert chunk.typed_path is not None
        Path(chunk.typed_path).unlink()
        [chunk] = log.read("t", 0, 0, 100)
        assert chunk.typed is None
        assert log.rebuild_companions("t") == 1
        assert log.rebuild_companions("t") == 0
        [chunk] = log.read("t", 0, 0, 100)
        assert chunk.typed is not None
        assert chunk.typed.collect()["n"].to_list() == list(range(100))


def test_values_that_are_no_json_get_no_companion(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", batch([b"\xff\xfe"] * 100))
        log.seal()
        assert [c.typed for c in log.read("t", 0, 0, 100)] == [None]
        assert log.topic("t").schema is None


@given(
    times=st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=40),
    low=st.one_of(st.none(), st.integers(-1, 14)),
    high=st.one_of(st.none(), st.integers(-1, 14)),
    sealed=st.integers(0, 40),
)
def test_times_are_exact(
    tmp_path_factory: pytest.TempPathFactory,
    times: list[int | None],
    low: int | None,
    high: int | None,
    sealed: int,
) -> None:
    """Against the definition, whatever lies in segments and whatever in the tail."""
    with make(tmp_path_factory.mktemp("times") / "log", partitions=2, segment_rows=10) as log:
        for part in (times[:sealed], times[sealed:]):
            stamps = [None if t is None else T0 + t for t in part]
            log.append("t", batch([b""] * len(part), times=stamps))
            log.seal()
        stored = raw(log)["timestamp"].to_physical().to_list()
        start, end = (None if t is None else T0 + t for t in (low, high))
        inside = [
            offset
            for offset, t in enumerate(stored)
            if (start is None or t >= start) and (end is None or t < end)
        ]
        everything = (len(times), len(times))
        expected = (inside[0], inside[-1] + 1) if inside else everything
        if start is None and end is None:
            expected = (0, len(times))
        assert log.cover("t", start, end, 5) == ({0: expected, 1: (0, 0)}, None)
        first = next((o for o, t in enumerate(stored) if t >= T0 + (low or 0)), None)
        assert log.offset_for_time("t", T0 + (low or 0)) == {0: first, 1: None}
        [info, _] = log.partitions("t")
        assert (info.min_timestamp_ms, info.max_timestamp_ms) == (
            min(stored, default=None),
            max(stored, default=None),
        )


def test_ranges_that_cannot_be_read(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 10))
        with pytest.raises(OffsetOutOfRange, match=r"\[0, 10\)"):
            log.read("t", 0, 5, 11)
        with pytest.raises(InvalidRange):
            log.read("t", 0, 5, 4)
        with pytest.raises(InvalidRange):
            log.read("t", 7, 0, 1)
        assert list(log.read("t", 0, 99, 99)) == []


def test_retrying_the_newest_batch_writes_once(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=3) as log:
        first = numbered(0, 4, partition=[0, 2, 0, 2])
        assert log.append("t", first, Producer("p")) == {0: (0, 2), 2: (0, 2)}
        log.append("t", numbered(9, 2))
        assert log.append("t", first, Producer("p")) == {0: (0, 2), 2: (0, 2)}
        assert log.append("t", numbered(4, 1, partition=1), Producer("p", 0, 1)) == {1: (0, 1)}
        for wrong in (Producer("p", 0, 0), Producer("p", 0, 3), Producer("p", -1, 0)):
            with pytest.raises(OutOfSequence):
                log.append("t", first, wrong)
        with pytest.raises(OutOfSequence):  # the newest sequence, another batch
            log.append("t", numbered(4, 2, partition=1), Producer("p", 0, 1))
        assert log.append("t", first, Producer("p", 1, 0)) == {0: (4, 6), 2: (2, 4)}
        assert [p.end for p in log.partitions("t")] == [6, 1, 4]


def recorded(source: EmbeddedLog, folder: Path) -> EmbeddedLog:
    recorder = EmbeddedLog.create_recording(folder, source.id, "embedded")
    info = source.topic("t")
    recorder.create_topic(TopicSpec("t", info.partitions, topic_id=info.id, source_log=source.id))
    return recorder


def test_a_recording_is_the_source_again(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=2) as log, make(tmp_path / "other") as other:
        log.append("t", numbered(0, 40, partition=[0, 1] * 20))
        with recorded(log, tmp_path / "rec") as recorder:
            for partition in (0, 1):
                records = read(log, 5, 15, partition)
                recorder.record_batch("t", partition, records, 15, start=5)
            assert dict(recorder.recorded_position()) == {("t", 0): 15, ("t", 1): 15}
            with pytest.raises(LogBusy, match=r"process \d+"):
                recorded(log, tmp_path / "rec")
        with pytest.raises(LogExists):
            recorded(other, tmp_path / "rec")
        with recorded(log, tmp_path / "rec") as recorder:  # goes on where it was
            recorder.record_batch("t", 0, read(log, 15, 20), 20)
            for start, end in ((15, 20), (10, 20), (3, 25)):
                with pytest.raises(InvalidRange, match="goes on at offset 20"):
                    recorder.record_batch("t", 0, read(log, start, 20), end)
            with pytest.raises(TopicChanged):
                recorder.create_topic(TopicSpec("t", 2, topic_id="new", source_log=log.id))
        with EmbeddedLog.open(tmp_path / "rec") as recording:
            assert (recording.id, recording.live, recording.writable) == (log.id, False, False)
            assert recording.topic("t").id == log.topic("t").id
            assert read(recording, 5, 20).equals(read(log, 5, 20))
            assert read(recording, 5, 15, 1).equals(read(log, 5, 15, 1))
            assert recording.gaps("t", 0, 0, 20) == [Gap("t", 0, 0, 5, "expired")]
            assert recording.verify().ok
            with pytest.raises(OffsetOutOfRange):
                recording.read("t", 0, 0, 5)
            with pytest.raises(ReadOnly):
                recording.append("t", numbered(0, 1))
        with pytest.raises(ReadOnly):
            EmbeddedLog.open(tmp_path / "rec", write=True)


@pytest.mark.parametrize("sealed", [False, True])
def test_gaps_are_kept_with_their_reasons(tmp_path: Path, sealed: bool) -> None:
    records = pl.DataFrame(
        {
            "partition": [0] * 4,
            "offset": [100, 101, 104, 109],
            "timestamp": [T0, None, T0 + 2, T0 + 1],
            "timestamp_type": ["create", "none", "append", "create"],
            "key": [b"", None, b"k", b"k"],
            "value": [None, b"", b"v", b"v"],
            "headers": [[], [], [{"name": "h", "value": None}, {"name": "h", "value": b""}], []],
            "leader_epoch": [3, None, 3, 4],
            "recorded_at": [T0, T0, None, T0],
        },
        schema=RAW,
    )
    gaps = [Gap("t", 0, 102, 104, "aborted"), Gap("t", 0, 105, 106, "control")]
    recorder = EmbeddedLog.create_recording(tmp_path / "rec", "kafka-cluster", "kafka")
    recorder.create_topic(TopicSpec("t", topic_id="T", source_log="kafka-cluster"))
    recorder.record_batch("t", 0, records, 112, gaps)
    recorder.record_batch("t", 0, empty_raw(), 115, [Gap("t", 0, 112, 115, "compacted")])
    if sealed:
        recorder.seal(force=True)
    assert read(recorder, 100, 115).equals(records)
    found = [g for c in recorder.read("t", 0, 100, 115) for g in c.gaps]
    assert found == [
        *gaps,
        Gap("t", 0, 106, 109, "unexplained"),
        Gap("t", 0, 110, 112, "unexplained"),
        Gap("t", 0, 112, 115, "compacted"),
    ]
    assert recorder.gaps("t", 0, 103, 113) == [
        Gap("t", 0, 103, 104, "aborted"),
        gaps[1],
        Gap("t", 0, 112, 113, "compacted"),
    ]
    missing = [(d.start, d.end) for d in recorder.verify().damage]
    assert missing == [(106, 109), (110, 112)]
    assert recorder.source_kind == "kafka"
    recorder.close()
    with EmbeddedLog.open(tmp_path / "rec") as recording:
        assert read(recording, 100, 115).equals(records)
