"""From a row of a monitor back to the records that made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from workbench.address import TimeFilter
from workbench.positions import Position, TopicPartition
from workbench.source.slice import SliceSource
from workbench.source.stream import StreamSource


def slice_behind(
    source: SliceSource | StreamSource,
    spans: Iterable[Mapping[str, Any]],
    times: TimeFilter | None,
) -> SliceSource:
    """The slice that covers the spans of offsets, cut to the times; the source's filters hold."""
    first: dict[TopicPartition, int] = {}
    last: dict[TopicPartition, int] = {}
    for span in spans:
        tp = (span["topic"], span["partition"])
        first[tp] = min(first.get(tp, span["start"]), span["start"])
        last[tp] = max(last.get(tp, span["end"]), span["end"])
    start, end = Position(first), Position(last)
    if isinstance(source, StreamSource):
        return source.slice(start, end, times=times)
    address = source.address
    touched = start.by_topic()
    return source.narrow(
        replace(
            address,
            topic_ids=tuple(topic for topic in address.topic_ids if topic[0] in touched),
            start=start,
            end=end,
            times=_both(address.times, times),
        )
    )


def _both(outer: TimeFilter | None, inner: TimeFilter | None) -> TimeFilter | None:
    """The times that both filters let through."""
    if outer is None or inner is None:
        return outer or inner
    starts = [ms for ms in (outer.start_ms, inner.start_ms) if ms is not None]
    ends = [ms for ms in (outer.end_ms, inner.end_ms) if ms is not None]
    return TimeFilter(max(starts, default=None), min(ends, default=None), outer.late_ms)
