"""Appending rows to a topic: acknowledged means durable."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import AppendRejected
from workbench.log.protocol import LogBackend, Producer
from workbench.positions import Position
from workbench.sink.rows import Rows, records
from workbench.words import counted


@dataclass(frozen=True)
class Appended:
    """What an append wrote: the first offset and one past the last, per partition touched.

    Other producers may have written in between, so the range can hold more than `records`.
    """

    records: int
    start: Position
    end: Position

    def __repr__(self) -> str:
        records = counted(self.records, "record")
        return f"Appended({records}, now at {self.end.describe() or 'nothing'})"


def new_producer() -> Producer:
    """A producer that nobody else is."""
    return Producer(uuid.uuid4().hex)


def append(
    backend: LogBackend, topic: str, rows: Rows, producer: Producer, **how: Any
) -> tuple[Appended, Producer]:
    """Append rows in batches, each atomic; `how` is what `records` takes.

    Returns what was written and the producer for the next call.  Raises AppendRejected naming how
    many of the rows are durable when a later one cannot be written.
    """
    partitions = backend.topic(topic).partitions
    written = 0
    start: dict[tuple[str, int], int] = {}
    end: dict[tuple[str, int], int] = {}
    batches = records(rows, partitions, **how)
    while True:
        try:
            batch = next(batches, None)
        except AppendRejected as error:
            raise AppendRejected(f"{error}; {written:,} rows before it are written") from error
        except Exception as error:  # of the caller's own iterable or function
            error.add_note(f"{written:,} rows before it are written to topic {topic}")
            raise
        if batch is None:
            return Appended(written, Position(start), Position(end)), producer
        taken = backend.append(topic, batch, producer)
        producer = replace(producer, sequence=producer.sequence + 1)
        written += batch.height
        for partition, (first, last) in taken.items():
            start.setdefault((topic, partition), first)
            end[topic, partition] = last


class Producers:
    """Producers at rest, for who appends without one.  Thread-safe.

    A producer counts its batches per topic, for one call at a time and in one process.  It is not
    taken up again after an error, since how much it has written is not known here.
    """

    def __init__(self) -> None:
        self._idle: dict[tuple[int, str], list[Producer]] = {}

    def append(self, backend: LogBackend, topic: str, rows: Rows, **how: Any) -> Appended:
        """Append by one that rests, else by a new one."""
        idle = self._idle.setdefault((os.getpid(), topic), [])
        try:
            mine = idle.pop()
        except IndexError:
            mine = new_producer()
        done, mine = append(backend, topic, rows, mine, **how)
        idle.append(mine)
        return done
