"""Quick looks at a topic of any size."""

from __future__ import annotations

import polars as pl

from workbench.errors import InvalidRange
from workbench.positions import Position
from workbench.source.slice import warn_of_unknown_fields
from workbench.source.stream import StreamSource

#: Into how many places a sample is spread per partition.
SAMPLE_PLACES = 8


def tail(stream: StreamSource, n: int, *, raw: bool = False) -> pl.DataFrame:
    """The `n` newest records by timestamp among the last `n` of each partition.

    Reads only the ends.  Ordered by topic, partition, offset.
    """
    _check(n)
    start, end = stream.start(), stream.end()
    reach = n
    while True:
        low = Position({tp: max(start[tp], stop - reach) for tp, stop in end.items()})
        frame = stream.slice(low, end).frame(raw=raw, rest=True)
        # Gaps hold no records: look further back until each partition has given enough.
        found = dict.fromkeys(end, 0)
        for topic, partition, count in frame.group_by("topic", "partition").len().iter_rows():
            found[topic, partition] = count
        if all(low[tp] == start[tp] or found[tp] >= n for tp in end):
            break
        reach *= 4
    newest = frame.sort("timestamp", "partition", "offset", descending=True).head(n)
    return _told(newest.sort(pl.col("topic").cast(pl.String), "partition", "offset"))


def sample(stream: StreamSource, n: int, *, raw: bool = False) -> pl.DataFrame:
    """About `n` records in runs spread evenly over the offsets; the same ones each time.

    Reads little more than it returns, whatever the topic's size.
    """
    _check(n)
    start, end = stream.start(), stream.end()
    total = sum(end[tp] - start[tp] for tp in end)
    if total <= n:
        return stream.slice(start, end).frame(raw=raw)
    frames: list[pl.DataFrame] = []
    for tp, stop in end.items():
        span = stop - start[tp]
        wanted = round(n * span / total)
        places = min(SAMPLE_PLACES, wanted)
        for place in range(places):
            # Floored like the places, so that a run never reaches the next place.
            run = wanted * (place + 1) // places - wanted * place // places
            first = start[tp] + span * place // places
            window = Position({tp: first}), Position({tp: min(first + run, stop)})
            frames.append(stream.slice(*window).frame(raw=raw, rest=True))
    if not frames:
        return stream.slice(end, end).frame(raw=raw)
    return _told(pl.concat(frames, how="diagonal"))


def _told(shown: pl.DataFrame) -> pl.DataFrame:
    """Warn once, of the records that are shown; without what the schema does not know."""
    warn_of_unknown_fields(shown["_rest"])
    return shown.drop("_rest")


def _check(n: int) -> None:
    if not isinstance(n, int) or n < 0:
        raise InvalidRange(f"how many records to show is a whole number, not {n!r}")
