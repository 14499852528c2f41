"""Records as rows of the hot tail: checksums, headers, and columns in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from struct import Struct
from typing import Any
from zlib import crc32

import apsw
import msgspec
import polars as pl

from workbench.errors import CorruptData
from workbench.log.embedded.catalog import OFFSET_BITS, OFFSET_MASK
from workbench.records import HEADERS, RAW, TIMESTAMP, TIMESTAMP_TYPE

#: One row of the table `record`: id, ts, ts_type, key, value, headers, leader_epoch,
#: recorded_at, crc.
Row = tuple[Any, ...]

INSERT = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
COLUMNS = "id, ts, ts_type, key, value, headers, leader_epoch, recorded_at, crc"

#: How `ts_type` is stored: the number of its name in the frame's type.
CREATE, APPEND, NONE = range(3)

#: A record's bytes in a segment's limits, beside key, value and headers.
ROW_OVERHEAD = 32

_NO_TIME = -(1 << 63)
_lengths = Struct("<iii").pack
_place = Struct("<qqbiq").pack
_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]]).decode

Blobs = Sequence[bytes | None]


def content_crcs(keys: Blobs, values: Blobs, headers: Blobs) -> list[int]:
    """A CRC-32 over each record's lengths (-1 for null), key, value and headers.

    All loops are C loops: this runs for every record that is written or read.
    """
    lengths = map(_lengths, _sizes(keys), _sizes(values), _sizes(headers))
    crcs: Iterable[int] = map(crc32, lengths)
    for blobs in (keys, values, headers):
        crcs = map(crc32, _filled(blobs), crcs)
    return list(crcs)


def record_crcs(
    content: Iterable[int],
    ids: Iterable[int],
    times: Iterable[int | None],
    types: Iterable[int],
    epochs: Iterable[int | None] | None = None,
    received: Iterable[int | None] | None = None,
) -> Iterator[int]:
    """The content's CRCs, continued over partition and offset, times, and leader epoch."""
    places = map(
        _place,
        ids,
        (_NO_TIME if t is None else t for t in times),
        types,
        repeat(-1) if epochs is None else (-1 if e is None else e for e in epochs),
        repeat(_NO_TIME) if received is None else (_NO_TIME if t is None else t for t in received),
    )
    return map(crc32, places, content)


def encode_headers(headers: pl.Series) -> list[bytes | None]:
    """Headers as msgpack: a list of [name, value or null]; None for null."""
    if headers.null_count() == len(headers):
        return [None] * len(headers)
    return [
        None if row is None else _encode_headers([(h["name"], h["value"]) for h in row])
        for row in headers.to_list()
    ]


def sizes(keys: Blobs, values: Blobs, headers: Blobs) -> int:
    """The bytes of some records, as segment limits count them."""
    total = len(keys) * ROW_OVERHEAD
    for blobs in (keys, values, headers):
        total += sum(map(len, _filled(blobs)))
    return total


def take(
    connection: apsw.Connection, pid: int, start: int, end: int, most: int, most_bytes: int
) -> tuple[list[Row], bool]:
    """Rows with offsets in `[start, end)`, and whether a bound stopped short of the end.

    At most `most` rows, and no more after the one that reaches `most_bytes` of values.
    """
    first = pid << OFFSET_BITS
    taken: list[Row] = []
    size = 0
    cursor = connection.execute(
        f"SELECT {COLUMNS} FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (first + start, first + end, most),
    )
    for row in cursor:
        taken.append(row)
        size += len(row[4] or b"")
        if size >= most_bytes:
            break
    cursor.close(True)
    return taken, len(taken) == most or size >= most_bytes


def damaged(rows: Sequence[Row]) -> list[int]:
    """The ids of the rows that do not match their checksum."""
    if not rows:
        return []
    ids, times, types, keys, values, headers, epochs, received, stored = zip(*rows, strict=True)
    crcs = record_crcs(content_crcs(keys, values, headers), ids, times, types, epochs, received)
    return [row for row, want, got in zip(ids, stored, crcs, strict=True) if want != got]


def raw_frame(root: object, topic: str, partition: int, rows: Sequence[Row]) -> pl.DataFrame:
    """Rows of one partition as a frame of the schema `RAW`.

    Raises `CorruptData` when a row does not match its checksum.
    """
    if not rows:
        return pl.DataFrame(schema=RAW)
    for row in damaged(rows):
        raise CorruptData(
            f"{root}: topic {topic}, partition {partition}, offset {row & OFFSET_MASK}: "
            "the record does not match its checksum",
            hint="`workbench verify` lists everything that is damaged",
        )
    ids, times, types, keys, values, headers, epochs, received, _ = zip(*rows, strict=True)
    return pl.DataFrame(
        [
            pl.repeat(partition, len(rows), dtype=pl.Int32, eager=True).alias("partition"),
            pl.Series("offset", ids, pl.Int64) & OFFSET_MASK,
            pl.Series("timestamp", times, pl.Int64).cast(TIMESTAMP),
            pl.Series("timestamp_type", types, pl.UInt8).cat.to(TIMESTAMP_TYPE),
            pl.Series("key", keys, pl.Binary),
            pl.Series("value", values, pl.Binary),
            _headers_series(headers),
            pl.Series("leader_epoch", epochs, pl.Int32),
            pl.Series("recorded_at", received, pl.Int64).cast(TIMESTAMP),
        ]
    )


def _headers_series(blobs: Blobs) -> pl.Series:
    if not any(blobs):
        return pl.Series("headers", [[]], HEADERS).new_from_index(0, len(blobs))
    decoded = [
        [{"name": n, "value": v} for n, v in _decode_headers(blob)] if blob else []
        for blob in blobs
    ]
    return pl.Series("headers", decoded, HEADERS)


def _filled(blobs: Blobs) -> Iterable[bytes]:
    return (b or b"" for b in blobs) if None in blobs else blobs  # type: ignore[return-value]


def _sizes(blobs: Blobs) -> Iterable[int]:
    if None in blobs:
        return (-1 if b is None else len(b) for b in blobs)
    return map(len, blobs)  # type: ignore[arg-type]
