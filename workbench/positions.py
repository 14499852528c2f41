"""Positions: per (topic, partition), the next offset to read."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Self

TopicPartition = tuple[str, int]


class Position(Mapping[TopicPartition, int]):
    """An immutable map from (topic, partition) to the next offset to read.

    It is the resume token of everything that reads: a reader that continues from a position sees
    exactly the records that the reader before it has not seen.  Hashable, ordered by topic and
    partition, safe to share between threads.

    Examples
    --------
    >>> p = Position({("bank", 1): 7, ("bank", 0): 512})
    >>> p
    Position(bank 0:512 1:7)
    >>> Position.from_json(p.to_json()) == p
    True
    """

    __slots__ = ("_offsets",)

    def __init__(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        items = sorted((offsets or {}).items())
        for (topic, partition), offset in items:
            if offset < 0:
                raise ValueError(f"a position cannot be negative: {topic} {partition}:{offset}")
        self._offsets: dict[TopicPartition, int] = dict(items)

    def __getitem__(self, key: TopicPartition) -> int:
        return self._offsets[key]

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    # Tables compare positions by the hundred: those of a Mapping are looked up offset by offset.

    def items(self) -> ItemsView[TopicPartition, int]:
        """The offsets with their topics and partitions, in order."""
        return self._offsets.items()

    def values(self) -> ValuesView[int]:
        """The offsets, in the order of topics and partitions."""
        return self._offsets.values()

    def __eq__(self, other: object) -> bool:
        return self._offsets == (other._offsets if isinstance(other, Position) else other)

    def __hash__(self) -> int:
        return hash(tuple(self._offsets.items()))

    def __repr__(self) -> str:
        return f"Position({self.describe()})"

    def describe(self) -> str:
        """One line of text: `bank 0:512 1:7, orders 0:3`."""
        return ", ".join(
            f"{topic} " + " ".join(f"{partition}:{offset}" for partition, offset in parts.items())
            for topic, parts in self.by_topic().items()
        )

    def by_topic(self) -> dict[str, dict[int, int]]:
        """The same as a dict of dicts: topic, then partition, then offset."""
        nested: dict[str, dict[int, int]] = {}
        for (topic, partition), offset in self._offsets.items():
            nested.setdefault(topic, {})[partition] = offset
        return nested

    def merge(self, other: Mapping[TopicPartition, int]) -> Position:
        """A position in which `other` replaces what both name."""
        return Position({**self._offsets, **other})

    def to_json(self) -> str:
        """JSON text; offsets are strings, since JavaScript numbers cannot hold them."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_dict(self) -> dict[str, dict[str, str]]:
        """The JSON form as a dict: `{"bank": {"0": "512"}}`."""
        return {
            topic: {str(partition): str(offset) for partition, offset in parts.items()}
            for topic, parts in self.by_topic().items()
        }

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.  Raises ValueError on anything else."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, str]]) -> Self:
        """Read what `to_dict` gave."""
        return cls(
            {
                (topic, int(partition)): int(offset)
                for topic, parts in data.items()
                for partition, offset in parts.items()
            }
        )
