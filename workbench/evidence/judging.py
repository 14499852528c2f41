"""Whether lines of `records.jsonl` are what their leaves say, many at a time.

What is not, or not for certain, is left to `verify.py`, which names it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import polars as pl

from workbench.evidence.format import leaves
from workbench.evidence.lines import Line, blocks, decode
from workbench.evidence.verify import KINDS, LIMIT
from workbench.positions import TopicPartition

_SALT_BYTES = 32
_HASH_BYTES = 32

_place = attrgetter("topic", "partition")

#: How a partition is named in its records.
Names = Mapping[TopicPartition, bytes]


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one partition that follow each other, each of which matches its leaf."""

    place: TopicPartition
    offsets: array[int]
    leaves: list[bytes]

    def __reduce__(self) -> tuple[object, ...]:
        # Between processes one long text costs a tenth of many short ones.
        return _received, (self.place, self.offsets, b"".join(self.leaves))


def _received(place: TopicPartition, offsets: array[int], joined: bytes) -> Run:
    cut = range(0, len(joined), _HASH_BYTES)
    return Run(place, offsets, [joined[at : at + _HASH_BYTES] for at in cut])


def judge(block: bytes, names: Names) -> list[Run] | None:
    """Whole lines as runs; None where any is not a readable record that matches its leaf."""
    lines = decode(block)
    if lines is None:
        return None
    runs = []
    for place, held in groupby(lines, _place):
        run = _run(place, list(held), names)
        if run is None:
            return None
        runs.append(run)
    return runs


def judge_part(path: Path, start: int, end: int, names: Names) -> list[Run] | None:
    """The lines of a file from one byte to another, as `judge` does it."""
    runs: list[Run] = []
    for block in blocks(path, LIMIT, start, end):
        judged = judge(block, names)
        if judged is None:
            return None
        runs += judged
    return list(_joined(runs))


def _run(place: TopicPartition, lines: list[Line], names: Names) -> Run | None:
    name = names.get(place)
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
    return Run(place, array("q", offsets), made)


def _numbers(texts: list[str]) -> list[int] | None:
    """Integers of 64 bits; None where one is written in another way."""
    written = pl.Series(texts, dtype=pl.String)
    numbers = written.cast(pl.Int64, strict=False)
    return numbers.to_list() if written.equals(numbers.cast(pl.String)) else None


def _joined(runs: Iterable[Run]) -> Iterator[Run]:
    """Runs of which no two neighbours are of one partition."""
    for place, held in groupby(runs, attrgetter("place")):
        first, *others = held
        for other in others:
            first.offsets.extend(other.offsets)
            first.leaves.extend(other.leaves)
        yield Run(place, first.offsets, first.leaves)
