"""Records as they come out of the hot tail, and as a frame."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import polars as pl

from workbench.errors import CorruptData
from workbench.log.embedded.batches import Headers, Records
from workbench.records import HEADERS, RAW, TIMESTAMP, TIMESTAMP_TYPE

_NO_HEADERS = pl.Series("headers", [[]], HEADERS)


class Block:
    """Records of one partition that follow one another, up to the offset `end`.

    Batches that do not match their checksum are left out; `damaged` has the offsets
    `[start, end)` of each.
    """

    __slots__ = ("_some", "damaged", "end", "keys", "offsets", "size", "times", "types", "values")

    def __init__(self, end: int) -> None:
        self.end = end
        self.size = 0
        self.damaged: list[tuple[int, int]] = []
        self.offsets: list[int] = []
        self.times: list[int | None] = []
        self.types: list[int] = []
        self.keys: list[bytes | None] = []
        self.values: list[bytes | None] = []
        #: What few batches have, up to the last record of which it is known.
        self._some: dict[str, list[Any]] = {"headers": [], "epochs": [], "received": []}

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, base: int, records: Records, size: int) -> None:
        """Append records whose offsets count from `base`."""
        for name, column in self._some.items():
            known = getattr(records, name)
            if known is not None:
                column.extend(repeat(None, len(self) - len(column)))
                column.extend(known)
        self.size += size
        self.offsets.extend(records.offsets_from(base))
        self.times.extend(records.times)
        self.types.extend(records.types)
        self.keys.extend(records.keys)
        self.values.extend(records.values)

    def some(self, name: str) -> list[Any]:
        """Headers, epochs or times of receipt, with None where a batch has none."""
        column = self._some[name]
        return [*column, *repeat(None, len(self) - len(column))]


def raw_frame(root: object, topic: str, partition: int, block: Block) -> pl.DataFrame:
    """A block as a frame of the schema `RAW`.

    Raises `CorruptData` when a batch does not match its checksum.
    """
    for start, end in block.damaged:
        raise CorruptData(
            f"{root}: topic {topic}, partition {partition}, offsets [{start}, {end}): "
            "the records do not match their checksum",
            hint="`workbench verify` lists everything that is damaged",
        )
    if not block:
        return pl.DataFrame(schema=RAW)
    return pl.DataFrame(
        [
            pl.Series("partition", [partition], pl.Int32).new_from_index(0, len(block)),
            pl.Series("offset", block.offsets, pl.Int64),
            pl.Series("timestamp", block.times, pl.Int64).cast(TIMESTAMP),
            pl.Series("timestamp_type", block.types, pl.UInt8).cat.to(TIMESTAMP_TYPE),
            pl.Series("key", block.keys, pl.Binary),
            pl.Series("value", block.values, pl.Binary),
            _headers_series(block.some("headers")),
            pl.Series("leader_epoch", block.some("epochs"), pl.Int32),
            pl.Series("recorded_at", block.some("received"), pl.Int64).cast(TIMESTAMP),
        ]
    )


def _headers_series(rows: list[Headers | None]) -> pl.Series:
    if not any(rows):
        return _NO_HEADERS.new_from_index(0, len(rows))
    named = [[{"name": name, "value": value} for name, value in row or ()] for row in rows]
    return pl.Series("headers", named, HEADERS)
