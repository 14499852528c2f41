"""Batches of records as the hot tail stores them: columns in msgpack, under one checksum.

A row for every record would make an append of 100 records twice as dear, and reading them too:
what SQLite does for a row costs more than all that is in it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from struct import Struct
from typing import NamedTuple
from zlib import crc32

import msgspec
import polars as pl

#: How a record's kind of time is stored: the number of its name in the frame's type.
CREATE, APPEND, NONE = range(3)

#: A record's bytes in a segment's limits, beside key, value and headers.
RECORD_OVERHEAD = 32

#: Of one stored batch: a reader of a single record unpacks all of its batch.
MOST_RECORDS = 1_000
MOST_BYTES = 256 << 10

_NOTHING = -(1 << 63)
_facts = Struct("<qqqqqqqq").pack

Headers = list[tuple[str, bytes | None]]


class Records(msgspec.Struct, array_like=True, gc=False):
    """Records of one partition, column by column; in a batch an array of these, in this order.

    A time of None is the batch's stamp where the type is `APPEND`, and no time elsewhere.
    Offsets are None where they are consecutive; in a batch they count from its first.
    """

    times: list[int | None]
    types: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers | None] | None = None
    offsets: list[int] | None = None
    epochs: list[int | None] | None = None
    received: list[int | None] | None = None

    def __len__(self) -> int:
        return len(self.times)

    def part(self, first: int, last: int) -> Records:
        """The records from one index up to another."""
        if (first, last) == (0, len(self)):
            return self
        return Records(*(c and c[first:last] for c in msgspec.structs.astuple(self)))

    def pick(self, order: Sequence[int]) -> Records:
        """The records at these indexes."""
        columns = msgspec.structs.astuple(self)
        return Records(*(c and [c[at] for at in order] for c in columns))

    def offset(self, at: int) -> int:
        """Of the record at an index, from the first offset of the batch."""
        return at if self.offsets is None else self.offsets[at]

    def offsets_from(self, base: int) -> Sequence[int]:
        """The offset of each, when the batch's first is `base`."""
        if self.offsets is None:
            return range(base, base + len(self))
        return [base + offset for offset in self.offsets]

    def index(self, offset: int) -> int:
        """Where the first record is that lies `offset` or more from the batch's first offset."""
        if self.offsets is None:
            return min(max(offset, 0), len(self))
        return bisect_left(self.offsets, offset)

    def sizes(self) -> list[int]:
        """The bytes of each, as segment limits count them."""
        columns = [self.keys, self.values]
        sizes = [[0 if blob is None else len(blob) for blob in column] for column in columns]
        if self.headers is not None:
            sizes.append(list(map(_headers_size, self.headers)))
        return [RECORD_OVERHEAD + sum(each) for each in zip(*sizes, strict=True)]

    def size(self) -> int:
        """The bytes of all, as segment limits count them."""
        size = RECORD_OVERHEAD * len(self)
        for column in (self.keys, self.values):
            size += sum(map(len, filter(None, column)))
        return size + (0 if self.headers is None else sum(map(_headers_size, self.headers)))


class Batch(NamedTuple):
    """Packed records: what can be known of them before they have offsets and a stamp."""

    first: int  # its first and last offset, from where the records are to begin
    last: int
    records: int
    size: int
    min_ts: int | None
    max_ts: int | None
    untimed: int  # records without a time, and those of them that are to be stamped
    stamped: int
    content: bytes
    crc: int


def pack(records: Records) -> list[Batch]:
    """Batches of bounded size that hold these records."""
    size = records.size()
    if not records:
        return []
    if len(records) <= MOST_RECORDS and size <= MOST_BYTES:
        return [_pack(records, 0, size)]
    ends = list(accumulate(records.sizes()))
    batches = []
    first = 0
    while first < len(records):
        before = ends[first - 1] if first else 0
        last = min(first + MOST_RECORDS, max(first + 1, bisect_right(ends, before + MOST_BYTES)))
        batches.append(_pack(records.part(first, last), first, ends[last - 1] - before))
        first = last
    return batches


def unpack(content: bytes, stamp: int | None) -> Records:
    """The records of a batch, with their times."""
    records = _decode(content)
    if stamp is not None:
        records.times = [
            stamp if time is None and kind == APPEND else time
            for time, kind in zip(records.times, records.types, strict=True)
        ]
    return records


def checksum(
    content_crc: int,
    first_id: int,
    last_id: int,
    records: int,
    size: int,
    min_ts: int | None,
    max_ts: int | None,
    untimed: int,
    stamp: int | None,
) -> int:
    """A stored batch's CRC-32: over its content, then what its row says about it."""
    oldest = _NOTHING if min_ts is None else min_ts
    newest = _NOTHING if max_ts is None else max_ts
    stamped = _NOTHING if stamp is None else stamp
    facts = _facts(first_id, last_id, records, size, oldest, newest, untimed, stamped)
    return crc32(facts, content_crc)


def read_headers(headers: pl.Series) -> list[Headers | None] | None:
    """Headers as a batch stores them; None where no record has any."""
    if headers.null_count() == len(headers):
        return None
    found = [[(h["name"], h["value"]) for h in row] if row else None for row in headers.to_list()]
    return found if any(found) else None


def _pack(records: Records, first: int, size: int) -> Batch:
    times, types, offsets = records.times, records.types, records.offsets
    untimed = times.count(None)
    known = [t for t in times if t is not None] if untimed else times
    stamped = 0
    if untimed:
        stamped = sum(t is None and k == APPEND for t, k in zip(times, types, strict=True))
    last = first + len(records) - 1
    if offsets is not None:
        first, last = offsets[0], offsets[-1]
        consecutive = last - first + 1 == len(offsets)
        relative = None if consecutive else [offset - first for offset in offsets]
        records = msgspec.structs.replace(records, offsets=relative)
    content = _encode(records)
    return Batch(
        first,
        last,
        len(times),
        size,
        min(known, default=None),  # type: ignore[type-var]
        max(known, default=None),  # type: ignore[type-var]
        untimed,
        stamped,
        content,
        crc32(content),
    )


def _headers_size(headers: Headers | None) -> int:
    return sum(len(name) + len(value or b"") for name, value in headers or ())


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Records).decode
