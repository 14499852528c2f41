"""Group: a consumer group, as a person looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from workbench.log.protocol import LogBackend
from workbench.positions import Position
from workbench.records import GroupInfo


class Group:
    """A consumer group as it was when it was asked for.  Looking does not touch it."""

    def __init__(
        self, name: str, state: str, members: pl.DataFrame, position: Position, lag: pl.DataFrame
    ) -> None:
        self.name = name
        #: What the log says of it, for example `Stable` or `Empty`.
        self.state = state
        #: member, client, host, topic, partition: a row per partition held.
        self.members = members
        #: Per partition the next offset it would read.
        self.position = position
        #: topic, partition, position, end, lag: a distance in offsets, not in records.  End and
        #: lag are null where the topic is gone or may not be seen.
        self.lag = lag

    def __repr__(self) -> str:
        total = self.lag["lag"].sum()
        return f"Group {self.name} ({self.state}): lag {total} offsets\n{self.lag}"


def ends_of(backend: LogBackend, groups: Iterable[GroupInfo]) -> dict[tuple[str, int], int]:
    """The ends of the partitions that groups have positions in, where they can be seen.

    A handful of requests, however many topics there are.
    """
    read = {topic for group in groups for topic, _ in group.offsets}
    # A group may have read what is gone by now, or what this user may not see.
    there = [info.name for info in backend.topics() if info.name in read]
    return {
        (info.name, part.partition): part.end
        for info, parts in backend.details(there)
        for part in parts
    }


def look_at(info: GroupInfo, ends: Mapping[tuple[str, int], int]) -> Group:
    """What a log says of a group, with the lag of each partition; null where it has no end."""
    position = Position(info.offsets)
    lag = pl.DataFrame(
        [
            (*tp, at, ends.get(tp), ends[tp] - at if tp in ends else None)
            for tp, at in position.items()
        ],
        schema={
            "topic": pl.String,
            "partition": pl.Int32,
            "position": pl.Int64,
            "end": pl.Int64,
            "lag": pl.Int64,
        },
        orient="row",
    )
    members = pl.DataFrame(
        [(m.id, m.client, m.host, *tp) for m in info.members for tp in m.partitions],
        schema={
            "member": pl.String,
            "client": pl.String,
            "host": pl.String,
            "topic": pl.String,
            "partition": pl.Int32,
        },
        orient="row",
    )
    return Group(info.name, info.state, members, position, lag)
