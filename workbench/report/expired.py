"""What retention has left of a slice, and what it has taken before it could be reported."""

from __future__ import annotations

import time
from typing import Literal

from workbench.errors import OffsetOutOfRange
from workbench.positions import Position
from workbench.report.describe import describe_before, describe_expired, describe_slice
from workbench.source.slice import SliceSource

OnExpired = Literal["fail", "report"]
#: Offsets `[start, end)` by topic and partition, as text.
Expired = dict[str, dict[str, list[str]]]
#: An offset by topic and partition, as text.
ExpiredBefore = dict[str, dict[str, str]]

_HINT = 'on_expired="report" (--on-expired=report) reports what is left, and says what is not'


def what_is_left(source: SliceSource, on_expired: OnExpired) -> tuple[SliceSource, Expired]:
    """The part of a slice that has not expired, and the offsets that have.

    Raises OffsetOutOfRange when some have and `on_expired` is not `"report"`.
    """
    source.check_topics()
    begins = {
        (part.topic, part.partition): part.start
        for topic in source.address.topics
        for part in source.backend.partitions(topic)
    }
    first = Position(
        {tp: min(max(start, begins[tp]), source.end[tp]) for tp, start in source.start.items()}
    )
    expired: Expired = {}
    for (topic, partition), start in source.start.items():
        if first[topic, partition] > start:
            lost = [str(start), str(first[topic, partition])]
            expired.setdefault(topic, {})[str(partition)] = lost
    if expired and on_expired == "fail":
        raise OffsetOutOfRange(
            f"records expired before they were reported: {describe_expired(expired)}",
            hint=_HINT,
        )
    return source.cut(start=first), expired


def gone_before(source: SliceSource, on_expired: OnExpired = "report") -> ExpiredBefore:
    """Where the log starts, if all that is left came after the start of a slice's time.

    What is gone may have been of that time: nobody knows.  But a topic keeps what is younger than
    its retention, unless it has a limit of bytes too, and a recording begins where it was told to.

    Raises OffsetOutOfRange when there is such an offset and `on_expired` is not `"report"`.
    """
    found: ExpiredBefore = {}
    times = source.address.times
    if times is None or times.start_ms is None or not source.backend.live:
        return found
    for topic in source.address.topics:
        info = source.backend.topic(topic)
        by_age = info.retention_ms if info.retention_bytes is None else None
        if by_age is not None and times.start_ms >= time.time() * 1000 - by_age:
            continue
        begun = {
            part.partition: part.start
            for part in source.backend.partitions(topic)
            if part.start and (topic, part.partition) in source.start
        }
        if not begun:
            continue
        oldest, first = (source.backend.offset_for_time(topic, at) for at in (0, times.start_ms))
        for partition, start in begun.items():
            if oldest.get(partition) == first.get(partition):
                found.setdefault(topic, {})[str(partition)] = str(start)
    if found and on_expired == "fail":
        raise OffsetOutOfRange(
            f"records of {describe_slice(source.address)} may have expired: what came before "
            f"{describe_before(found)} has",
            hint=_HINT,
        )
    return found
