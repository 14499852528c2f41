"""Killing producers, sealers and consumers anywhere: nothing acknowledged is lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

from tests.embedded import workers
from tests.embedded.support import count, make, processes, raw
from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import Producer
from workbench.positions import Position

ROUNDS = count(20, 1_000)
ROUND_SECONDS = 0.4
POINTS = list(workers.FAULT_POINTS)
assert all(hasattr(*point) for point in workers.FAULT_POINTS.values())


def test_kill_anything_anywhere(tmp_path: Path) -> None:
    choose = random.Random(5)
    make(tmp_path / "log", partitions=workers.PARTITIONS, segment_rows=200).close()
    for number in range(ROUNDS):
        point = POINTS[number % len(POINTS)]
        running = []
        for target, arguments in (
            (workers.produce, (str(tmp_path), "a")),
            (workers.produce, (str(tmp_path), "b")),
            (workers.seal_often, (str(tmp_path),)),
            (workers.consume, (str(tmp_path),)),
        ):
            fault = None
            if choose.random() < 0.5:
                fault = (point, choose.random() < 0.5, choose.randrange(6))
            process = processes.Process(target=target, args=(*arguments, ROUND_SECONDS, fault))
            process.start()
            running.append(process)
        time.sleep(choose.uniform(0.1, ROUND_SECONDS))
        for process in choose.sample(running, k=2):
            process.kill()
        for process in running:
            process.join(60)
            assert process.exitcode in (0, -9), f"round {number}, {point}: {process.exitcode}"
        if number % 100 == 99:
            print(f"{number + 1} rounds of {ROUNDS}", flush=True)
    lost, duplicated, skipped, acknowledged = examine(tmp_path)
    print(
        f"{ROUNDS} rounds, {acknowledged} batches acknowledged: "
        f"lost {lost}, duplicated {duplicated}, skipped {skipped}"
    )
    assert acknowledged > ROUNDS
    assert (lost, duplicated, skipped) == (0, 0, 0)


def examine(folder: Path) -> tuple[int, int, int, int]:
    """Batches lost and records duplicated or skipped, against what was noted outside the log."""
    batches = {
        name: len((folder / f"{name}.acknowledged").read_text().splitlines()) for name in "ab"
    }
    with EmbeddedLog.open(folder / "log") as log:
        assert log.verify().ok, str(log.verify())
        frames = [raw(log, p) for p in range(workers.PARTITIONS)]
        # What was written but not acknowledged before a kill may be there: once, and whole.
        for name, next_batch in batches.items():
            records = workers.numbered(
                next_batch * workers.BATCH,
                workers.BATCH,
                partition=[(next_batch + i) % workers.PARTITIONS for i in range(workers.BATCH)],
                keys=[name.encode()] * workers.BATCH,
            )
            log.append("t", records, Producer(name, 0, next_batch))
        after = [raw(log, p) for p in range(workers.PARTITIONS)]
        member = log.join("g", Position({("t", p): 0 for p in range(workers.PARTITIONS)}))
        committed = member.assignment()
        member.leave()
    lost = duplicated = skipped = 0
    for name, acknowledged in batches.items():
        for frame_set, batch_count in ((frames, acknowledged), (after, acknowledged + 1)):
            stored = Counter(
                value
                for frame in frame_set
                for key, value in frame.select("key", "value").iter_rows()
                if key == name.encode()
            )
            expected = {b'{"n":%d}' % n for n in range(batch_count * workers.BATCH)}
            lost += len(expected - stored.keys())
            duplicated += sum(stored.values()) - len(stored)
        assert stored.keys() == expected
    for partition, frame in enumerate(after):
        assert frame["offset"].to_list() == list(range(frame.height))
        for name in batches:
            numbers = [
                int(value[5:-1])
                for key, value in frame.select("key", "value").iter_rows()
                if key == name.encode()
            ]
            assert numbers == sorted(numbers), "out of order"
        seen = {
            int(offset)
            for line in (folder / "seen").read_text().splitlines()
            if line.split()[:1] == [str(partition)]
            for offset in line.split()[1:]
        }
        skipped += len(set(range(committed["t", partition])) - seen)
    return lost, duplicated, skipped, sum(batches.values())
