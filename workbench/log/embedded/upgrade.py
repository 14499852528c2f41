"""Logs of format 1, whose hot tail had a row for each record: made into what is written now."""

from __future__ import annotations

from struct import Struct
from typing import Any
from zlib import crc32

import apsw
import msgspec

from workbench.errors import CorruptData
from workbench.log.embedded import batches, hot
from workbench.log.embedded.batches import Headers, Records
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.embedded.layout import BATCH, FORMAT_VERSION, OFFSET_BITS, OFFSET_MASK

_NO_TIME = -(1 << 63)
_ROWS = 1_000
_facts = Struct("<iiiqqb").pack
_more_facts = Struct("<iq").pack
_decode_headers = msgspec.msgpack.Decoder(Headers).decode

#: id, ts, ts_type, key, value, headers, leader_epoch, recorded_at, crc.
_Row = tuple[Any, ...]


def upgrade(catalog: Catalog) -> None:
    """Turn the rows of every hot tail into batches, in one transaction.

    Does nothing for a log that is not of format 1.  Raises `CorruptData` for a record that does
    not match its checksum, and leaves the log as it was.
    """
    with catalog.write() as connection:
        if connection.pragma("user_version") != 1:
            return
        connection.execute(BATCH)
        for pid, hot_start, end in fetch(connection, "SELECT pid, hot_start, next_off FROM part"):
            _pack(catalog, connection, pid)
            _, size, _, _ = hot.totals(connection, pid, hot_start, end)
            connection.execute("UPDATE part SET hot_bytes = ? WHERE pid = ?", (size, pid))
        connection.execute("DROP TABLE record")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _pack(catalog: Catalog, connection: apsw.Connection, pid: int) -> None:
    first, end = pid << OFFSET_BITS, (pid + 1) << OFFSET_BITS
    select = f"SELECT * FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT {_ROWS}"
    while rows := fetch(connection, select, (first, end)):
        for row in rows:
            if _crc(row) != row[-1]:
                raise CorruptData(
                    f"{catalog.root}: offset {row[0] & OFFSET_MASK} of a partition does not match "
                    "its checksum, so that the log of format 1 cannot be upgraded",
                    hint="the version that wrote it names all damage: `workbench verify`",
                )
        hot.store(connection, pid, 0, batches.pack(_records(rows)), None)
        first = rows[-1][0] + 1


def _records(rows: list[_Row]) -> Records:
    columns = list(map(list, zip(*rows, strict=True)))
    ids, times, types, keys, values, headers, epochs, received, _ = columns
    return Records(
        times,
        types,
        keys,
        values,
        [None if packed is None else _decode_headers(packed) for packed in headers],
        [number & OFFSET_MASK for number in ids],
        epochs,
        received,
    )


def _crc(row: _Row) -> int:
    number, time, kind, *blobs, epoch, received, _ = row
    crc = 0
    for blob in blobs:
        crc = crc32(blob or b"", crc)
    lengths = [-1 if blob is None else len(blob) for blob in blobs]
    crc = crc32(_facts(*lengths, number, _NO_TIME if time is None else time, kind), crc)
    if epoch is None and received is None:
        return crc
    facts = (-1 if epoch is None else epoch, _NO_TIME if received is None else received)
    return crc32(_more_facts(*facts), crc)
