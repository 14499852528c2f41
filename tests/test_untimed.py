"""Records without a timestamp, as Kafka's oldest formats have them: none is lost or overtaken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec
from workbench.records import RAW
from workbench.source import merged as merging
from workbench.source.merged import merged

#: Timestamps in ms by partition; late ones, and none at the start, between and at the end.
STAMPS: dict[int, list[int | None]] = {
    0: [None, 1_000, None, 3_000, 2_000, None],
    1: [500, 1_500, None],
    2: [None, None],
}
ORDER = [(0, 0), (2, 0), (2, 1), (1, 0), (0, 1), (0, 2), (1, 1), (1, 2), (0, 3), (0, 4), (0, 5)]


@pytest.fixture
def day(tmp_path: Path) -> Iterator[wb.Slice]:
    with EmbeddedLog.create_recording(tmp_path / "log", "source", "kafka") as log:
        log.create_topic(TopicSpec("t", partitions=3, source_log="source", topic_id="id"))
        for partition, stamps in STAMPS.items():
            rows = len(stamps)
            frame = pl.DataFrame(
                {
                    "partition": [partition] * rows,
                    "offset": range(rows),
                    "timestamp": stamps,
                    "timestamp_type": ["none" if at is None else "create" for at in stamps],
                    "key": [b"k"] * rows,
                    "value": [b'{"n": %d}' % n for n in range(rows)],
                    "headers": [[]] * rows,
                    "leader_epoch": [None] * rows,
                    "recorded_at": [None] * rows,
                },
                schema=RAW,
            )
            log.record_batch("t", partition, frame, rows, [], start=0)
    with wb.connect(tmp_path / "log") as recording:
        yield recording.stream("t").all()


def places(frames: list[pl.DataFrame]) -> list[tuple[int, int]]:
    return pl.concat(frames).select("partition", "offset").rows()


@pytest.mark.parametrize("rows", [1, 2, 20_000])
def test_in_display_order_they_follow_their_predecessors(
    day: wb.Slice, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "READ_AHEAD_ROWS", rows)
    assert places(list(merged(day.source))) == ORDER


@pytest.mark.parametrize("speed", [None, 1000])
def test_a_player_plays_them(day: wb.Slice, speed: float | None) -> None:
    player = day.play(speed=speed)
    assert places([player.step() for _ in ORDER]) == ORDER
    assert player.finished


def test_a_paced_copy_has_them(day: wb.Slice, tmp_path: Path) -> None:
    with wb.connect(tmp_path / "other", create=True) as other:
        day.copy_to(other, speed=1e9)
        copied = other.stream("t").all().frame().select("partition", "offset", "n")
    assert copied.equals(day.frame().select("partition", "offset", "n"))
