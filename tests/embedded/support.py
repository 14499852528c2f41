"""Records for the embedded log's tests, and what is in a log as plain Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from multiprocessing import get_context
from typing import Any

import polars as pl

from workbench.log.embedded import EmbeddedLog
from workbench.log.protocol import TopicSpec
from workbench.records import APPEND

SOAK = os.environ.get("WORKBENCH_SOAK") == "1"

#: Processes whose interpreter is clean and whose imports are done.
processes = get_context("forkserver")
processes.set_forkserver_preload(["tests.embedded.workers"])

T0 = 1_790_000_000_000

Headers = Sequence[tuple[str, bytes | None]]


def count(usual: int, soak: int) -> int:
    """How often to try: a usual run, or the soak."""
    return soak if SOAK else usual


def batch(
    values: Iterable[bytes | None],
    *,
    partition: int | Sequence[int] = 0,
    times: Sequence[int | None] | None = None,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Headers | None] | None = None,
) -> pl.DataFrame:
    """A batch to append."""
    values = list(values)
    size = len(values)
    return pl.DataFrame(
        {
            "partition": [partition] * size if isinstance(partition, int) else partition,
            "timestamp": [T0 + i for i in range(size)] if times is None else times,
            "key": [b"k"] * size if keys is None else keys,
            "value": values,
            "headers": [None] * size
            if headers is None
            else [h if h is None else [{"name": n, "value": v} for n, v in h] for h in headers],
        },
        schema=APPEND,
    )


def numbered(first: int, size: int, **options: Any) -> pl.DataFrame:
    """A batch of JSON objects with ascending numbers."""
    return batch([b'{"n":%d}' % n for n in range(first, first + size)], **options)


def make(path: Any, partitions: int = 1, segment_rows: int = 100, **spec: Any) -> EmbeddedLog:
    """A log with a topic `t` whose segments are small."""
    log = EmbeddedLog.create(path, durability="process")
    log.create_topic(TopicSpec("t", partitions, **spec), segment_rows=segment_rows)
    return log


def raw(log: EmbeddedLog, partition: int = 0, topic: str = "t") -> pl.DataFrame:
    """Everything that a partition holds."""
    ends = log.partitions(topic)[partition]
    return read(log, ends.start, ends.end, partition, topic)


def read(
    log: EmbeddedLog, start: int, end: int, partition: int = 0, topic: str = "t"
) -> pl.DataFrame:
    """A range of a partition; the chunks have to join without holes."""
    chunks = list(log.read(topic, partition, start, end))
    position = start
    for chunk in chunks:
        assert chunk.start == position
        position = chunk.end
        frame = chunk.raw.collect()
        assert chunk.rows == frame.height
        if chunk.typed is not None:
            typed = chunk.typed.collect()
            assert typed["offset"].equals(frame["offset"])
            assert typed["timestamp"].equals(frame["timestamp"])
    assert position == end
    if not chunks:
        from workbench.records import empty_raw

        return empty_raw()
    return pl.concat([chunk.raw for chunk in chunks]).collect()


def values(log: EmbeddedLog, partition: int = 0, topic: str = "t") -> list[bytes | None]:
    """All values of a partition."""
    return raw(log, partition, topic)["value"].to_list()
