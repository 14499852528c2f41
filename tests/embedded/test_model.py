"""The log against a model that is a list for each partition, in any order of operations."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.embedded.support import T0, batch, count, read
from workbench.errors import OffsetOutOfRange
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import Producer, TopicSpec
from workbench.positions import Position

PARTITIONS = 2
LONG = 10**13  # a retention that the background upkeep, with the real time, never reaches

blobs = st.one_of(st.none(), st.binary(max_size=5), st.sampled_from([b'{"n":1}', b'{"n":2}']))


class Record(NamedTuple):
    """What the model knows of a record; a stamped time is taken over from the log."""

    time: int | None
    key: bytes | None
    value: bytes | None


@dataclass
class Partition:
    records: list[Record] = field(default_factory=list)
    start: int = 0


class LogMachine(RuleBasedStateMachine):
    """Appends, retries, seals, expires, closes and reopens; reads and asks in between."""

    @initialize()
    def make(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-model-"))
        self.log = EmbeddedLog.create(self.folder / "log", durability="process")
        self.log.create_topic(TopicSpec("t", PARTITIONS, retention_ms=LONG), segment_rows=8)
        self.parts = [Partition() for _ in range(PARTITIONS)]
        self.sequence = -1
        self.newest: tuple[Sequence[Record], Sequence[int], dict[int, tuple[int, int]]] | None
        self.newest = None
        self.committed: dict[int, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            shutil.rmtree(self.folder)

    def _append(
        self, records: Sequence[Record], partitions: Sequence[int], producer: Producer | None
    ) -> dict[int, tuple[int, int]]:
        return self.log.append(
            "t",
            batch(
                [r.value for r in records],
                partition=partitions,
                times=[r.time for r in records],
                keys=[r.key for r in records],
            ),
            producer,
        )

    @rule(
        records=st.lists(
            st.tuples(
                st.builds(Record, st.one_of(st.none(), st.integers(T0, T0 + 50)), blobs, blobs),
                st.integers(0, PARTITIONS - 1),
            ),
            max_size=12,
        ),
        idempotent=st.booleans(),
    )
    def append(self, records: list[tuple[Record, int]], idempotent: bool) -> None:
        rows, partitions = [r for r, _ in records], [p for _, p in records]
        producer = None
        if idempotent and records:
            self.sequence += 1
            producer = Producer("p", 0, self.sequence)
        offsets = self._append(rows, partitions, producer)
        expected = {}
        for number, part in enumerate(self.parts):
            mine = [r for r, p in records if p == number]
            if mine:
                end = len(part.records) + len(mine)
                expected[number] = (len(part.records), end)
                stored = read(self.log, end - len(mine), end, number)
                times = stored["timestamp"].to_physical().to_list()
                part.records += [
                    record._replace(time=time) if record.time is None else record
                    for record, time in zip(mine, times, strict=True)
                ]
        assert offsets == expected
        if producer is not None:
            self.newest = (rows, partitions, offsets)

    @precondition(lambda self: self.newest is not None)
    @rule()
    def retry(self) -> None:
        assert self.newest is not None
        rows, partitions, offsets = self.newest
        assert self._append(rows, partitions, Producer("p", 0, self.sequence)) == offsets

    @rule(force=st.booleans())
    def seal(self, force: bool) -> None:
        self.log.seal(force=force)

    @rule(cutoff=st.integers(0, 55))
    def expire(self, cutoff: int) -> None:
        """Sealed records leave by segments: the log may keep more than the rule asks, in order."""
        self.log.enforce_retention(T0 + cutoff + LONG, grace_seconds=0)
        for number, part in enumerate(self.parts):
            [start] = [p.start for p in self.log.partitions("t") if p.partition == number]
            old = [r.time is not None and r.time < T0 + cutoff for r in part.records]
            assert part.start <= start
            assert all(old[part.start : start])
            part.start = start

    @rule(hard=st.booleans())
    def reopen(self, hard: bool) -> None:
        """Close and open again; or go on with a copy of the files, as after a kill."""
        if hard:
            with self.log._catalog.seal_lock, self.log._catalog.lock:  # not while upkeep writes
                shutil.copytree(
                    self.folder / "log",
                    self.folder / "copy",
                    ignore=shutil.ignore_patterns("*-shm"),
                )
        self.log.close()
        if hard:
            shutil.rmtree(self.folder / "log")
            (self.folder / "copy").rename(self.folder / "log")
        self.log = EmbeddedLog.open(self.folder / "log", durability="process")

    @rule(data=st.data(), partition=st.integers(0, PARTITIONS - 1))
    def read_a_range(self, data: st.DataObject, partition: int) -> None:
        part = self.parts[partition]
        end = data.draw(st.integers(0, len(part.records)))
        start = data.draw(st.integers(0, end))
        if start < part.start and start < end:
            with pytest.raises(OffsetOutOfRange):
                read(self.log, start, end, partition)
            return
        frame = read(self.log, start, end, partition)
        assert frame["offset"].to_list() == list(range(start, end))
        assert [
            Record(*row)
            for row in zip(
                frame["timestamp"].to_physical().to_list(),
                frame["key"].to_list(),
                frame["value"].to_list(),
                strict=True,
            )
        ] == part.records[start:end]

    @rule(low=st.integers(T0 - 1, T0 + 55), width=st.integers(0, 20))
    def find_times(self, low: int, width: int) -> None:
        ranges, late = self.log.cover("t", low, low + width, None)
        firsts = self.log.offset_for_time("t", low)
        assert late is None
        for number, part in enumerate(self.parts):
            left = range(part.start, len(part.records))
            times = {offset: part.records[offset].time or 0 for offset in left}
            inside = [o for o, t in times.items() if low <= t < low + width]
            end = len(part.records)
            assert ranges[number] == ((inside[0], inside[-1] + 1) if inside else (end, end))
            assert firsts[number] == next((o for o, t in times.items() if t >= low), None)

    @rule(partition=st.integers(0, PARTITIONS - 1), data=st.data())
    def commit(self, partition: int, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, len(self.parts[partition].records)))
        member = self.log.join("g", Position({("t", p): 0 for p in range(PARTITIONS)}))
        held = member.assignment()
        assert held == Position({("t", p): self.committed.get(p, 0) for p in range(PARTITIONS)})
        member.commit(Position({("t", partition): offset}))
        self.committed[partition] = offset
        member.leave()

    @invariant()
    def ends_agree(self) -> None:
        if hasattr(self, "log"):
            assert [(p.start, p.end) for p in self.log.partitions("t")] == [
                (part.start, len(part.records)) for part in self.parts
            ]

    @rule()
    def verify(self) -> None:
        report = self.log.verify()
        assert report.damage == [], str(report)


def test_the_log_agrees_with_the_model() -> None:
    runs = count(50, 2_000)
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),  # a busy machine is no failure
        ),
    )
    print(f"{runs} runs of the model, 0 failures")
