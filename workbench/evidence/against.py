"""Comparing kept records with the log they came from: same, vanished, or changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from workbench.errors import OffsetOutOfRange, UnknownTopic
from workbench.log.protocol import LogBackend, Progress
from workbench.positions import TopicPartition
from workbench.records import RAW, Chunk, GapReason, TopicInfo
from workbench.source.pieces import cut_rows
from workbench.words import counted

Outcome = Literal["vanished", "changed"]

#: Partition, and the offsets `[start, end)` of it.
Extent = tuple[TopicPartition, int, int]

#: How many offsets are held in memory at once.
WINDOW_ROWS = 50_000

#: What makes a record.  Its leader epoch and when it was recorded do not.
_CONTENT = ("timestamp", "timestamp_type", "key", "value", "headers")

_COPY, _ORIGINAL = "copy", "original"


@dataclass(frozen=True, slots=True)
class Difference:
    """Neighbouring offsets `[start, end)` of one partition that are not the same in both logs.

    `vanished` is explained: `why` is "retention" or "compaction".  `changed` is not: `why` names
    the parts of the records that differ, or says on which side there is no record.
    """

    topic: str
    partition: int
    start: int
    end: int
    outcome: Outcome
    why: str
    records: int

    def __str__(self) -> str:
        place = f"{self.topic} {self.partition}:[{self.start}, {self.end})"
        return f"{self.outcome}: {place}, {counted(self.records, 'record')}: {self.why}"


@dataclass(slots=True)
class Comparison:
    """What became of each kept record in the log that it came from."""

    source: str
    same: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def vanished(self) -> int:
        """Records that retention or compaction has removed from the source."""
        return sum(d.records for d in self.differences if d.outcome == "vanished")

    @property
    def changed(self) -> int:
        """Records that differ without an explanation: an alarm."""
        return sum(d.records for d in self.differences if d.outcome == "changed")

    @property
    def ok(self) -> bool:
        """Whether nothing has changed; what has vanished is explained."""
        return self.changed == 0

    def __str__(self) -> str:
        counts = f"{self.same:,} same, {self.vanished:,} vanished, {self.changed:,} changed"
        return "\n".join([*map(str, self.differences), f"against {self.source}: {counts}"])


def compare(
    kept: LogBackend,
    source: LogBackend,
    extents: Iterable[Extent],
    progress: Progress | None = None,
) -> Comparison:
    """Hold kept records against their source, offset by offset, in bounded memory.

    Parameters
    ----------
    kept
        A recording or a sealed bag, opened as a log.
    source
        The log that they came from, or what is in its place now.
    extents
        What to compare: all of it has to be within `kept`.
    progress
        Told of offsets done, and of how many.

    Records of aborted transactions, which the kept copy has as gaps, are taken for the same.
    """
    source = source.uncached()
    found = Comparison(source.hint)
    work = [extent for extent in extents if extent[1] < extent[2]]
    total = sum(end - start for _, start, end in work)
    done = 0
    topics: dict[str, TopicInfo | None] = {}
    for (topic, partition), start, end in work:
        if topic not in topics:
            topics[topic] = _same_topic(kept, source, topic)
        pair = _Pair(kept, source, topic, partition, topics[topic])
        for same, differences, reached in pair.windows(start, end):
            found.same += same
            _extend(found.differences, differences)
            if progress is not None:
                progress(done + reached - start, total)
        done += end - start
    return found


def _same_topic(kept: LogBackend, source: LogBackend, topic: str) -> TopicInfo | None:
    """The source's topic, if it is still the one that was kept."""
    try:
        info = source.topic(topic)
    except UnknownTopic:
        return None
    return info if (source.id, info.id) == (kept.id, kept.topic(topic).id) else None


class _Pair:
    """One partition, in the copy and in the original."""

    def __init__(
        self,
        kept: LogBackend,
        source: LogBackend,
        topic: str,
        partition: int,
        info: TopicInfo | None,
    ) -> None:
        self._kept = kept
        self._source = source
        self._topic = topic
        self._partition = partition
        self._info = info

    def windows(self, start: int, end: int) -> Iterator[tuple[int, list[Difference], int]]:
        """Per window how many records are the same, what differs, and where it ends."""
        if self._info is None:
            gone = "the source has no such topic, or another one of that name"
            yield from self._alone(start, end, "changed", gone)
            return
        low, high = self._ends()
        below = min(max(start, low), end)
        above = max(min(end, high), below)
        yield from self._alone(start, below, "vanished", "retention")
        yield from self._both(below, above)
        yield from self._alone(above, end, "changed", f"the source ends at offset {high}")

    def _ends(self) -> tuple[int, int]:
        for ends in self._source.partitions(self._topic):
            if ends.partition == self._partition:
                return ends.start, ends.end
        return 0, 0

    def _both(self, start: int, end: int) -> Iterator[tuple[int, list[Difference], int]]:
        chunks = self._source.read(
            self._topic, self._partition, start, end, isolation="read_uncommitted"
        )
        at = start
        try:
            for chunk in chunks:
                for window in cut_rows(chunk, WINDOW_ROWS):
                    yield self._compare(window)
                    at = window.end
        except OffsetOutOfRange:
            # What has expired meanwhile is not there any more; anything else is an error.
            low, _ = self._ends()
            if low <= at:
                raise
            yield from self._alone(at, min(low, end), "vanished", "retention")
            yield from self._both(min(low, end), end)

    def _alone(
        self, start: int, end: int, outcome: Outcome, why: str
    ) -> Iterator[tuple[int, list[Difference], int]]:
        """Windows of which the source has nothing."""
        for first in range(start, end, WINDOW_ROWS):
            last = min(first + WINDOW_ROWS, end)
            offsets = self._kept_records(first, last).select("offset")
            lost = offsets.with_columns(outcome=pl.lit(outcome), why=pl.lit(why))
            yield 0, self._runs(lost), last

    def _compare(self, window: Chunk) -> tuple[int, list[Difference], int]:
        kept = self._kept_records(window.start, window.end).select("offset", *_CONTENT)
        original = window.raw.select("offset", *_CONTENT).collect()
        both = kept.with_columns(side=pl.lit(_COPY)).join(
            original.with_columns(other=pl.lit(_ORIGINAL)),
            on="offset",
            how="full",
            coalesce=True,
            suffix="_now",
        )
        excused = self._aborted(window.start, window.end)
        judged = both.select(
            "offset",
            copy_only=pl.col("other").is_null(),
            original_only=pl.col("side").is_null(),
            parts=pl.concat_str(
                [
                    pl.when(pl.col(name).ne_missing(pl.col(f"{name}_now"))).then(pl.lit(name))
                    for name in _CONTENT
                ],
                separator=", ",
                ignore_nulls=True,
            ),
        ).sort("offset")
        compacted = self._gaps(window, "compacted")
        gone, new = pl.col("copy_only"), pl.col("original_only")
        by_compaction = gone & _inside(compacted)
        differing = judged.with_columns(
            why=pl.when(by_compaction)
            .then(pl.lit("compaction"))
            .when(gone)
            .then(pl.lit("the source has no record there any more"))
            .when(new & _inside(excused))
            .then(None)
            .when(new)
            .then(pl.lit("the source has a record where there was none"))
            .when(pl.col("parts") != "")
            .then(pl.col("parts") + pl.lit(" differ")),
            outcome=pl.when(by_compaction).then(pl.lit("vanished")).otherwise(pl.lit("changed")),
        )
        same = judged.filter(~gone & ~new & (pl.col("parts") == "")).height
        return same, self._runs(differing), window.end

    def _kept_records(self, start: int, end: int) -> pl.DataFrame:
        chunks = self._kept.read(self._topic, self._partition, start, end)
        return pl.concat([pl.DataFrame(schema=RAW), *(chunk.raw.collect() for chunk in chunks)])

    def _aborted(self, start: int, end: int) -> list[tuple[int, int]]:
        gaps = self._kept.gaps(self._topic, self._partition, start, end)
        return [(gap.start, gap.end) for gap in gaps if gap.reason == "aborted"]

    @staticmethod
    def _gaps(window: Chunk, reason: GapReason) -> list[tuple[int, int]]:
        return [(gap.start, gap.end) for gap in window.gaps if gap.reason == reason]

    def _runs(self, offsets: pl.DataFrame) -> list[Difference]:
        """Neighbouring records with one outcome and one reason, where there is a reason."""
        runs = offsets.group_by(pl.struct("outcome", "why").rle_id().alias("run")).agg(
            start=pl.col("offset").min(),
            end=pl.col("offset").max() + 1,
            outcome=pl.col("outcome").first(),
            why=pl.col("why").first(),
            records=pl.len(),
        )
        return [
            Difference(self._topic, self._partition, *row)
            for row in runs.drop_nulls("why")
            .sort("start")
            .select("start", "end", "outcome", "why", "records")
            .iter_rows()
        ]


def _inside(ranges: list[tuple[int, int]]) -> pl.Expr:
    """Whether an offset lies in one of the ranges."""
    conditions = [pl.col("offset").is_between(low, high, closed="left") for low, high in ranges]
    return pl.any_horizontal(conditions) if conditions else pl.lit(value=False)


def _extend(known: list[Difference], more: list[Difference]) -> None:
    """Add differences; one that goes on where the last ended becomes a part of it."""
    for one in more:
        last = known[-1] if known else None
        if (
            last is not None
            and (last.topic, last.partition, last.end) == (one.topic, one.partition, one.start)
            and (last.outcome, last.why) == (one.outcome, one.why)
        ):
            known[-1] = Difference(
                last.topic,
                last.partition,
                last.start,
                one.end,
                last.outcome,
                last.why,
                last.records + one.records,
            )
        else:
            known.append(one)
