"""Record batches as columns: the schema `RAW`, a row per record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import polars as pl
from kafka.record import MemoryRecords

from workbench import views
from workbench.errors import CorruptData
from workbench.log.kafka import walk
from workbench.log.kafka.batches import Batch
from workbench.records import HEADERS, RAW, TIMESTAMP, TIMESTAMP_TYPE, empty_raw

#: Kafka's "no timestamp".
NO_TIME = -1
_KINDS = pl.Series(["create", "append", "none"], dtype=TIMESTAMP_TYPE)

#: A record as the client's own decoder gives it: offset, timestamp, whether the broker stamped
#: it, key, value, headers, leader epoch.
Plain = tuple[
    int, int, bool, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int | None
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The records of some batches, and the offsets `[start, end)` of batches that lack some."""

    frame: pl.DataFrame
    thin: tuple[tuple[int, int], ...]

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """Offsets in `[start, end)` within the batches that hold no record: compacted away."""
        holes: list[tuple[int, int]] = []
        offsets = self.frame["offset"].to_numpy()
        for first, last in self.thin:
            low, high = max(first, start), min(last, end)
            inside = offsets[np.searchsorted(offsets, low) : np.searchsorted(offsets, high)]
            bounds = [low - 1, *inside.tolist(), high]
            holes += [(a + 1, b) for a, b in pairwise(bounds) if b > a + 1]
        return holes


def decode(batches: Sequence[Batch], partition: int, start: int, end: int) -> Decoded:
    """The batches' records in `[start, end)`.  Raises CorruptData for a malformed batch."""
    frames = [
        _walked(list(run), partition) if current else _legacy(list(run), partition)
        for (current, _), run in groupby(batches, key=lambda one: (one.magic == 2, id(one.data)))
    ]
    frame = pl.concat(frames) if frames else empty_raw()
    if frame.height and (frame["offset"][0] < start or frame["offset"][-1] >= end):
        frame = frame.filter(pl.col("offset").is_between(start, end, closed="left"))
    thin = (
        (batch.base_offset, batch.last_offset + 1)
        for batch in batches
        if batch.records != batch.last_offset + 1 - batch.base_offset
    )
    return Decoded(frame, tuple(thin))


def frame_of(records: Iterable[Plain], partition: int) -> pl.DataFrame:
    """Records as rows: for what is not decoded by column."""
    rows = list(records)
    return pl.DataFrame(
        {
            "partition": [partition] * len(rows),
            "offset": [row[0] for row in rows],
            "timestamp": [None if row[1] == NO_TIME else row[1] for row in rows],
            "timestamp_type": [
                "none" if row[1] == NO_TIME else "append" if row[2] else "create" for row in rows
            ],
            "key": [row[3] for row in rows],
            "value": [row[4] for row in rows],
            "headers": [[{"name": n, "value": v} for n, v in row[5]] for row in rows],
            "leader_epoch": [row[6] for row in rows],
            "recorded_at": [None] * len(rows),
        },
        schema=RAW,
    )


def _walked(batches: list[Batch], partition: int) -> pl.DataFrame:
    """A run of batches of the current format in one buffer, by column."""
    data = batches[0].data
    for batch in batches:
        if not 0 <= batch.records <= batch.end - batch.start:  # a record takes some bytes
            raise CorruptData(f"the batch at offset {batch.base_offset} is malformed")
    table = np.array(
        [
            (
                batch.start,
                batch.end,
                batch.base_offset,
                batch.first_timestamp,
                batch.max_timestamp if batch.append_time else NO_TIME,
                batch.records,
            )
            for batch in batches
        ],
        np.int64,
    )
    try:
        found = walk.records(data, table)
    except ValueError as error:
        offset = batches[error.args[0]].base_offset
        raise CorruptData(f"the batch at offset {offset} is malformed") from None
    counts = table[:, walk.COUNT]
    timeless = found.times == NO_TIME
    kinds = _repeated([int(batch.append_time) for batch in batches], counts, pl.UInt8())
    times = pl.Series(found.times).cast(TIMESTAMP)
    if timeless.any():
        kinds = kinds.set(pl.Series(timeless), 2)
        times = times.set(pl.Series(timeless), None)
    rows = len(found.offsets)
    return pl.DataFrame(
        {
            "partition": _repeated([partition], np.array([rows]), pl.Int32()),
            "offset": found.offsets,
            "timestamp": times,
            "timestamp_type": _KINDS.gather(kinds),
            "key": _compact(data, found.keys),
            "value": _in_place(data, found.values),
            "headers": _headers(data, found.headers, found.places),
            "leader_epoch": _repeated(
                [batch.leader_epoch for batch in batches], counts, pl.Int32()
            ),
            "recorded_at": pl.repeat(None, rows, dtype=TIMESTAMP, eager=True),
        },
        schema=RAW,
    )


def _repeated(values: Sequence[int], counts: Any, dtype: pl.DataType) -> pl.Series:
    """One value per batch as one per record."""
    if len(set(values)) == 1:
        return pl.Series([values[0]], dtype=dtype).new_from_index(0, int(counts.sum()))
    return pl.Series(np.repeat(np.array(values), counts)).cast(dtype)


def _valid(sizes: Any) -> Any:
    """Which views are not null, or None for all of them; null ones become empty."""
    null = sizes == walk.NULL
    if not null.any():
        return None
    sizes[null] = 0
    return ~null


def _in_place(data: Any, found: Any) -> pl.Series:
    """Views as a Binary column that keeps the whole buffer."""
    valid = _valid(found[:: views.WORDS])
    return views.adopt(found, valid, data)


def _compact(data: Any, found: Any) -> pl.Series:
    """Views as a Binary column with a buffer of its own, if any: it may outlive the others."""
    sizes = found[:: views.WORDS]
    valid = _valid(sizes)
    size = int(sizes[sizes > walk.INLINE].sum(dtype=np.int64))
    return views.adopt(found, valid, walk.compacted(data, found, size) if size else None)


def _pieces(data: Any, starts: Any, sizes: Any) -> pl.Series:
    """Pieces of the buffer as a compact Binary column; null where the size is -1."""
    return _compact(data, walk.pieces(data, starts, sizes))


def _headers(data: Any, counts: Any, places: Any) -> pl.Series:
    """The headers column: an empty list where a record has none."""
    if not counts.any():
        return _no_headers(1 << len(counts).bit_length()).head(len(counts))
    try:
        found = walk.headers(data, counts, places)
    except ValueError as error:
        raise CorruptData(f"the headers of record {error.args[0]} are malformed") from None
    flat = pl.DataFrame(
        {
            "record": found[walk.RECORD],
            "name": _text(_pieces(data, found[walk.NAME], found[walk.NAME_LENGTH])),
            "value": _pieces(data, found[walk.CONTENT], found[walk.CONTENT_LENGTH]),
        }
    )
    listed = flat.group_by("record", maintain_order=True).agg(
        pl.struct("name", "value").alias("headers")
    )
    rows = pl.DataFrame({"record": np.arange(len(counts))})
    joined = rows.join(listed, on="record", how="left", maintain_order="left")["headers"]
    return joined.fill_null(_no_headers(1)).cast(HEADERS)


@lru_cache(maxsize=4)
def _no_headers(rows: int) -> pl.Series:
    """So many empty lists, made once: most records have no headers."""
    return pl.Series([[]], dtype=HEADERS).new_from_index(0, rows)


def _text(names: pl.Series) -> pl.Series:
    """Header names as text; what is not UTF-8 keeps its place with replacement characters."""
    try:
        return names.cast(pl.String)
    except pl.exceptions.PolarsError:
        return pl.Series([name.decode(errors="replace") for name in names], dtype=pl.String)


def _legacy(batches: list[Batch], partition: int) -> pl.DataFrame:
    """Message sets of magic 0 and 1, through the client's own decoder."""
    return frame_of(
        (
            (
                record.offset,
                NO_TIME if record.timestamp is None else record.timestamp,
                record.timestamp_type == 1,
                record.key,
                record.value,
                (),
                None,
            )
            for batch in batches
            for record in MemoryRecords(bytes(batch.data[batch.start : batch.end])).next_batch()
        ),
        partition,
    )
