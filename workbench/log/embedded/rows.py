"""Records as rows of the hot tail: checksums, headers, and columns in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from struct import Struct
from typing import Any
from zlib import crc32

import apsw
import msgspec
import polars as pl

from workbench.errors import CorruptData
from workbench.log.embedded.layout import OFFSET_BITS, OFFSET_MASK
from workbench.records import HEADERS, RAW, TIMESTAMP, TIMESTAMP_TYPE

#: One row of the table `record`: id, ts, ts_type, key, value, headers, leader_epoch,
#: recorded_at, crc.
Row = tuple[Any, ...]

INSERT = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: Rows of one statement: by tens they take a tenth less time than one by one, and not less by more.
_TOGETHER = 20
COLUMNS = "id, ts, ts_type, key, value, headers, leader_epoch, recorded_at, crc"

#: How `ts_type` is stored: the number of its name in the frame's type.
CREATE, APPEND, NONE = range(3)

#: A record's bytes in a segment's limits, beside key, value and headers.
ROW_OVERHEAD = 32

_APPENDED = ("id", "ts", "ts_type", "key", "value", "crc")
_WITH_HEADERS = (*_APPENDED[:-1], "headers", "crc")


def _insertion(columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO record ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


#: The statements for some rows and for one, of records without headers and with them.
_INSERTIONS = [
    (_insertion(columns, _TOGETHER), _insertion(columns, 1))
    for columns in (_APPENDED, _WITH_HEADERS)
]

_NO_TIME = -(1 << 63)
_NO_HEADERS = pl.Series("headers", [[]], HEADERS)
_facts = Struct("<iiiqqb").pack
_more_facts = Struct("<iq").pack
_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]]).decode

Blobs = Sequence[bytes | None]
Insertion = tuple[str, Sequence[Any]]


class Content:
    """Keys, values and headers of some records, with their lengths and a CRC-32 over them.

    All loops here are C loops: they run for every record that is written or read.
    """

    __slots__ = ("_crcs", "_lengths", "bytes", "columns", "has_headers")

    def __init__(self, keys: Blobs, values: Blobs, headers: Blobs) -> None:
        self.columns = (keys, values, headers)
        self._lengths: list[list[int]] = []
        #: Of all records, as segment limits count them.
        self.bytes = len(keys) * ROW_OVERHEAD
        crcs: Iterable[int] = repeat(0, len(keys))
        for blobs in self.columns:
            lengths, nulls = _lengths(blobs)
            self._lengths.append(lengths)
            self.bytes += sum(lengths) + nulls
            if nulls < len(lengths):
                crcs = map(crc32, [b or b"" for b in blobs] if nulls else blobs, crcs)  # type: ignore[arg-type]
        self._crcs = list(crcs)
        #: Whether a record has some.
        self.has_headers = self._lengths[2].count(-1) < len(keys)

    def bytes_of(self, rows: slice) -> int:
        """The bytes of some of the records."""
        picked = [lengths[rows] for lengths in self._lengths]
        return len(picked[0]) * ROW_OVERHEAD + sum(sum(ls) + ls.count(-1) for ls in picked)

    def record_crcs(
        self,
        ids: Iterable[int],
        times: Sequence[int | None],
        types: Iterable[int],
        epochs: Sequence[int | None] = (),
        received: Sequence[int | None] = (),
    ) -> Iterator[int]:
        """Each record's CRC-32: over the content, then its lengths (-1 for null) and facts.

        Leader epoch and time of receipt follow where a record has one of them.
        """
        known = [_NO_TIME if t is None else t for t in times] if None in times else times
        facts = map(_facts, *self._lengths, ids, known, types)
        crcs = map(crc32, facts, self._crcs)
        if epochs.count(None) == len(epochs) and received.count(None) == len(received):
            return crcs
        return (
            crc
            if epoch is None and time is None
            else crc32(
                _more_facts(-1 if epoch is None else epoch, _NO_TIME if time is None else time), crc
            )
            for crc, epoch, time in zip(crcs, epochs, received, strict=True)
        )


def bind(
    content: Content, ids: Sequence[int], times: Sequence[int | None], types: Sequence[int]
) -> list[Insertion]:
    """The statements that write appended records, each with its checksum, and their values."""
    crcs = content.record_crcs(ids, times, types)
    some, one = _INSERTIONS[content.has_headers]
    columns = content.columns if content.has_headers else content.columns[:2]
    rows = zip(ids, times, types, *columns, crcs, strict=True)
    tens = [
        (some, list(chain.from_iterable(islice(rows, _TOGETHER))))
        for _ in range(len(ids) // _TOGETHER)
    ]
    return [*tens, *((one, row) for row in rows)]


def _lengths(blobs: Blobs) -> tuple[list[int], int]:
    """The length of each, -1 for null, and the number of nulls."""
    if blobs and blobs[0] is None and blobs.count(None) == len(blobs):  # headers, as a rule
        return [-1] * len(blobs), len(blobs)
    try:
        return list(map(len, blobs)), 0  # type: ignore[arg-type]
    except TypeError:  # looking for nulls first would take longer than the lengths
        lengths = [-1 if blob is None else len(blob) for blob in blobs]
        return lengths, lengths.count(-1)


def encode_headers(headers: pl.Series) -> list[bytes | None]:
    """Headers as msgpack: a list of [name, value or null]; None where there are none."""
    if headers.null_count() == len(headers):
        return [None] * len(headers)
    return [
        _encode_headers([(h["name"], h["value"]) for h in row]) if row else None
        for row in headers.to_list()
    ]


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


def size(rows: Sequence[Row]) -> int:
    """The bytes of some rows, as segment limits count them."""
    return sum(
        ROW_OVERHEAD + len(key or b"") + len(value or b"") + len(headers or b"")
        for _, _, _, key, value, headers, *_ in rows
    )


def damaged(rows: Sequence[Row]) -> list[int]:
    """The ids of the rows that do not match their checksum."""
    if not rows:
        return []
    ids, times, types, keys, values, headers, epochs, received, stored = zip(*rows, strict=True)
    crcs = Content(keys, values, headers).record_crcs(ids, times, types, epochs, received)
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
            pl.Series("partition", [partition], pl.Int32).new_from_index(0, len(rows)),
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
        return _NO_HEADERS.new_from_index(0, len(blobs))
    decoded = [
        [{"name": n, "value": v} for n, v in _decode_headers(blob)] if blob else []
        for blob in blobs
    ]
    return pl.Series("headers", decoded, HEADERS)
