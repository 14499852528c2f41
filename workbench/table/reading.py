"""A slice as frames for an engine, with only the columns it needs, counted on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import polars as pl

from workbench.source.slice import SliceSource
from workbench.words import counted

#: How many records are aggregated at a time: enough to keep the cores busy, few enough to hold.
BATCH_ROWS = 1_000_000

#: Records of one partition are in order already, where there are so many of them in a row.
RUN_ROWS = 50_000

#: Beside the columns asked for, a frame has the coordinates by which records are ordered: `_at`
#: (Int64, milliseconds), `_lane` (Int64, topic and partition), and `offset`, which is asked for;
#: `_counts` (Boolean) is false for what did not decode and for tombstones, `_tombstone` (Boolean)
#: is true for those.
ORDER = ("_at", "_lane", "offset")

#: A record without a timestamp is older than all others.
NO_TIME = -(2**63)


#: Of a database's changes, how many say that it has emptied the table.
TRUNCATIONS = (pl.col("_tombstone") & (pl.col("op") == "t")).sum()


def is_changes(source: SliceSource) -> bool:
    """Whether the records are changes of a database's table."""
    return source.address.decoding.value.startswith("debezium")


def unlane(topics: Sequence[str], number: int) -> tuple[str, int]:
    """Topic and partition of a lane: one number that orders by topic, then partition."""
    return sorted(topics)[number >> 32], number & 0xFFFFFFFF


def lane(topics: Sequence[str], topic: str, partition: int) -> int:
    """The number of a topic's partition, as `marked` gives it."""
    return sorted(topics).index(topic) << 32 | partition


def scan(source: SliceSource, topics: Sequence[str], columns: Iterable[str]) -> pl.LazyFrame:
    """The columns asked for, and the coordinates and marks that an engine goes by.

    `topics` are those of the stream, so that lanes are the same for every slice of it.
    """
    return marked(source.lazy(marks=True), topics, columns)


def marked(records: pl.LazyFrame, topics: Sequence[str], columns: Iterable[str]) -> pl.LazyFrame:
    """What `scan` gives, of records as `SliceSource.lazy(marks=True)` gives them."""
    number = pl.col("partition").cast(pl.Int64)
    for rank, topic in list(enumerate(sorted(topics)))[1:]:
        number += (pl.col("topic") == topic).cast(pl.Int64) * (rank << 32)
    return records.select(
        *dict.fromkeys(columns),
        pl.col("timestamp").dt.epoch("ms").fill_null(NO_TIME).alias("_at"),
        number.alias("_lane"),
        (pl.col("decode_error").is_null() & ~pl.col("_tombstone")).alias("_counts"),
        "_tombstone",
    )


def batches(
    frames: pl.LazyFrame, most: int | None = None, *, by_lane: bool = False
) -> Iterator[pl.DataFrame]:
    """What `scan` gives, in order, in bounded memory; `by_lane` long runs of one by themselves.

    `most` is how many records there can be, where that is known.
    """
    whole = most is not None and most <= BATCH_ROWS
    found = [frames.collect()] if whole else _bounded(frames)
    for frame in found:
        runs = _runs(frame) if by_lane else []
        if len(runs) > 1 and frame.height >= len(runs) * RUN_ROWS:
            yield from (frame.slice(first, length) for first, length, _ in runs)
        else:
            yield frame


def _bounded(frames: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    return frames.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)


def _runs(frame: pl.DataFrame) -> list[tuple[int, int, int]]:
    """First row, length and lane of each run of records of one lane."""
    runs = frame["_lane"].rle().struct.unnest()
    first = runs["len"].cum_sum().shift(1, fill_value=0)
    return list(zip(first, runs["len"], runs["value"], strict=True))


@dataclass(frozen=True)
class Counts:
    """What a state was made from.

    Attributes
    ----------
    records
        All records read, those below included.
    undecodable
        Records whose value did not decode; they never aggregate.
    tombstones
        Records with a null value; they aggregate nowhere, and delete where `by="key"`.
    null_keys
        Aggregated records that have a null in a `by` column.
    late
        Records stamped before a record at a lower offset of their partition.
    truncations
        Of the tombstones, how many say that a database has emptied its table (Debezium's `t`).
        They name no key, so they delete nothing.
    late_arrivals
        For a state as of a time: records at or after the cut that are stamped before it, so not
        in the answer.  None where the question was not one of time.
    late_within_ms
        How far beyond the time these were looked for; None for everywhere.
    """

    records: int = 0
    undecodable: int = 0
    tombstones: int = 0
    null_keys: int = 0
    late: int = 0
    truncations: int = 0
    late_arrivals: int | None = None
    late_within_ms: int | None = None

    def with_arrivals(self, other: Counts) -> Counts:
        """These counts with the late arrivals of others."""
        return replace(self, late_arrivals=other.late_arrivals, late_within_ms=other.late_within_ms)

    def __str__(self) -> str:
        parts = [counted(self.records, "record")]
        named = ("undecodable", "tombstones", "null_keys", "late", "truncations")
        numbers = ((name.replace("_", " "), getattr(self, name)) for name in named)
        parts += [f"{number:,} {name}" for name, number in numbers if number]
        if self.late_arrivals is not None:
            within = "" if self.late_within_ms is None else f" within {self.late_within_ms} ms"
            parts.append(f"{self.late_arrivals:,} stamped before the cut but after it{within}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Tally:
    """Counts of the records so far, and per lane the highest time, so that counting can go on.

    `unstamped` is how many of them have no timestamp.
    """

    counts: Counts = field(default_factory=Counts)
    newest: Mapping[int, int] = field(default_factory=dict)
    unstamped: int = 0

    def add_told(self, rows: int, lane: int, newest: int) -> Tally:
        """With the next records of a lane, of which there is nothing to tell but how new they are.

        None is older than the newest before.
        """
        counts = replace(self.counts, records=self.counts.records + rows)
        return replace(self, counts=counts, newest={**self.newest, lane: newest})

    def add(self, frame: pl.DataFrame, by: Sequence[str], *, changes: bool = False) -> Tally:
        """With the next records of some partitions; `changes` are those of a database."""
        newest = dict(self.newest)
        late = 0
        for first, length, number in _runs(frame):
            times = frame["_at"].slice(first, length)
            highest = newest.get(number, NO_TIME)
            if not (times.is_sorted() and times[0] >= highest):
                before = times.cum_max().clip(highest).shift(1, fill_value=highest)
                late += int(((times < before) & (times != NO_TIME)).sum())
            newest[number] = max(highest, cast(int, times.max()))
        found = frame.select(
            undecodable=(~pl.col("_counts") & ~pl.col("_tombstone")).sum(),
            tombstones=pl.col("_tombstone").sum(),
            null_keys=(pl.any_horizontal(pl.col(by).is_null()) & pl.col("_counts")).sum(),
            unstamped=(pl.col("_at") == NO_TIME).sum(),
            truncations=TRUNCATIONS if changes else pl.lit(0),
        ).row(0, named=True)
        unstamped = self.unstamped + found.pop("unstamped")
        sums = {name: getattr(self.counts, name) + number for name, number in found.items()}
        counts = replace(
            self.counts,
            records=self.counts.records + frame.height,
            late=self.counts.late + late,
            **sums,
        )
        return Tally(counts, newest, unstamped)
