"""Group: a consumer group, as a person looks at it."""

from __future__ import annotations

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
        #: topic, partition, position, end, lag: a distance in offsets, not in records.
        self.lag = lag

    def __repr__(self) -> str:
        total = self.lag["lag"].sum()
        return f"Group {self.name} ({self.state}): lag {total} offsets\n{self.lag}"


def look_at(backend: LogBackend, info: GroupInfo) -> Group:
    """What a log says of a group, with the lag of each partition."""
    ends = {
        (p.topic, p.partition): p.end
        for topic in sorted({topic for topic, _ in info.offsets})
        for p in backend.partitions(topic)
    }
    position = Position(info.offsets)
    lag = pl.DataFrame(
        [(*tp, at, ends[tp], ends[tp] - at) for tp, at in position.items() if tp in ends],
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
