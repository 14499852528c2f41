"""Power cuts at any moment, over the real code's file operations."""

from __future__ import annotations

import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.embedded import powercut
from tests.embedded.support import count, numbered, processes, values
from workbench.errors import WorkbenchError
from workbench.log.embedded import EmbeddedLog

STATES = count(50, 1_000)
BUGS = ["no fsync", "no folder fsync", "catalog before rename", "delete before catalog"]


def recorded(folder: Path, durability: str = "power", bug: str | None = None) -> list[Any]:
    """The operations of one workload, run in a process of its own."""
    into = folder / "operations"
    process = processes.Process(
        target=powercut.run_workload, args=(str(folder / "work"), durability, bug, str(into))
    )
    process.start()
    process.join(120)
    assert process.exitcode == 0
    operations: list[Any] = pickle.loads(into.read_bytes())
    return operations


def cut(operations: list[Any], moment: int, choose: random.Random, folder: Path) -> int:
    """Make the state after a power cut; returns the records acknowledged before it."""
    disk = powercut.Disk()
    for operation in operations[:moment]:
        disk.apply(operation)
    disk.after_power_cut(choose, folder)
    return max((op[2] for op in operations[:moment] if op[0] == "acknowledged"), default=0)


def what_is_broken(folder: Path, acknowledged: int, *, suffix_may_go: bool = False) -> str | None:
    """Open, read, verify and go on; None when every promise held."""
    try:
        log = EmbeddedLog.open(folder, durability="process")
    except WorkbenchError as error:
        if acknowledged:
            return f"does not open: {error}"
        with EmbeddedLog.create(folder, durability="process"):
            return None
    with log:
        if not log.topics():
            return "the topic is gone" if acknowledged and not suffix_may_go else None
        [ends] = log.partitions("t")
        if ends.end < acknowledged and not suffix_may_go:
            return f"{acknowledged} records were acknowledged, {ends.end} are there"
        report = log.verify()
        if not report.ok:
            return str(report)
        try:
            found = values(log)
        except WorkbenchError as error:
            return f"does not read: {error}"
        if found != [b'{"n":%d}' % n for n in range(ends.start, ends.end)]:
            return "other records than were written"
        log.append("t", numbered(ends.end, 3))
        log.seal(force=True)
        if not log.verify().ok:
            return f"broken after going on: {log.verify()}"
    return None


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    operations = recorded(tmp_path)
    choose = random.Random(7)
    broken = []
    for state in range(STATES):
        folder = tmp_path / "state"
        moment = choose.randrange(len(operations) + 1)
        trouble = what_is_broken(folder, cut(operations, moment, choose, folder))
        if trouble is not None:
            broken.append(f"state {state}, after operation {moment}: {trouble}")
        shutil.rmtree(folder)
    print(f"{STATES} power cuts within {len(operations)} operations: broken {len(broken)}")
    assert broken == []


def test_a_log_is_made_or_not(tmp_path: Path) -> None:
    """Each moment of the making: there is a log, or none and one can be made."""
    operations = recorded(tmp_path)
    made = next(i for i, op in enumerate(operations) if op[0] == "acknowledged")
    for moment in range(made):
        folder = tmp_path / "state"
        assert cut(operations, moment, random.Random(moment), folder) == 0
        assert what_is_broken(folder, 0) is None, f"after operation {moment}"
        shutil.rmtree(folder)


def test_less_durable_loses_a_suffix_and_never_more(tmp_path: Path) -> None:
    operations = recorded(tmp_path, durability="process")
    choose = random.Random(8)
    first = next(i for i, op in enumerate(operations) if op[0] == "acknowledged")
    lost = 0
    for _ in range(STATES // 2):
        folder = tmp_path / "state"
        moment, seed = choose.randrange(first, len(operations)), choose.random()
        acknowledged = cut(operations, moment, random.Random(seed), folder)
        assert what_is_broken(folder, acknowledged, suffix_may_go=True) is None
        shutil.rmtree(folder)
        cut(operations, moment, random.Random(seed), folder)
        lost += what_is_broken(folder, acknowledged) is not None
        shutil.rmtree(folder)
    assert lost > 0
    print(f"durability='process': {lost} of {STATES // 2} power cuts removed newest commits")


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """The simulation finds what it is for."""
    operations = recorded(tmp_path, bug=bug)
    choose = random.Random(9)
    named = [i for i, op in enumerate(operations) if op[0] == "rename"]
    for state in range(1, 401):
        folder = tmp_path / "state"
        moment = choose.choice(named) + choose.randrange(-8, 9)
        trouble = what_is_broken(folder, cut(operations, moment, choose, folder))
        shutil.rmtree(folder)
        if trouble is not None:
            print(f"{bug}: caught by power cut {state}: {trouble.splitlines()[0]}")
            return
    raise AssertionError(f"{bug}: not caught")
