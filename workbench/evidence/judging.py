"""Whether lines of `records.jsonl` are what their leaves say, many at a time.

What is not, or not for certain, is left to `verify.py`, which names it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from workbench.evidence.format import leaves
from workbench.evidence.lines import Line, blocks, decode
from workbench.evidence.verify import KINDS
from workbench.positions import TopicPartition

_SALT_BYTES = 32
_HASH_BYTES = 32

_place = attrgetter("topic", "partition")

_integers = msgspec.json.Decoder(list[Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]])

#: How a partition is named in its records.
Names = Mapping[TopicPartition, bytes]


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one partition that follow each other, each of which matches its leaf."""

    place: TopicPartition
    offsets: list[int]
    leaves: list[bytes]

    def __reduce__(self) -> tuple[object, ...]:
        # Between processes one long text costs a tenth of many short ones.
        return _received, (self.place, array("q", self.offsets), b"".join(self.leaves))


def _received(place: TopicPartition, offsets: array[int], joined: bytes) -> Run:
    cut = range(0, len(joined), _HASH_BYTES)
    return Run(place, offsets.tolist(), [joined[at : at + _HASH_BYTES] for at in cut])


def judge(block: bytes, names: Names) -> list[Run] | None:
    """Whole lines as runs; None where any is not a readable record that matches its leaf."""
    lines = decode(block)
    if lines is None:
        return None
    runs = []
    while lines:
        place = _place(lines[0])
        end = bisect_right(lines, place, key=_place)
        run = _run(place, lines[:end], names)
        if run is None:
            return None
        runs.append(run)
        lines = lines[end:]
    return runs


def judge_part(path: Path, start: int, end: int, names: Names) -> list[Run] | None:
    """The lines of a file from one byte to another, as `judge` does it."""
    runs: list[Run] = []
    for block in blocks(path, start, end):
        judged = judge(block, names)
        if judged is None:
            return None
        runs += judged
    return list(_joined(runs))


def _run(place: TopicPartition, lines: list[Line], names: Names) -> Run | None:
    name = names.get(place)
    topics, partitions = [line.topic for line in lines], [line.partition for line in lines]
    if (topics.count(place[0]), partitions.count(place[1])) != (len(lines), len(lines)):
        return None  # lines that are not in order
    offsets = _numbers([line.offset for line in lines])
    times = _numbers([line.timestamp_ms for line in lines])
    salts = [line.salt for line in lines]
    if name is None or offsets is None or times is None:
        return None
    if any(len(salt) != _SALT_BYTES for salt in [salt for salt in salts if salt is not None]):
        return None
    made = leaves(
        name,
        offsets,
        [KINDS[line.timestamp_type] for line in lines],
        times,
        [line.key for line in lines],
        [line.value for line in lines],
        [line.headers for line in lines],
        salts,
    )
    if list(map(bytes.hex, made)) != [line.leaf for line in lines]:
        return None
    return Run(place, offsets, made)


def _numbers(texts: list[str]) -> list[int] | None:
    """Integers of 64 bits; None where one is written in another way."""
    joined = f"[{','.join(texts)}]".encode()
    try:
        numbers = _integers.decode(joined)
    except msgspec.DecodeError:
        return None
    same = len(numbers) == len(texts) and msgspec.json.encode(numbers) == joined
    return numbers if same else None


def _joined(runs: Iterable[Run]) -> Iterator[Run]:
    """Runs of which no two neighbours are of one partition."""
    for place, held in groupby(runs, attrgetter("place")):
        first, *others = held
        for other in others:
            first.offsets.extend(other.offsets)
            first.leaves.extend(other.leaves)
        yield Run(place, first.offsets, first.leaves)
