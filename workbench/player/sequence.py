"""The records of a slice as one sequence, in display order, with a number for each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from workbench.errors import InvalidRange
from workbench.positions import Position, TopicPartition
from workbench.source.merged import BEFORE_ALL_MS
from workbench.source.slice import SliceSource
from workbench.source.times import from_ms, to_ms

#: How many records are read at a time, and how many such blocks are kept.
BLOCK = 4096
KEPT_BLOCKS = 4

Numbers = npt.NDArray[np.int64]

_AT = ["topic", "partition", "offset"]


class Sequence:
    """A slice's records numbered from 0, in the order in which `merged` hands them out.

    A record takes its place by the highest timestamp of its partition so far; ties go by topic,
    partition, offset.  So the first n records are a prefix of every partition, and a number is a
    position and a position a number.  Coordinates are held (32 bytes a record), the records
    themselves are read in blocks as they are needed.  For one thread.
    """

    def __init__(self, source: SliceSource) -> None:
        self.source = source
        found = source.lazy().select(*_AT, "timestamp").collect()
        self._index = (
            found.with_columns(
                pl.col("timestamp")
                .dt.epoch("ms")
                .fill_null(BEFORE_ALL_MS)
                .cum_max()
                .over("topic", "partition")
                .alias("time")
            )
            .sort("time", pl.col("topic").cast(pl.String), "partition", "offset")
            .drop("timestamp")
            .with_row_index("number")
        )
        # What is played before any timestamp is known is played at the first one.
        known = cast(int | None, found["timestamp"].dt.epoch("ms").min())
        first_ms = 0 if known is None else known
        self.times: Numbers = self._index["time"].clip(first_ms).to_numpy()
        self._places: dict[TopicPartition, tuple[Numbers, Numbers]] = {
            (str(topic), int(partition)): (
                part["number"].cast(pl.Int64).to_numpy(),
                part["offset"].to_numpy(),
            )
            for (topic, partition), part in self._index.group_by("topic", "partition")
        }
        self._blocks: OrderedDict[int, pl.DataFrame] = OrderedDict()
        self._keys: dict[bytes, Numbers] = {}

    def __len__(self) -> int:
        return self._index.height

    def position(self, number: int) -> Position:
        """Where each partition is when `number` records have been played."""
        if number <= 0:
            return self.source.start
        offsets = dict(self.source.end)
        for tp, (numbers, places) in self._places.items():
            at = int(np.searchsorted(numbers, number))
            if at < len(places):
                offsets[tp] = int(places[at])
        return Position(offsets)

    def number(self, when: datetime | Mapping[TopicPartition, int]) -> int:
        """How many records come before a time, or before the first one at or after a position."""
        if isinstance(when, datetime):
            return int(np.searchsorted(self.times, to_ms(when)))
        firsts = [len(self)]
        for tp, offset in when.items():
            if tp not in self.source.end:
                raise InvalidRange(
                    f"the slice has no partition {tp[1]} of {tp[0]!r}",
                    hint=f"it has {self.source.end.describe()}",
                )
            numbers, places = self._places.get(tp, (np.array([], int), np.array([], int)))
            at = int(np.searchsorted(places, offset))
            firsts += [int(numbers[at])] if at < len(numbers) else []
        return min(firsts)

    def next_of(self, key: bytes, number: int) -> int | None:
        """The number of the first record of a key at or after a number."""
        if key not in self._keys:
            places = self.source.with_keys((key,)).lazy().select(_AT).collect()
            found = self._index.join(places, on=_AT, how="semi")
            self._keys[key] = found["number"].cast(pl.Int64).sort().to_numpy()
        numbers = self._keys[key]
        at = int(np.searchsorted(numbers, number))
        return int(numbers[at]) if at < len(numbers) else None

    def frame(self, start: int, end: int) -> pl.DataFrame:
        """The records with numbers `[start, end)`, decoded, in their order."""
        first, last = start // BLOCK, max(end - 1, start) // BLOCK
        blocks = [self._block(n) for n in range(first, last + 1)]
        return pl.concat(blocks).slice(start - first * BLOCK, end - start)

    def density(self, bins: int) -> list[int]:
        """How many records lie in each of so many equal spans of the slice's time."""
        if not len(self):
            return [0] * bins
        # Counted from the first: far from 1970 the spans would be finer than floats are.
        since = self.times - float(self.times[0])
        return [int(n) for n in np.histogram(since, bins=bins)[0]]

    def pace(self, bins: int) -> list[float]:
        """Records a second of the slice's time, in each of so many equal shares of the records."""
        bins = min(bins, len(self))
        edges = np.linspace(0, len(self), bins + 1).astype(int)
        upper = self.times[np.minimum(edges[1:], len(self) - 1)] if bins else self.times
        spans_ms = np.maximum(upper - self.times[edges[:-1]], 1)
        return [float(n) for n in 1000 * np.diff(edges) / spans_ms]

    def time(self, number: int) -> datetime:
        """The time of a record in the sequence; of the last one beyond the end."""
        return from_ms(int(self.times[min(number, len(self) - 1)]))

    def _block(self, number: int) -> pl.DataFrame:
        if number not in self._blocks:
            first, last = number * BLOCK, min((number + 1) * BLOCK, len(self))
            part = self.source.cut(start=self.position(first), end=self.position(last))
            index = self._index.slice(first, last - first).select(*_AT, "number")
            frames = list(part.batches(rows=BLOCK)) or [pl.DataFrame(schema=part.schema)]
            self._blocks[number] = (
                pl.concat(frames).join(index, on=_AT, how="inner").sort("number").drop("number")
            )
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]
