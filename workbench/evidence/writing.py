"""One partition on its way into a bag: its lines, its tree, and its account of gaps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from typing import Any

import polars as pl

from workbench.errors import EvidenceError, OffsetOutOfRange
from workbench.evidence.format import Tree, leaves, partition_bytes, slice_hash
from workbench.evidence.lines import Line, encode
from workbench.evidence.packing import HashedFile
from workbench.evidence.verify import KINDS, LIMIT
from workbench.positions import TopicPartition
from workbench.records import Chunk, Gap, PartitionInfo
from workbench.source.holes import Holes
from workbench.source.pieces import cut_rows
from workbench.source.slice import BATCH_ROWS, SliceSource

#: How many records are hashed and written at a time.
_BLOCK_ROWS = 10_000

SALT_BYTES = 32

#: What is written for a record without a timestamp.
NO_TIME = -1

#: Gaps that mean that a range could not be read whole, and what is then said of it.
_INCOMPLETE = {"expired": "retention", "compacted": "compacted"}


class PartitionWriter:
    """Writes the records of one partition of a slice, and then knows what slices.json says of it.

    For one thread.

    Raises
    ------
    OffsetOutOfRange
        When the start has expired, unless `partial` allows that to be a gap.
    """

    def __init__(
        self,
        source: SliceSource,
        place: TopicPartition,
        ends: PartitionInfo,
        *,
        salted: bool,
        partial: bool,
    ) -> None:
        self.place = place
        self.gaps: tuple[Gap, ...] = ()
        self.records = 0
        self._source = source
        self._ends = ends
        self._salted = salted
        self._start, self._end = source.start[place], source.end[place]
        self._info = source.backend.topic(place[0])
        self._name = partition_bytes(source.address.log_id, self._info.id, *place)
        self._tree = Tree()
        self._holes = Holes(*place, self._start, self._end)
        self._from = min(max(self._start, ends.start), self._end)
        if self._start < self._from:
            if not partial:
                raise OffsetOutOfRange(
                    f"topic {place[0]}, partition {place[1]}: offsets {self._start} to "
                    f"{self._from} have expired, so the range cannot be sealed whole",
                    hint="partial=True seals what is left, and says so",
                )
            self._holes.explain([Gap(*place, self._start, self._from, "expired")])

    def write(self, out: HashedFile) -> Iterator[int]:
        """Write all records; yields how many offsets were done."""
        topic, partition = self.place
        if self._from < self._end:
            isolation = self._source.address.isolation
            for chunk in self._source.backend.read(
                topic, partition, self._from, self._end, isolation
            ):
                if any(gap.reason == "withheld" for gap in chunk.gaps):
                    raise EvidenceError(
                        f"topic {topic}, partition {partition}: {chunk.start} to {chunk.end} has "
                        "records that are withheld",
                        hint="a disclosed copy cannot be sealed again; hand it on as it is",
                    )
                self._holes.explain(chunk.gaps)
                for window, records in _read_ahead(cut_rows(chunk, BATCH_ROWS)):
                    for frame in records.iter_slices(_BLOCK_ROWS):
                        out.write(self._lines(frame))
                    yield window.end - window.start
        self.gaps = self._holes.gaps()

    def said(self, after: PartitionInfo) -> dict[str, Any]:
        """What slices.json says of the partition."""
        transactional = self._source.backend.kind == "kafka"
        why = {_INCOMPLETE[gap.reason]: None for gap in self.gaps if gap.reason in _INCOMPLETE}
        return {
            "topic": self.place[0],
            "topic_id": self._info.id,
            "partition": self.place[1],
            "start": str(self._start),
            "end": str(self._end),
            "log_start_before": str(self._ends.start),
            "log_start_after": str(after.start),
            "high_watermark": str(after.end),
            "last_stable_offset": str(after.last_stable) if transactional else None,
            "cleanup_policy": self._info.cleanup_policy,
            "timestamp_type": self._info.timestamp_type,
            "records": self.records,
            "gaps": [
                {"start": str(g.start), "end": str(g.end), "reason": g.reason} for g in self.gaps
            ],
            "root": self._tree.root().hex(),
        } | ({"incomplete": list(why)} if why else {})

    def hash(self) -> bytes:
        """The slice's hash, for the statement."""
        return slice_hash(
            self._name, self._start, self._end, self.records, self.gaps, self._tree.root()
        )

    def _lines(self, frame: pl.DataFrame) -> bytes:
        topic, partition = self.place
        offsets = frame["offset"].to_list()
        times = frame["timestamp"].cast(pl.Int64).fill_null(NO_TIME).to_list()
        types = frame["timestamp_type"].cast(pl.String).to_list()
        keys, values = frame["key"].to_list(), frame["value"].to_list()
        headers = (
            [[(h["name"], h["value"]) for h in held] for held in frame["headers"].to_list()]
            if frame["headers"].list.len().sum()
            else [()] * frame.height
        )
        salts = [os.urandom(SALT_BYTES) for _ in offsets] if self._salted else [None] * frame.height
        kinds = [KINDS[kind] for kind in types]
        made = list(leaves(self._name, offsets, kinds, times, keys, values, headers, salts))
        self._tree.extend(made)
        self._holes.see(frame["offset"])
        self.records += frame.height
        block = encode(
            map(
                Line,
                repeat(topic),
                repeat(partition),
                map(str, offsets),
                map(str, times),
                types,
                keys,
                values,
                headers,
                frame["leader_epoch"].to_list(),
                salts,
                map(bytes.hex, made),
            )
        )
        if len(block) > LIMIT and max(map(len, block.split(b"\n"))) >= LIMIT:
            raise EvidenceError(
                f"topic {topic}, partition {partition}: a record in offsets {offsets[0]} to "
                f"{offsets[-1]} is longer than {LIMIT:,} bytes as a line of evidence",
                hint="seal the ranges beside it",
            )
        return block


def _read_ahead(windows: Iterable[Chunk]) -> Iterator[tuple[Chunk, pl.DataFrame]]:
    """Each window with its records, while those of the next one are read."""
    with ThreadPoolExecutor(1, thread_name_prefix="workbench-seal-read") as beside:
        begun: list[tuple[Chunk, Future[pl.DataFrame]]] = []
        for window in windows:
            begun.append((window, beside.submit(window.raw.collect)))
            if len(begun) > 1:
                due, records = begun.pop(0)
                yield due, records.result()
        for due, records in begun:
            yield due, records.result()
