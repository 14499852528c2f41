"""Copying a slice into another log, at full speed or at the recorded pace."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from workbench.errors import AppendRejected
from workbench.log.protocol import LogBackend, Producer, TopicSpec
from workbench.positions import Position
from workbench.records import APPEND
from workbench.sink.append import Appended, new_producer
from workbench.source.merged import merged
from workbench.source.progress import progress
from workbench.source.slice import SliceSource

#: The pause between two appends of a paced copy, in seconds.
TICK_SECONDS = 0.05


def copy(source: SliceSource, target: LogBackend, *, speed: float | None = None) -> Appended:
    """Append the slice's records to the same topics of another log, partition by partition.

    Timestamps, keys, values, headers and partitions are kept; offsets are the target's own.
    `speed=None` copies as fast as possible, `1.0` at the recorded pace, `60` sixty times as fast.
    A topic that is missing is made with as many partitions and the same schema.

    Raises AppendRejected when the target has fewer partitions; nothing is then copied.
    """
    _make_topics(source, target)
    # A producer counts its batches per topic.
    producers: defaultdict[str, Producer] = defaultdict(new_producer)
    start: dict[tuple[str, int], int] = {}
    end: dict[tuple[str, int], int] = {}
    written = 0
    plain = source.as_bytes()
    batches = plain.batches(raw=True) if speed is None else _paced(plain, speed)
    with progress(source.address.most_records, "records") as bar:
        for frame in batches:
            for (name,), part in frame.group_by("topic", maintain_order=True):
                topic = str(name)
                producer = producers[topic]
                taken = target.append(topic, part.select(APPEND.names()), producer)
                producers[topic] = replace(producer, sequence=producer.sequence + 1)
                written += part.height
                for partition, (first, last) in taken.items():
                    start.setdefault((topic, partition), first)
                    end[topic, partition] = last
            bar.update(frame.height)
    return Appended(written, Position(start), Position(end))


def _make_topics(source: SliceSource, target: LogBackend) -> None:
    there = {info.name: info for info in target.topics()}
    for name in source.address.topics:
        info = source.backend.topic(name)
        if name not in there:
            target.create_topic(TopicSpec(name, partitions=info.partitions, schema=info.schema))
        elif there[name].partitions < info.partitions:
            raise AppendRejected(
                f"topic {name!r} has {info.partitions} partitions, in {target.hint} "
                f"{there[name].partitions}",
                hint="a copy keeps partitions; make the topic anew with as many",
            )


def _paced(source: SliceSource, speed: float) -> Iterator[pl.DataFrame]:
    """The merged sequence, each record when it is due."""
    if speed <= 0:
        raise AppendRejected(f"a copy's speed is above 0, not {speed}")
    began = time.monotonic()
    first_ms: int | None = None
    for frame in merged(source, raw=True):
        stamps = frame["timestamp"].dt.epoch("ms")
        if first_ms is None:
            first_ms = next(iter(stamps.drop_nulls()), None)
        if first_ms is None:
            yield frame  # without a timestamp yet, all of it is due
            continue
        due = stamps.fill_null(first_ms).cum_max()
        at = 0
        while at < frame.height:
            elapsed_ms = (time.monotonic() - began) * 1000 * speed
            ready = int((due <= first_ms + elapsed_ms).sum())
            if ready > at:
                yield frame.slice(at, ready - at)
                at = ready
            else:
                time.sleep(min(TICK_SECONDS, (due[at] - first_ms - elapsed_ms) / 1000 / speed))
