"""Several processes at once: fair writers, bounded waits, forks, and waking up."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.embedded import workers
from tests.embedded.support import count, make, numbered, processes, raw, values
from workbench.errors import LogBusy, LogError, StorageFull
from workbench.log.embedded import EmbeddedLog, seal
from workbench.log.embedded.upkeep import MOST_HOT_SEGMENTS

WRITERS = 8


def test_eight_writers_are_contiguous_and_fair(tmp_path: Path) -> None:
    """While a writer waits for the lock, the others have three turns each at most, on average.

    Turns within waits, not commits within a time: a machine with other work may keep a writer from
    the processor for seconds, and one that does not ask for the lock is not kept waiting by it.
    One turn each is what a queue gives; a lock that is polled gives ten to twenty.
    """
    waits = let_eight_write(tmp_path)
    got = sorted(got for mine in waits.values() for _, got in mine)
    turns = {
        writer: sum(bisect_left(got, mine) - bisect_right(got, asked) for asked, mine in listed)
        / len(listed)
        for writer, listed in waits.items()
    }
    print(
        f"{WRITERS} writers: {min(map(len, waits.values()))} to {max(map(len, waits.values()))} "
        f"commits each; a wait lasts {min(turns.values()):.1f} to {max(turns.values()):.1f} turns"
    )
    assert max(turns.values()) <= 3 * (WRITERS - 1)


def let_eight_write(folder: Path) -> dict[int, list[tuple[int, int]]]:
    """Each writer's waits for the lock, after a look at what all of them wrote."""
    make(folder / "log", segment_rows=1_000_000).close()
    queue = processes.Queue()
    writers = [
        processes.Process(
            target=workers.append_for, args=(str(folder / "log"), n, count(2, 20), queue)
        )
        for n in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    assert {queue.get(timeout=60)[0] for _ in writers} == {"ready"}
    (folder / "go").touch()
    answers = [queue.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join(60)
    assert {kind for kind, _, _ in answers} == {"done"}, answers
    waits = {producer: listed for _, producer, listed in answers}
    with EmbeddedLog.open(folder / "log") as log:
        frame = raw(log)
        assert frame["offset"].to_list() == list(range(sum(map(len, waits.values()))))
        for producer, listed in waits.items():
            mine = frame.filter(pl.col("key") == pl.lit(b"%d" % producer))["value"].to_list()
            assert mine == [b'{"n":%d}' % n for n in range(len(listed))]
    return waits


def test_threads_may_share_a_log(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=4) as log:

        def work(partition: int) -> None:
            for n in range(0, 300, 30):
                log.append("t", numbered(n, 30, partition=partition))
                raw(log, partition)

        threads = [threading.Thread(target=work, args=(p,)) for p in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for partition in range(4):
            assert values(log, partition) == [b'{"n":%d}' % n for n in range(300)]


def test_closing_waits_for_the_statement_of_another_thread(tmp_path: Path) -> None:
    log = make(tmp_path / "log")
    rows: list[Any] = []
    count = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) "
        "SELECT max(i) FROM n"
    )
    thread = threading.Thread(target=lambda: rows.extend(log._catalog.rows(count)))
    thread.start()
    time.sleep(0.05)
    log.close()
    thread.join()
    assert rows == [(3_000_000,)]


@pytest.mark.parametrize("lock", ["lock", "seal_lock"])
def test_a_stuck_process_is_named(tmp_path: Path, lock: str) -> None:
    make(tmp_path / "log").close()
    queue = processes.Queue()
    holder = processes.Process(target=workers.hold, args=(str(tmp_path / "log"), lock, queue))
    holder.start()
    pid = queue.get(timeout=60)
    with EmbeddedLog.open(tmp_path / "log", lock_timeout=0.3) as log:
        for _ in range(2):
            with pytest.raises(LogBusy, match=f"process {pid}"):
                log.append("t", numbered(0, 1)) if lock == "lock" else log.seal(force=True)
        holder.kill()
        holder.join()
        log.append("t", numbered(0, 1))
        assert log.seal(force=True) == 1
        assert values(log) == [b'{"n":0}']


def test_a_fork_is_told_and_harms_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        log.append("t", numbered(0, 5))
        child = os.fork()
        if child == 0:
            told = 0
            for use in (lambda: log.append("t", numbered(5, 5)), lambda: log.read("t", 0, 0, 5)):
                try:
                    use()
                except LogError as error:
                    told += "spawn" in str(error)
            log.close()
            os._exit(told)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        log.append("t", numbered(5, 5))
        assert values(log) == [b'{"n":%d}' % n for n in range(10)]
        assert log.verify().ok


def test_a_fork_does_not_keep_its_dead_parents_lock(tmp_path: Path) -> None:
    with make(tmp_path / "log", segment_rows=5) as log:
        log._catalog.lock.acquire()
        child = os.fork()
        if child == 0:
            time.sleep(1)
            os._exit(0)
        os.close(log._catalog.lock._descriptor or 0)  # as when the parent dies
        log._catalog.lock._descriptor = None
        log._catalog.lock._thread_lock.release()
        with EmbeddedLog.open(tmp_path / "log", lock_timeout=0.5) as other:
            other.append("t", numbered(0, 1))
        os.waitpid(child, 0)


def test_a_commit_wakes_who_waits(tmp_path: Path) -> None:
    make(tmp_path / "log").close()
    with (
        EmbeddedLog.open(tmp_path / "log") as log,
        EmbeddedLog.open(tmp_path / "log", write=False) as reader,
    ):
        assert not reader.wait({("t", 0): 0}, timeout=0.05)
        delays = []
        for n in range(count(30, 1_000)):
            committed = []

            def append(n: int = n, committed: list[float] = committed) -> None:
                log.append("t", numbered(n, 1))
                committed.append(time.monotonic())

            thread = threading.Timer(0.01, append)
            thread.start()
            assert reader.wait({("t", 0): n}, timeout=30)
            woken = time.monotonic()
            thread.join()
            delays.append(max(woken - committed[0], 0.0) * 1000)
        delays.sort()
        print(f"commit to wake: p50 {delays[len(delays) // 2]:.2f} ms, p99 {delays[-1]:.2f} ms")
        assert not reader.wait({("t", 0): len(delays)}, timeout=0.05)


def test_waiting_without_a_bell_looks_at_the_log(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        (tmp_path / "log" / "doorbell").unlink()
        with EmbeddedLog.open(tmp_path / "log", write=False) as reader:
            thread = threading.Timer(0.1, lambda: log.append("t", numbered(0, 1)))
            thread.start()
            assert reader.wait({("t", 0): 0}, timeout=30)
            thread.join()


def test_maintaining_waits_for_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each segment takes less than the lock's time-out, all of them take longer."""
    write = seal._write

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.03)
        return write(*arguments)

    monkeypatch.setattr(seal, "_write", slowly)
    make(tmp_path / "log", partitions=2, segment_rows=10).close()
    with EmbeddedLog.open(tmp_path / "log", lock_timeout=0.5, durability="process") as log:
        log.append("t", numbered(0, 405, partition=[0] * 200 + [1] * 205))
        told: list[tuple[int, int]] = []
        log.maintain(lambda done, total: told.append((done, total)))
        assert [[c.rows for c in log.read("t", p, 0, 200)] for p in (0, 1)] == [[10] * 20] * 2
        assert told == sorted(told)
        assert all(done <= total for done, total in told)
        assert log.verify().ok


def test_appending_seals_in_the_background(tmp_path: Path) -> None:
    with make(tmp_path / "log", partitions=2, segment_rows=50) as log:
        for n in range(0, 400, 20):
            log.append("t", numbered(n, 20, partition=[0, 1] * 10))
        deadline = time.monotonic() + 60
        while [c.rows for p in (0, 1) for c in log.read("t", p, 0, 200)] != [50] * 8:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert log.verify().ok


def test_producers_wait_for_a_sealing_that_falls_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = seal._write

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.02)
        return write(*arguments)

    monkeypatch.setattr(seal, "_write", slowly)
    most = 0
    with make(tmp_path / "log", segment_rows=10) as log:
        for n in range(0, 400, 10):
            log.append("t", numbered(n, 10))
            most = max(most, log._hot_rows())
        assert values(log) == [b'{"n":%d}' % n for n in range(400)]
    assert most <= MOST_HOT_SEGMENTS * 10


def test_producers_go_on_where_nothing_can_be_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise StorageFull("no space left")

    monkeypatch.setattr(seal, "_write", fails)
    with make(tmp_path / "log", segment_rows=10) as log:
        for n in range(0, 200, 10):
            log.append("t", numbered(n, 10))
        assert values(log) == [b'{"n":%d}' % n for n in range(200)]
    assert "no space left" in caplog.text
