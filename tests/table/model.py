"""What a table means, as plain Python over plain dicts: the product is held against this.

There is one order: (timestamp, partition, offset), whatever the order of reading.  A table is a
function of the *set* of records before a position, so nothing here depends on how they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Key = tuple[Any, ...]
Aggregate = Callable[[list[Row]], Any]
RECORD_KEY = ("key",)


@dataclass(frozen=True)
class Event:
    """A record: `value` None is a tombstone, `error` a value that did not decode."""

    partition: int
    offset: int
    timestamp: int
    key: str | None
    value: Mapping[str, Any] | None
    error: bool = False

    @property
    def order(self) -> tuple[int, int, int]:
        return (self.timestamp, self.partition, self.offset)

    @property
    def is_tombstone(self) -> bool:
        return self.value is None and not self.error

    @property
    def row(self) -> Row:
        own = {"key": self.key, "partition": self.partition, "offset": self.offset}
        return own | {"timestamp": self.timestamp} | dict(self.value or {})


def contributions(events: Iterable[Event], by: tuple[str, ...]) -> dict[Key, list[Row]]:
    """Per key the rows that count, in order.

    A record that did not decode never counts.  A tombstone is not a row; where the record key
    alone is asked for it ends what its key had before it, in the one order.  Without a key it
    names no row and ends nothing.
    """
    groups: dict[Key, list[Row]] = {}
    for event in sorted(events, key=lambda e: e.order):
        if event.error:
            continue
        if event.is_tombstone:
            if by == RECORD_KEY and event.key is not None:
                groups.pop((event.key,), None)
            continue
        groups.setdefault(tuple(event.row[name] for name in by), []).append(event.row)
    return groups


def table(
    events: Iterable[Event], by: tuple[str, ...], aggregates: Mapping[str, Aggregate]
) -> dict[Key, Row]:
    """The row of each key."""
    return {
        key: {name: aggregate(rows) for name, aggregate in aggregates.items()}
        for key, rows in contributions(events, by).items()
    }


def latest(events: Iterable[Event]) -> dict[Key, Row]:
    """The last record per record key."""
    return {key: rows[-1] for key, rows in contributions(events, RECORD_KEY).items()}


def fold(
    events: Iterable[Event], by: tuple[str, ...], step: Callable[[Any, Row], Any], initial: Any
) -> dict[Key, Any]:
    """A state machine per key, in the order of partitions and offsets: a tombstone starts anew."""
    states: dict[Key, Any] = {}
    for event in sorted(events, key=lambda e: (e.partition, e.offset)):
        if event.is_tombstone and by == RECORD_KEY and event.key is not None:
            states.pop((event.key,), None)
        if not event.error and not event.is_tombstone:
            key = tuple(event.row[name] for name in by)
            states[key] = step(states.get(key, initial), event.row)
    return states


def counts(events: list[Event], by: tuple[str, ...]) -> dict[str, int]:
    """What was read, and what of it is late, broken, without a key, or a tombstone."""
    late, newest = 0, dict[int, int]()
    for event in sorted(events, key=lambda e: (e.partition, e.offset)):
        late += event.timestamp < newest.get(event.partition, event.timestamp)
        newest[event.partition] = max(newest.get(event.partition, 0), event.timestamp)
    counted = [e for e in events if not e.error and not e.is_tombstone]
    return {
        "records": len(events),
        "undecodable": sum(e.error for e in events),
        "tombstones": sum(e.is_tombstone for e in events),
        "null_keys": sum(any(e.row[name] is None for name in by) for e in counted),
        "late": late,
    }


def before(events: Iterable[Event], position: Mapping[int, int]) -> list[Event]:
    """The prefix of each partition."""
    return [e for e in events if e.offset < position[e.partition]]


def cut(events: list[Event], timestamp: int, partitions: Iterable[int]) -> dict[int, int]:
    """The position of a time: per partition the first offset stamped at or after it."""
    position = {}
    for partition in partitions:
        mine = [e for e in events if e.partition == partition]
        found = [e.offset for e in mine if e.timestamp >= timestamp]
        position[partition] = min(found, default=len(mine))
    return position


def diff(old: Mapping[Key, Row], new: Mapping[Key, Row]) -> dict[Key, str]:
    """Key to what happened to its row."""
    words = dict.fromkeys(new.keys() - old.keys(), "added")
    words |= dict.fromkeys(old.keys() - new.keys(), "removed")
    return words | {k: "changed" for k in old.keys() & new.keys() if old[k] != new[k]}
