"""Topics and records for the Kafka tests, and how to look at what came back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import kafka.errors as kafka_errors
import polars as pl
import pytest
from kafka import KafkaAdminClient

from workbench.log.kafka import KafkaLog
from workbench.log.kafka.wire import Wire
from workbench.records import APPEND, RAW, Chunk, Gap, Isolation

#: Partition, timestamp in ms, key, value, headers.
Record = tuple[int, int | None, bytes | None, bytes | None, list[tuple[str, bytes | None]]]

T0 = 1_793_000_000_000


def frame(records: Iterable[Record]) -> pl.DataFrame:
    """Records as a log appends them."""
    rows = list(records)
    return pl.DataFrame(
        {
            "partition": [row[0] for row in rows],
            "timestamp": [row[1] for row in rows],
            "key": [row[2] for row in rows],
            "value": [row[3] for row in rows],
            "headers": [[{"name": n, "value": v} for n, v in row[4]] for row in rows],
        },
        schema=APPEND,
    )


def numbered(count: int, *, partition: int = 0, size: int = 20, start: int = 0) -> list[Record]:
    """Records that differ: record n is stamped n seconds after T0 and has n in key and value."""
    return [
        (partition, T0 + n * 1000, b"key-%d" % n, (b"%d " % n).ljust(size, b"."), [])
        for n in range(start, start + count)
    ]


def make(admin: KafkaAdminClient, name: str, *, partitions: int = 1, **configs: Any) -> str:
    """A topic with settings; underscores stand for dots."""
    settings = {key.replace("_", "."): str(value) for key, value in configs.items()}
    admin.create_topics(
        {name: {"num_partitions": partitions, "configs": settings}}, wait_for_metadata=True
    )
    return name


def read(
    log: KafkaLog,
    topic: str,
    start: int | None = None,
    end: int | None = None,
    *,
    partition: int = 0,
    isolation: Isolation = "read_committed",
) -> tuple[pl.DataFrame, list[Gap]]:
    """A range as one frame with its gaps; chunks have to join without holes."""
    there = log.partitions(topic)[partition]
    stable = there.last_stable if isolation == "read_committed" else there.end
    low = there.start if start is None else start
    high = stable if end is None else end
    chunks = list(log.read(topic, partition, low, high, isolation))
    return joined(chunks, low, high)


def joined(chunks: Sequence[Chunk], low: int, high: int) -> tuple[pl.DataFrame, list[Gap]]:
    at = low
    frames = []
    for chunk in chunks:
        assert chunk.start == at
        assert chunk.end > at
        at = chunk.end
        raw = chunk.raw.collect()
        assert raw.schema == RAW
        assert raw["offset"].is_between(chunk.start, chunk.end, closed="left").all()
        assert chunk.rows == raw.height
        frames.append(raw)
    assert at == high
    whole = pl.concat([pl.DataFrame(schema=RAW), *frames])
    assert whole["offset"].is_sorted()
    assert whole["offset"].is_unique().all()
    return whole, [gap for chunk in chunks for gap in chunk.gaps]


def values(frame: pl.DataFrame) -> list[bytes | None]:
    return frame["value"].to_list()


def reasons(gaps: Sequence[Gap]) -> dict[str, list[tuple[int, int]]]:
    """Ranges by reason; neighbours of one reason in one piece."""
    found: dict[str, list[tuple[int, int]]] = {}
    for gap in gaps:
        ranges = found.setdefault(gap.reason, [])
        if ranges and ranges[-1][1] == gap.start:
            ranges[-1] = (ranges[-1][0], gap.end)
        else:
            ranges.append((gap.start, gap.end))
    return found


def accounted(frame: pl.DataFrame, gaps: Sequence[Gap], start: int, end: int) -> bool:
    """Whether records and gaps are exactly `[start, end)`."""
    covered = set(frame["offset"].to_list())
    for gap in gaps:
        inside = set(range(gap.start, gap.end))
        if covered & inside:
            return False
        covered |= inside
    return covered == set(range(start, end))


def lose_answers(
    patch: pytest.MonkeyPatch, is_lost: Callable[[Future[Any]], bool]
) -> list[Future[Any]]:
    """Lose the answers to batches of which it is said so; returns those of all batches."""
    answers: list[Future[Any]] = []
    send = Wire.send

    def lossy(wire: Wire, request: Any, node: int | None = None) -> Future[Any]:
        answer = send(wire, request, node)
        if type(request).__name__ != "ProduceRequest":
            return answer
        answers.append(answer)
        if not is_lost(answer):
            return answer
        lost: Future[Any] = Future()
        lost.set_exception(kafka_errors.KafkaConnectionError("cut"))
        return lost

    patch.setattr(Wire, "send", lossy)
    return answers
