"""Consumer groups: durable positions, and partitions that follow the living."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.embedded import workers
from tests.embedded.support import make, numbered, processes
from workbench.errors import GroupError, GroupInUse, LeaseLost, UnknownTopic
from workbench.log.embedded import EmbeddedLog
from workbench.positions import Position


def start(partitions: int, offset: int = 0) -> Position:
    return Position({("t", p): offset for p in range(partitions)})


def test_positions_outlive_the_process(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=2) as log:
        log.append("t", numbered(0, 10, partition=[0, 1] * 5))
        member = log.join("g", start(2))
        assert member.assignment() == start(2)
        member.commit(Position({("t", 0): 3}))
        member.leave()
        member.leave()
        assert log.group("g").state == "empty"
    with EmbeddedLog.open(tmp_path / "log") as log:
        assert log.group("g").offsets == {("t", 0): 3}
        member = log.join("g", start(2, 1))
        assert member.assignment() == Position({("t", 0): 3, ("t", 1): 1})


def test_partitions_are_shared_and_handed_over(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=4) as log:
        first = log.join("g", start(4))
        assert len(first.assignment()) == 4
        second = log.join("g", start(4))
        assert len(second.assignment()) == 0  # the first one may be at work on them
        first.commit(start(4, 7))
        kept = first.assignment()
        given = second.assignment()
        assert sorted([*kept.values(), *given.values()]) == [7, 7, 7, 7]
        assert (len(kept), len(given), kept.keys() & given.keys()) == (2, 2, set())
        lost = next(iter(given))
        with pytest.raises(LeaseLost, match=f"t {lost[1]}"):
            first.commit(kept.merge({lost: 9}))
        assert log.group("g").offsets == dict(start(4, 7))
        members = log.group("g").members
        assert sorted(p for m in members for _, p in m.partitions) == [0, 1, 2, 3]
        first.leave()
        assert len(second.assignment()) == 4


def test_more_members_than_partitions(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=2) as log:
        members = [log.join("g", start(2)) for _ in range(5)]
        for _ in range(3):
            held = [p for m in members for p in m.assignment()]
        assert sorted(held) == [("t", 0), ("t", 1)]


def test_members_may_want_different_partitions(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=3) as log:
        one = log.join("g", Position({("t", 0): 0}))
        two = log.join("g", Position({("t", 1): 0, ("t", 2): 5}))
        assert one.assignment() == Position({("t", 0): 0})
        assert two.assignment() == Position({("t", 1): 0, ("t", 2): 5})
        with pytest.raises(LeaseLost):
            one.commit(Position({("t", 2): 1}))


def test_a_killed_process_loses_its_partitions_at_once(tmp_path: Path) -> None:
    make(tmp_path / "log", partitions=2).close()
    queue = processes.Queue()
    other = processes.Process(
        target=workers.take_part, args=(str(tmp_path / "log"), "g", 600.0, queue)
    )
    other.start()
    assert len(queue.get(timeout=60)) == 2
    with EmbeddedLog.open(tmp_path / "log") as log:
        member = log.join("g", start(2))
        assert len(member.assignment()) == 0
        assert len(log.group("g").members) == 2
        other.kill()
        other.join()
        assert len(log.group("g").members) == 1
        assert len(member.assignment()) == 2


def test_who_is_slow_keeps_its_partitions(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        slow = log.join("g", start(1), lease_seconds=2)
        assert slow.assignment() == start(1)
        other = log.join("g", start(1))
        until = time.monotonic() + 5  # in a body that takes longer than the lease
        while time.monotonic() < until:
            assert len(other.assignment()) == 0
            time.sleep(0.1)
        slow.commit(start(1, 7))
        slow.leave()
        assert other.assignment() == start(1, 7)


def test_a_member_that_nobody_holds_loses_its_partitions(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        forgotten = log.join("g", start(1), lease_seconds=0.2)
        other = log.join("g", start(1))
        del forgotten
        deadline = time.monotonic() + 60
        while not other.assignment():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_stopped_process_loses_its_partitions_after_the_lease(tmp_path: Path) -> None:
    make(tmp_path / "log").close()
    queue, resume = processes.Queue(), processes.Event()
    other = processes.Process(
        target=workers.commit_late, args=(str(tmp_path / "log"), "g", 1.0, queue, resume)
    )
    other.start()
    assert queue.get(timeout=60) == dict(start(1))
    assert other.pid is not None
    with EmbeddedLog.open(tmp_path / "log") as log:
        member = log.join("g", start(1))
        assert len(member.assignment()) == 0
        os.kill(other.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while not member.assignment():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        member.commit(start(1, 5))
        os.kill(other.pid, signal.SIGCONT)
        resume.set()
        assert "went to another member" in queue.get(timeout=60)
        assert queue.get(timeout=60) == {}  # a member again, without a partition
        assert log.group("g").offsets == dict(start(1, 5))
    other.join(60)


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        with pytest.raises(GroupError, match="none yet"):
            log.group("g")
        with pytest.raises(UnknownTopic):
            log.join("g", Position({("u", 0): 0}))
        assert log.groups() == []
        member = log.join("g", start(1), join_existing=False)
        with pytest.raises(GroupInUse):
            log.join("g", start(1), join_existing=False)
        member.commit(start(1, 1))
        member.leave()
        with pytest.raises(GroupInUse):
            log.join("g", start(1), join_existing=False)
        assert log.join("g", start(1)).assignment() == start(1, 1)
        with pytest.raises(GroupError, match="it has: g"):
            log.group("h")


def test_looking_at_groups_changes_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        member = log.join("g", start(1))
        before = member.assignment()
        for _ in range(3):
            log.groups()
            log.group("g")
        assert member.assignment() == before
