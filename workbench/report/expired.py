"""What retention has left of a slice, and what it has taken before it could be reported."""

from __future__ import annotations

from typing import Literal

from workbench.errors import OffsetOutOfRange
from workbench.positions import Position
from workbench.report.describe import describe_expired
from workbench.source.slice import SliceSource

OnExpired = Literal["fail", "report"]
#: Offsets `[start, end)` by topic and partition, as text.
Expired = dict[str, dict[str, list[str]]]


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
            hint='on_expired="report" (--on-expired=report) reports what is left, and says what is '
            "not",
        )
    return source.cut(start=first), expired
