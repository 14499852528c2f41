"""Retention: what is too old or too much leaves from the start of each partition.

Segments are first marked, which moves the log start; their files go after a time of grace, for
readers that are about to open them.  Producers are forgotten with the newest batch that they wrote.
"""

from __future__ import annotations

import time

import apsw

from workbench.log.embedded import files, hot, segments
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.seal import delete_rows

GRACE_SECONDS = 60.0

_NEVER = -(1 << 62)

#: Producers of a topic that are remembered although all that they wrote has expired: one that is
#: still there may yet send its newest batch again.
PRODUCERS_KEPT = 1_000

# A producer goes as a whole: by the newest of its batches in any partition the next one is judged.
_FORGET_PRODUCERS = """
DELETE FROM producer WHERE pid IN (SELECT pid FROM part WHERE tid = ?1) AND producer_id IN (
    SELECT producer_id FROM producer JOIN part USING (pid) WHERE tid = ?1
    GROUP BY producer_id HAVING max(last_end - log_start) <= 0
    ORDER BY max(last_end - log_start) DESC LIMIT -1 OFFSET ?2)
"""


def enforce(catalog: Catalog, now_ms: int | None, grace_seconds: float) -> int:
    """Move log starts and remove what has been marked for long enough.

    Returns the offsets that left.  Takes the seal lock for one partition at a time.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    gone = 0
    moved = set()
    for pid, tid, retention_ms, retention_bytes in catalog.rows(
        "SELECT pid, tid, retention_ms, retention_bytes FROM part JOIN topic USING (tid) "
        "WHERE ifnull(retention_ms, retention_bytes) IS NOT NULL AND next_off > log_start"
    ):
        cutoff = _NEVER if retention_ms is None else now - retention_ms
        with catalog.seal_lock:
            with catalog.read() as connection:
                before, start = _starts(connection, pid, cutoff, retention_bytes)
            if start > before:
                _move_start(catalog, pid, start, now)
        if start > before:
            delete_rows(catalog, pid)
            gone += start - before
            moved.add(tid)
    for tid in moved:
        with catalog.write() as connection:
            connection.execute(_FORGET_PRODUCERS, (tid, PRODUCERS_KEPT))
    with catalog.seal_lock:
        _remove_files(catalog, now - int(grace_seconds * 1000))
    return gone


def _starts(
    connection: apsw.Connection, pid: int, cutoff_ms: int, most_bytes: int | None
) -> tuple[int, int]:
    """Where a partition begins, and where it is to: the first offset that neither rule removes.

    A record stays while its time is at or after the cutoff, and so does everything after it.
    By bytes, what is oldest leaves while at least `most_bytes` remain, as in Kafka.
    """
    [(before, hot_start, end, hot_bytes, oldest_hot)] = fetch(
        connection,
        "SELECT log_start, hot_start, next_off, hot_bytes, hot_min_ts FROM part WHERE pid = ?",
        (pid,),
    )
    sealed = segments.live(connection, "pid = ?", (pid,))
    start = before
    total = hot_bytes + sum(segment.bytes for segment in sealed)
    for segment in sealed:
        aged = segment.max_ts is not None and segment.max_ts < cutoff_ms
        surplus = most_bytes is not None and total - segment.bytes >= most_bytes
        if not (aged or surplus):
            return before, start
        start = segment.last_off + 1
        total -= segment.bytes
    start = max(start, hot_start)
    if oldest_hot is not None and oldest_hot < cutoff_ms:
        start = max(start, hot.first_since(connection, pid, start, end, cutoff_ms))
    if most_bytes is not None and hot_bytes > most_bytes:
        start = max(start, hot.first_within(connection, pid, start, end, most_bytes))
    return before, start


def _move_start(catalog: Catalog, pid: int, start: int, now_ms: int) -> None:
    with catalog.write() as connection:
        connection.execute(
            "UPDATE segment SET deleted_ms = ? "
            "WHERE pid = ? AND last_off < ? AND deleted_ms IS NULL",
            (now_ms, pid, start),
        )
        connection.execute('DELETE FROM gap WHERE pid = ? AND "end" <= ?', (pid, start))
        connection.execute(
            "UPDATE part SET log_start = ?1, hot_start = max(hot_start, ?1) WHERE pid = ?2",
            (start, pid),
        )
        [(hot_start, end)] = fetch(
            connection, "SELECT hot_start, next_off FROM part WHERE pid = ?", (pid,)
        )
        connection.execute(
            "UPDATE part SET hot_rows = ?, hot_bytes = ?, hot_min_ts = ?, hot_max_ts = ? "
            "WHERE pid = ?",
            (*hot.totals(connection, pid, hot_start, end), pid),
        )


def _remove_files(catalog: Catalog, before_ms: int) -> None:
    for sid, path, typed_path in catalog.rows(
        "SELECT sid, path, typed_path FROM segment WHERE deleted_ms <= ?", (before_ms,)
    ):
        for name in (path, typed_path):
            if name is not None:
                files.unlink(catalog.root / name)
        with catalog.write() as connection:
            connection.execute("DELETE FROM segment WHERE sid = ?", (sid,))
