"""Addresses: where a result came from, as pure data that anyone can read again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from workbench.errors import InvalidRange
from workbench.positions import Position
from workbench.records import Isolation, LogKind
from workbench.schema import Schema

#: A name that `workbench.decode.formats` knows.
Format = str
KeyForm = Literal["text", "bytes"]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How records become columns: decoder name, key form, schema per topic, event-time field."""

    value: Format = "json"
    key: KeyForm = "text"
    schemas: tuple[tuple[str, Schema], ...] = ()
    time: str | None = None

    def schema(self, topic: str) -> Schema | None:
        """The schema of one topic, where one is used."""
        return dict(self.schemas).get(topic)


@dataclass(frozen=True, slots=True)
class TimeFilter:
    """Keep the records whose timestamp is in `[start_ms, end_ms)`; either side may be open.

    `late_ms` says how far beyond the end a Kafka reader looked for late records; None means that
    every record was found (always so on the embedded log).
    """

    start_ms: int | None = None
    end_ms: int | None = None
    late_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """The exact slice that a result came from.

    Offset ranges `[start, end)` per partition are the truth; `times` and `keys` filter what lies
    inside.  `log_id` and the topic ids say which log and which incarnation of each topic is
    meant; `hint` is a place to look, free of secrets.  Immutable; JSON round trip.
    """

    log_id: str
    log_kind: LogKind
    hint: str
    topic_ids: tuple[tuple[str, str], ...]
    start: Position
    end: Position
    times: TimeFilter | None = None
    keys: tuple[bytes, ...] | None = None
    isolation: Isolation = "read_committed"
    decoding: Decoding = field(default_factory=Decoding)
    #: Keep the values that name one of these schemas of a registry.
    schema_ids: tuple[int, ...] | None = None

    @property
    def filtered(self) -> bool:
        """Whether it keeps less than what lies in its offsets."""
        return any(one is not None for one in (self.times, self.keys, self.schema_ids))

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics, in the order of the ids."""
        return tuple(name for name, _ in self.topic_ids)

    @property
    def most_records(self) -> int:
        """An upper bound of the records inside: the distance in offsets."""
        return sum(self.end[tp] - self.start[tp] for tp in self.end)

    def with_range(self, start: Position, end: Position) -> Address:
        """The same address over other offsets."""
        return replace(self, start=start, end=end)

    def unfiltered(self) -> Address:
        """The same offsets without the filters."""
        return replace(self, times=None, keys=None, schema_ids=None)

    def describe_ranges(self) -> str:
        """The offset ranges in one line: `bank 0:[512, 913) 1:[498, 902)`."""
        ends = self.end.by_topic()
        return ", ".join(
            f"{topic} "
            + " ".join(f"{p}:[{self.start[topic, p]}, {end})" for p, end in ends[topic].items())
            for topic in self.topics
            if topic in ends
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form as a dict; 64-bit integers are strings, keys are hex."""
        ends = self.end.by_topic()
        starts = self.start.by_topic()
        data: dict[str, Any] = {
            "version": 1,
            "log": {"id": self.log_id, "kind": self.log_kind, "hint": self.hint},
            "topics": {
                name: {
                    "id": topic_id,
                    "ranges": {
                        str(p): [str(starts[name][p]), str(end)]
                        for p, end in ends.get(name, {}).items()
                    },
                }
                for name, topic_id in self.topic_ids
            },
            "isolation": self.isolation,
            "decoding": {
                "value": self.decoding.value,
                "key": self.decoding.key,
                "time": self.decoding.time,
                "schemas": {
                    topic: {"fingerprint": schema.fingerprint, "fields": schema.to_dict()}
                    for topic, schema in self.decoding.schemas
                },
            },
        }
        if self.times is not None:
            data["times"] = {
                "start_ms": _text(self.times.start_ms),
                "end_ms": _text(self.times.end_ms),
                "late_ms": _text(self.times.late_ms),
            }
        if self.keys is not None:
            data["keys"] = [key.hex() for key in self.keys]
        if self.schema_ids is not None:
            data["schema_ids"] = list(self.schema_ids)
        return data

    def to_json(self) -> str:
        """Compact JSON text."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` gave.  Raises InvalidRange on anything else."""
        try:
            return cls._parse(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidRange(
                f"this is not a slice address: {error!r}", hint="slice.address gives one"
            ) from error

    @classmethod
    def _parse(cls, data: dict[str, Any]) -> Self:
        if data["version"] != 1:
            raise ValueError(f"version {data['version']}")
        start: dict[tuple[str, int], int] = {}
        end: dict[tuple[str, int], int] = {}
        for topic, spec in data["topics"].items():
            for partition, (first, last) in spec["ranges"].items():
                start[topic, int(partition)] = int(first)
                end[topic, int(partition)] = int(last)
        decoding = data["decoding"]
        schemas = tuple(
            (topic, Schema.from_dict(spec["fields"])) for topic, spec in decoding["schemas"].items()
        )
        for topic, schema in schemas:
            stated = decoding["schemas"][topic]["fingerprint"]
            if schema.fingerprint != stated:
                raise ValueError(f"the schema of {topic} does not have the fingerprint {stated}")
        times = data.get("times")
        return cls(
            log_id=data["log"]["id"],
            log_kind=data["log"]["kind"],
            hint=data["log"]["hint"],
            topic_ids=tuple((topic, spec["id"]) for topic, spec in data["topics"].items()),
            start=Position(start),
            end=Position(end),
            times=TimeFilter(**{name: _number(text) for name, text in times.items()})
            if times
            else None,
            keys=tuple(bytes.fromhex(key) for key in data["keys"]) if "keys" in data else None,
            isolation=data["isolation"],
            decoding=Decoding(decoding["value"], decoding["key"], schemas, decoding["time"]),
            schema_ids=tuple(map(int, data["schema_ids"])) if "schema_ids" in data else None,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.  Raises InvalidRange on anything else."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InvalidRange(f"this is not a slice address: {error}") from error
        return cls.from_dict(data)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
