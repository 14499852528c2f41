"""Odd values, many partitions, hostile names: what goes in comes out."""

from __future__ import annotations

import os
import pickle
import random
import string
import time
from pathlib import Path

import polars as pl
import pytest

from tests.embedded.support import T0, batch, count, make, numbered, raw, values
from workbench.errors import AppendRejected, TopicError
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec
from workbench.records import APPEND


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("pickled",))


ODD: list[bytes | None] = [
    None,
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b"{not json",
    b'{"a": 1e999, "a": 2}',
    pickle.dumps(Bomb()),
    "Grüße 🎉".encode(),
    b"NaN",
    b"[" * 1_000,
    b'{"n": 9007199254740993}',
]


@pytest.mark.parametrize("sealed", [False, True])
def test_odd_values_round_trip(tmp_path: Path, sealed: bool) -> None:
    headers = [
        None,
        [],
        [("h", None)],
        [("h", b""), ("h", b"\xff"), ("", None)],
        [("é" * 300, b"x" * 70_000)],
    ] + [None] * (len(ODD) - 5)
    with make(tmp_path / "log") as log:
        log.append("t", batch(ODD, keys=list(reversed(ODD)), headers=headers))
        if sealed:
            log.seal(force=True)
        frame = raw(log)
        assert frame["value"].to_list() == ODD
        assert frame["key"].to_list() == list(reversed(ODD))
        assert [[(h["name"], h["value"]) for h in row] for row in frame["headers"].to_list()] == [
            h or [] for h in headers
        ]
        assert log.verify().ok
    assert not Path("pickled").exists()


@pytest.mark.parametrize("sealed", [False, True])
def test_large_values(tmp_path: Path, sealed: bool) -> None:
    large = [os.urandom(count(1, 50) << 20), b"small", os.urandom(10 << 20)]
    with make(tmp_path / "log") as log:
        log.append("t", batch(large))
        if sealed:
            log.seal(force=True)
        assert values(log) == large
        assert log.verify().ok


def test_stamps_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock may, and a user's time may lie in the future without dragging the log along."""
    with make(tmp_path / "log") as log:
        for clock in (5_000, 9_000, 2_000, 9_500):
            monkeypatch.setattr(time, "time_ns", lambda clock=clock: clock * 1_000_000)
            log.append("t", batch([b"", b"", b""], times=[None, 4_000_000_000_000, None]))
        frame = raw(log)
    stamped = frame.filter(pl.col("timestamp_type") == "append")
    assert stamped["timestamp"].to_physical().to_list() == [
        *(5_000, 5_000),
        *(9_000, 9_000),
        *(9_000, 9_000),
        *(9_500, 9_500),
    ]
    assert frame["timestamp_type"].to_list() == ["append", "create", "append"] * 4


def test_a_topic_that_stamps_ignores_given_times(tmp_path: Path) -> None:
    with make(tmp_path / "log", timestamp_type="append") as log:
        log.append("t", batch([b""], times=[T0]))
        frame = raw(log)
        assert frame["timestamp_type"].to_list() == ["append"]
        assert frame["timestamp"].to_physical()[0] != T0


def test_batches_that_cannot_be_written(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=2) as log:
        for wrong in (
            pl.DataFrame({"value": [b""]}),
            batch([b""]).with_columns(timestamp=pl.col("timestamp").dt.cast_time_unit("us")),
            batch([b""]).with_columns(value=pl.lit("text")),
            batch([b"", b""], partition=[0, 2]),
            batch([b""], partition=-1),
            batch([b""]).with_columns(partition=pl.lit(None, pl.Int32)),
        ):
            with pytest.raises(AppendRejected):
                log.append("t", wrong)
        assert log.append("t", pl.DataFrame(schema=APPEND)) == {}
        assert [p.end for p in log.partitions("t")] == [0, 0]


def test_many_partitions_and_keys(tmp_path: Path) -> None:
    partitions, size = 1_000, 100_000
    with make(tmp_path / "log", partitions=partitions, segment_rows=1_000) as log:
        records = numbered(
            0,
            size,
            partition=[n * 7 % partitions for n in range(size)],
            keys=[b"key-%d" % n for n in range(size)],
        )
        log.append("t", records)
        ends = log.partitions("t")
        assert [p.end for p in ends] == [size // partitions] * partitions
        ranges, _ = log.cover("t", T0 + 500, T0 + 600, None)
        assert sum(end - start for start, end in ranges.values()) == 100
        assert values(log, 7)[:2] == [b'{"n":1}', b'{"n":1001}']
        statements: list[str] = []
        log._catalog.connection.trace_v2(1, lambda event: statements.append(event["sql"]))
        log.topics(), log.partitions("t"), log.offset_for_time("t", T0), log.groups()
        log._catalog.connection.trace_v2(0, None)
        assert len(statements) < 30  # a few queries, not one a partition


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    choose = random.Random(6)
    parts = ["..", "/", "\\", "\0", "%2e", "~", "C:", "con", "a", ".", "-", "__", "\n", "é", "$(x)"]
    folder = tmp_path / "inner" / "log"
    made = 0
    with EmbeddedLog.create(folder, durability="process") as log:
        for _ in range(count(500, 10_000)):
            name = "".join(
                choose.choice([*parts, *string.ascii_letters])
                for _ in range(choose.randrange(1, 9))
            )
            try:
                log.create_topic(TopicSpec(name))
            except TopicError:
                continue
            log.append(name, numbered(0, 1))
            made += 1
        log.seal(force=True)
        assert {t.name for t in log.topics()} == {
            t.name for t in log.topics() if values(log, topic=t.name) == [b'{"n":0}']
        }
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(folder)]
    print(f"{made} fuzzed names made topics, files outside the root: {len(outside)}")
    assert made > 0
    assert outside == []
