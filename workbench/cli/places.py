"""What commands are given: logs, streams, slices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from workbench.api.connect import connect, sample
from workbench.api.log import Log
from workbench.api.slice import Slice
from workbench.api.stream import Stream
from workbench.errors import InvalidRange
from workbench.positions import Position
from workbench.source.times import When

_SAMPLE = "sample:"


@dataclass(frozen=True, slots=True)
class Place:
    """`LOG#TOPIC` taken apart; without a topic, all of them."""

    log: str
    topics: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `LOG` or `LOG#TOPIC,TOPIC`."""
        log, _, topics = text.rpartition("#") if "#" in text else (text, "", "")
        return cls(log, tuple(name for name in topics.split(",") if name))

    def stream(self, log: Log) -> Stream:
        """The topics as a stream; all of them where none is named."""
        return log.stream(self.topics or "*")


def parse_stream(text: str) -> Place:
    """Read `LOG#TOPIC`, in which the topic has to be."""
    place = Place.parse(text)
    if not place.log or not place.topics:
        log = place.log or "LOG"
        raise typer.BadParameter(
            f"{text!r} is no stream: write {log}#TOPIC; `workbench topics {log}` lists the topics"
        )
    return place


LogName = Annotated[str, typer.Argument(metavar="LOG", help="A folder, profile, or sample:NAME.")]
StreamName = Annotated[
    Place, typer.Argument(metavar="LOG#TOPIC", parser=parse_stream, help="The stream.")
]
AnyPlace = Annotated[
    Place,
    typer.Argument(metavar="LOG[#TOPIC]", parser=Place.parse, help="Of all topics, or of some."),
]
Start = Annotated[
    str, typer.Option(metavar="START", help="Where to start: a time, -1h, earliest, offsets.")
]
End = Annotated[str, typer.Option(metavar="END", help="Where to end: a time, -1h, now, offsets.")]
Keys = Annotated[
    list[str] | None, typer.Option("--key", metavar="KEY", help="Only this key; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


@contextmanager
def opened(name: str, **how: Any) -> Iterator[Log]:
    """A log by folder, profile or `sample:NAME`, closed afterwards."""
    log = sample(name.removeprefix(_SAMPLE)) if name.startswith(_SAMPLE) else connect(name, **how)
    with log:
        yield log


def cut(stream: Stream, start: str, end: str, keys: list[str] | None) -> Slice:
    """The slice that a command is about."""
    whole = stream.between(when(start), when(end))
    return whole.key(keys) if keys else whole


def when(text: str) -> When:
    """A bound of a slice: offsets are JSON, everything else the face understands itself."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        offsets = json.loads(text)
        if all(isinstance(part, dict) for part in offsets.values()):
            return Position.from_dict(offsets)
        return {
            int(partition): int(offset) if isinstance(offset, str) else offset
            for partition, offset in offsets.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRange(
            f"{text!r} is not a position", hint='write {"0": 512}, or {"topic": {"0": "512"}}'
        ) from error
