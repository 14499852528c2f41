"""From times to offsets on a log without an index of times.

A look-up gives the earliest offset stamped at or after a time.  As a lower bound that is exact.  As
an upper bound it is not: one record stamped in the future answers for all that come later.  So the
log's own time is probed beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

from workbench.log.kafka.client import Client
from workbench.records import Lateness

#: How late a record may come where the caller does not say.
DEFAULT_LATE_MS = 3_600_000

#: How many offsets a probe looks at.  Their median stamp is the log's time there: neither a
#: record from the future nor a late one moves it.
PROBE_OFFSETS = 200

#: Offset and timestamp of the records in `[start, end)` of a partition.
Stamps = Callable[[int, int, int], list[tuple[int, int]]]


def offset_for_time(
    client: Client, topic: str, partitions: int, timestamp_ms: int
) -> dict[int, int | None]:
    """Per partition the earliest offset stamped at or after the time, or None."""
    found = client.offsets({(topic, number): timestamp_ms for number in range(partitions)})
    return {
        number: None if answer.offset < 0 else answer.offset
        for (_, number), answer in sorted(found.items())
    }


def cover(
    client: Client,
    stamps: Stamps,
    topic: str,
    ends: Mapping[int, tuple[int, int]],
    times: tuple[int | None, int | None],
    late_ms: Lateness,
) -> tuple[dict[int, tuple[int, int]], int | None]:
    """Offset ranges for the times `[start, end)`, and the lateness up to which they are complete.

    `ends` are the partitions' readable ranges.
    """
    start_ms, end_ms = times
    lows: dict[int, int | None] = {p: low for p, (low, _) in ends.items()}
    if start_ms is not None:
        lows = offset_for_time(client, topic, len(ends), max(start_ms, 0))
    highs: dict[int, int | None] = dict.fromkeys(ends)
    late = DEFAULT_LATE_MS if late_ms is None else late_ms
    limit_ms: int | None = None
    if end_ms is not None and late != "all":
        limit_ms = end_ms + late
        highs = offset_for_time(client, topic, len(ends), max(limit_ms, 0))
    ranges: dict[int, tuple[int, int]] = {}
    whole = True
    for partition, (first, last) in ends.items():
        found_low, found_high = lows[partition], highs[partition]
        low = last if found_low is None else min(max(found_low, first), last)
        high = last if found_high is None else min(max(found_high, low), last)
        if limit_ms is not None and high < last:
            high = _confirmed(stamps, partition, high, last, limit_ms)
        whole &= high == last
        ranges[partition] = (low, high)
    return ranges, None if whole or late == "all" else late


def _confirmed(stamps: Stamps, partition: int, start: int, end: int, limit_ms: int) -> int:
    """The first offset from which on the log's time is at or after the limit.

    Looks at windows that lie ever further apart up to the end, and halves the distance between
    the last one that is too early and the next.
    """

    def window(at: int) -> list[tuple[int, int]]:
        """The first records from there on; where compaction left none, further on."""
        size = PROBE_OFFSETS
        while at < end:
            seen = stamps(partition, at, min(at + size, end))
            if seen:
                return seen[:PROBE_OFFSETS]
            at, size = at + size, size * 2
        return []

    def passed(at: int) -> bool:
        seen = [stamp for _, stamp in window(at)]
        return not seen or median(seen) >= limit_ms

    while start < end:
        early: int | None = None
        later = end
        for at in reversed(_windows(start, end)):
            if not passed(at):
                early = at
                break
            later = at
        if early is None:
            break
        while later - early > PROBE_OFFSETS:
            middle = (early + later) // 2
            if passed(middle):
                later = middle
            else:
                early = middle
        start = later
    # The limit may lie within the window.
    return max((offset + 1 for offset, stamp in window(start) if stamp < limit_ms), default=start)


def _windows(start: int, end: int) -> list[int]:
    """Where to probe: right at the start, at doubling distances, and at the very end."""
    last = max(end - PROBE_OFFSETS, start)
    found = [start]
    step = PROBE_OFFSETS
    while start + step < last:
        found.append(start + step)
        step *= 2
    return found if found[-1] == last else [*found, last]
