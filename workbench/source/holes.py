"""The offsets of a partition that hold no record, found while its records go by."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from workbench.records import Gap


class Holes:
    """What is missing in `[start, end)` of one partition, with the reasons that its log knows.

    For one thread.
    """

    def __init__(self, topic: str, partition: int, start: int, end: int) -> None:
        self._place = (topic, partition)
        self._next = start
        self._end = end
        self._known: list[Gap] = []
        self._holes: list[tuple[int, int]] = []

    def explain(self, gaps: Iterable[Gap]) -> None:
        """Take note of gaps whose reason the log knows."""
        self._known += gaps

    def see(self, offsets: pl.Series) -> None:
        """Pass the offsets of records, ascending, after those of the calls before."""
        if offsets.is_empty():
            return
        before = offsets.shift(1, fill_value=self._next - 1) + 1
        jumps = pl.DataFrame({"first": before, "last": offsets})
        self._holes += jumps.filter(pl.col("first") < pl.col("last")).rows()
        self._next = int(offsets[-1]) + 1

    def gaps(self) -> tuple[Gap, ...]:
        """Every missing offset, ascending; what no known gap covers is `unexplained`."""
        rest = [(self._next, self._end)] if self._next < self._end else []
        known = sorted(self._known, key=lambda gap: gap.start)
        parts: list[Gap] = []
        nearest = 0
        for first, last in [*self._holes, *rest]:
            at = first
            while nearest < len(known) and known[nearest].end <= at:
                nearest += 1
            index = nearest
            while index < len(known) and known[index].start < last:
                gap = known[index]
                low, high = max(gap.start, at), min(gap.end, last)
                index += 1
                if low >= high:
                    continue
                if at < low:
                    parts.append(Gap(*self._place, at, low, "unexplained"))
                parts.append(Gap(*self._place, low, high, gap.reason))
                at = high
            if at < last:
                parts.append(Gap(*self._place, at, last, "unexplained"))
        return tuple(parts)
