"""Sealing: the oldest rows of a hot tail become an immutable Parquet segment.

The segment's file is complete, flushed, read back and named before one small transaction
switches readers over to it; the batches are deleted afterwards, a few at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import polars as pl

from workbench.decode import decode_records, infer_schema
from workbench.errors import CorruptData
from workbench.log import facts
from workbench.log.embedded import files, hot, segments, topics
from workbench.log.embedded.block import raw_frame
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.failures import named_errors
from workbench.log.embedded.layout import SEGMENTS
from workbench.log.embedded.topics import Topic
from workbench.schema import Schema

#: What Polars prunes by: smaller groups find a record faster, larger ones compress better.
ROW_GROUP_ROWS = 50_000

_READ_ROWS = 20_000  # at a time: appending threads get the interpreter in between
_DELETE_RECORDS = 2_000  # a transaction: more would stall writers


@dataclass(frozen=True, slots=True)
class _File:
    """A segment's file as it lies in the folder."""

    path: str
    bytes: int
    sha256: str


def seal(catalog: Catalog, topic: Topic, *, force: bool) -> Iterator[int]:
    """Seal what exceeds the topic's segment limits, or everything; yields each segment's rows.

    Holds the seal lock for one segment at a time, so that another sealer waits no longer than
    that, and finds the rest smaller for it.
    """
    for pid, partition in catalog.rows(
        "SELECT pid, partition FROM part WHERE tid = ? AND hot_rows > 0 "
        "AND (? OR hot_rows >= ? OR hot_bytes >= ?) ORDER BY partition",
        (topic.tid, force, topic.segment_rows, topic.segment_bytes),
    ):
        while True:
            delete_rows(catalog, pid)  # at first, what a killed sealer left
            with catalog.seal_lock:
                sealed = _seal_one(catalog, topic, pid, partition, force=force)
            if not sealed:
                break
            yield sealed


def delete_rows(catalog: Catalog, pid: int) -> None:
    """Delete a partition's rows that no reader looks at, in small transactions.

    Several processes may do so at once.
    """
    [(hot_start,)] = catalog.rows("SELECT hot_start FROM part WHERE pid = ?", (pid,))
    while hot.is_left(catalog.connection, pid, hot_start):
        with catalog.write() as connection:
            hot.delete(connection, pid, hot_start, _DELETE_RECORDS)


def remove_leftovers(catalog: Catalog) -> list[Path]:
    """Delete the files that no catalog row names; the caller holds the seal lock."""
    left = leftovers(catalog)
    for path in left:
        files.unlink(path)
    return left


def leftovers(catalog: Catalog) -> list[Path]:
    """Files under the segments' folder that no catalog row names: a killed sealer's."""
    folder = catalog.root / SEGMENTS
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {
        catalog.root / path
        for pair in catalog.rows("SELECT path, typed_path FROM segment")
        for path in pair
        if path is not None
    }
    return [path for path in found if path not in named]


def rebuild_companions(catalog: Catalog, topic: Topic) -> int:
    """Decode every segment anew under the topic's schema; returns how many were written.

    Companions that are sound and of that schema stay.  The caller holds the seal lock.
    """
    with catalog.read() as connection:
        sealed = segments.live(
            connection, "pid IN (SELECT pid FROM part WHERE tid = ?)", (topic.tid,)
        )
        numbers = dict(fetch(connection, "SELECT pid, partition FROM part"))
    written = 0
    for segment in sealed:
        raw = segments.raw(catalog.root, topic.name, numbers[segment.pid], segment).collect()
        schema = _schema(catalog, topic, raw)
        current = segments.typed(catalog.root, segment)
        if schema is None or (current is not None and current.schema == schema.fingerprint):
            continue
        typed = _write_typed(catalog, topic, decode_records(raw, schema))
        with catalog.write() as connection:
            connection.execute(
                "UPDATE segment SET typed_path = ?, typed_bytes = ?, typed_sha256 = ?, "
                "typed_schema = ? WHERE sid = ?",
                (typed.path, typed.bytes, typed.sha256, schema.fingerprint, segment.sid),
            )
        written += 1
    return written


def _seal_one(catalog: Catalog, topic: Topic, pid: int, partition: int, *, force: bool) -> int:
    """Seal a partition's oldest records, up to the topic's segment limits; returns how many."""
    [(hot_start, next_off, hot_rows, hot_bytes)] = catalog.rows(
        "SELECT hot_start, next_off, hot_rows, hot_bytes FROM part WHERE pid = ?", (pid,)
    )
    full = hot_rows >= topic.segment_rows or hot_bytes >= topic.segment_bytes
    if not hot_rows or not (full or force):
        return 0
    frame, size = _oldest(catalog, topic, pid, partition, hot_start, next_off)
    schema = _schema(catalog, topic, frame)
    raw = _write(catalog, _name(topic, frame, ""), frame)
    typed = None
    if schema is not None:
        typed = _write_typed(catalog, topic, decode_records(frame, schema))
    base, last = frame["offset"][0], frame["offset"][-1]
    times = frame["timestamp"].to_physical()
    with catalog.write() as connection:
        [(now_start,)] = fetch(connection, "SELECT hot_start FROM part WHERE pid = ?", (pid,))
        if now_start != hot_start:
            raise CorruptData(
                f"{catalog.root}: topic {topic.name}, partition {partition} was sealed by two "
                f"processes at once (hot tail at {now_start}, not {hot_start})",
                hint="is the folder shared between machines?",
            )
        connection.execute(
            "INSERT INTO segment (pid, base_off, last_off, rows, min_ts, max_ts, path, bytes, "
            "sha256, typed_path, typed_bytes, typed_sha256, typed_schema) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                pid,
                base,
                last,
                frame.height,
                times.min(),
                times.max(),
                raw.path,
                raw.bytes,
                raw.sha256,
                *((typed.path, typed.bytes, typed.sha256) if typed else (None, None, None)),
                schema.fingerprint if schema else None,
            ),
        )
        connection.execute(
            "UPDATE part SET hot_start = ?, hot_rows = hot_rows - ?, hot_bytes = hot_bytes - ? "
            "WHERE pid = ?",
            (last + 1, frame.height, size, pid),
        )
        connection.execute(
            "UPDATE part SET hot_min_ts = NULL, hot_max_ts = NULL WHERE pid = ? AND hot_rows = 0",
            (pid,),
        )
    return frame.height


def _oldest(
    catalog: Catalog, topic: Topic, pid: int, partition: int, start: int, end: int
) -> tuple[pl.DataFrame, int]:
    """The oldest hot records, up to the topic's segment limits, and their bytes."""
    blocks: list[pl.DataFrame] = []
    count = size = 0
    while start < end and count < topic.segment_rows and size < topic.segment_bytes:
        with catalog.read() as connection:
            block = hot.take(
                connection,
                pid,
                start,
                end,
                min(_READ_ROWS, topic.segment_rows - count),
                topic.segment_bytes - size,
            )
        frame = raw_frame(catalog.root, topic.name, partition, block)
        if block:
            blocks.append(frame)
        count += len(block)
        size += block.size
        start = block.end
    if not blocks:
        raise CorruptData(
            f"{catalog.root}: topic {topic.name}, partition {partition}: the records from offset "
            f"{start} to {end} are missing",
            hint="`workbench verify` lists everything that is damaged",
        )
    return pl.concat(blocks), size


def _schema(catalog: Catalog, topic: Topic, frame: pl.DataFrame) -> Schema | None:
    """The topic's schema; inferred from the records and pinned where it has none."""
    pinned = topics.info(catalog, topic.name).schema
    if pinned is None:
        inferred = infer_schema(frame["value"])
        if inferred is not None:
            topics.pin_schema(catalog, topic.name, inferred)
            pinned = topics.info(catalog, topic.name).schema
    return pinned


def _name(topic: Topic, frame: pl.DataFrame, suffix: str) -> str:
    """A file name of its own; nothing in it comes from a user."""
    place = f"{frame['partition'][0]}-{frame['offset'][0]:020}-{uuid.uuid4().hex[:12]}"
    return f"{SEGMENTS}/{topic.tid}/{place}{suffix}.parquet"


def _write_typed(catalog: Catalog, topic: Topic, typed: pl.DataFrame) -> _File:
    return _write(catalog, _name(topic, typed, ".typed"), typed, facts.tell(typed))


def _write(
    catalog: Catalog, name: str, frame: pl.DataFrame, metadata: dict[str, str] | None = None
) -> _File:
    """Write a frame under its final name: complete, on the storage, and readable."""
    path = catalog.root / name
    unfinished = path.with_suffix(".tmp")
    with named_errors(catalog.root):
        files.make_folder(path.parent)
        try:
            # By way of memory: what the engine says of a full disk is not to be told from damage.
            packed = BytesIO()
            frame.write_parquet(
                packed, compression="zstd", row_group_size=ROW_GROUP_ROWS, metadata=metadata
            )
            files.write(unfinished, packed.getbuffer())
            files.sync_file(unfinished)
            digest = files.sha256(unfinished)
            if not pl.read_parquet(unfinished, glob=False).equals(frame):
                raise CorruptData(
                    f"{unfinished} reads back otherwise than it was written",
                    hint="check the machine's disk and memory; the records are kept as they were",
                )
            files.rename(unfinished, path)
        except BaseException:
            files.unlink(unfinished)
            raise
        files.sync_folder(path.parent)
    segments.hashed(path, digest)
    return _File(name, path.stat().st_size, digest)
