"""Records as batches of the cluster's format, magic 2 (KIP-98): the way back from `columns`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from workbench.log.kafka.batches import CRC_FROM, HEADER, OVERHEAD
from workbench.log.kafka.codecs import checksum
from workbench.log.kafka.compiled import run

#: The most that a record takes beside its key, value and headers, and a header beside its bytes.
_RECORD_OVERHEAD, _HEADER_OVERHEAD = 36, 10

#: Sequence numbers wrap around here.
SEQUENCES = 1 << 31


class Encoded(NamedTuple):
    """A batch of the rows `[first, last)`, ready to be sent."""

    first: int
    last: int
    data: bytes


def encode(
    records: pl.DataFrame, producer: tuple[int, int], sequence: int, limit: int
) -> Iterator[Encoded]:
    """The records of one partition in batches of at most `limit` bytes, or one record.

    `records` has the schema `APPEND` without nulls among the timestamps; `producer` is id and
    epoch, `sequence` the number of the first record.
    """
    times = records["timestamp"].to_physical().to_numpy()
    keys, values = _flat(records["key"]), _flat(records["value"])
    counts = records["headers"].list.len().fill_null(0).cast(pl.Int32)
    headers = records["headers"].filter(counts > 0).explode()
    names = _flat(headers.struct.field("name").cast(pl.Binary))
    contents = _flat(headers.struct.field("value"))
    rows = records.height
    held = sum(len(part[0]) for part in (keys, values, names, contents))
    # At the worst a batch per record.
    room = held + rows * (_RECORD_OVERHEAD + HEADER.size) + len(headers) * _HEADER_OVERHEAD
    out = np.empty(room, np.uint8)
    starts, firsts = np.zeros(rows + 1, np.int64), np.zeros(rows + 1, np.int64)
    columns = (*keys, *values, counts.to_numpy(), *names, *contents)
    batches = run("encode", rows, (times, *columns, limit), (out, starts, firsts))
    for number in range(batches):
        first, last = int(firsts[number]), int(firsts[number + 1])
        data = out[starts[number] : starts[number + 1]].data
        HEADER.pack_into(
            data,
            0,
            0,  # the leader gives the offset
            len(data) - OVERHEAD,
            -1,
            2,
            0,
            0,
            last - first - 1,
            int(times[first]),
            int(times[first:last].max()),
            *producer,
            (sequence + first) % SEQUENCES,
            last - first,
        )
        # The checksum lies right before what it covers.
        data[CRC_FROM - 4 : CRC_FROM] = checksum(data[CRC_FROM:]).to_bytes(4, "big")
        yield Encoded(first, last, bytes(data))


def _flat(column: pl.Series) -> tuple[Any, Any]:
    """A Binary column as its bytes, side by side, and its sizes, -1 for null."""
    data = b"".join(column.drop_nulls().to_list())
    sizes = column.bin.size().cast(pl.Int64).fill_null(-1)
    return np.frombuffer(data, np.uint8), sizes.to_numpy()
