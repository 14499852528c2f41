"""Record batches as columns: the schema `RAW`, a row per record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import polars as pl
from kafka.record import MemoryRecords

from workbench.errors import CorruptData
from workbench.log.kafka import walk
from workbench.log.kafka.batches import Batch
from workbench.records import HEADERS, RAW, TIMESTAMP, TIMESTAMP_TYPE, empty_raw

#: Kafka's "no timestamp".
NO_TIME = -1

#: A record as the client's own decoder gives it: offset, timestamp, whether the broker stamped
#: it, key, value, headers, leader epoch.
Plain = tuple[
    int, int, bool, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int | None
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The records of some batches, and the ranges of offsets that these batches span."""

    frame: pl.DataFrame
    spans: tuple[tuple[int, int], ...]

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """Offsets in `[start, end)` within the batches that hold no record: compacted away."""
        offsets = self.frame["offset"].to_numpy()
        holes: list[tuple[int, int]] = []
        for first, last in self.spans:
            low, high = max(first, start), min(last, end)
            inside = offsets[np.searchsorted(offsets, low) : np.searchsorted(offsets, high)]
            if len(inside) == high - low:
                continue
            bounds = [low - 1, *inside.tolist(), high]
            holes += [(a + 1, b) for a, b in pairwise(bounds) if b > a + 1]
        return holes


def decode(batches: Sequence[Batch], partition: int, start: int, end: int) -> Decoded:
    """The batches' records in `[start, end)`.  Raises CorruptData for a malformed batch."""
    frames = [
        _walked(list(run), partition) if current else _legacy(list(run), partition)
        for current, run in groupby(batches, key=lambda batch: batch.magic == 2)
    ]
    frame = pl.concat(frames) if frames else empty_raw()
    if frame.height and (frame["offset"][0] < start or frame["offset"][-1] >= end):
        frame = frame.filter(pl.col("offset").is_between(start, end, closed="left"))
    return Decoded(frame, tuple((batch.base_offset, batch.last_offset + 1) for batch in batches))


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
    """A run of batches of the current format, by column."""
    data, starts = _joined(batches)
    table = np.array(
        [
            (
                at,
                at + len(batch.data),
                batch.base_offset,
                batch.first_timestamp,
                batch.max_timestamp if batch.append_time else NO_TIME,
                batch.records,
            )
            for at, batch in zip(starts, batches, strict=True)
        ],
        np.int64,
    )
    try:
        found = walk.records(memoryview(data), table, int(table[:, 5].sum()))
    except ValueError as error:
        offset = batches[error.args[0]].base_offset
        raise CorruptData(f"the batch at offset {offset} is malformed") from None
    number = found[walk.BATCH]
    epochs = np.array([batch.leader_epoch for batch in batches], np.int32)[number]
    stamped = np.array([batch.append_time for batch in batches], np.uint8)[number]
    times = found[walk.TIMESTAMP]
    kinds = np.where(times == NO_TIME, 2, stamped)
    whole = pl.Series("data", [data], dtype=pl.Binary)
    frame = pl.DataFrame(
        {
            "partition": pl.repeat(partition, len(number), dtype=pl.Int32, eager=True),
            "offset": found[walk.OFFSET],
            "timestamp": pl.Series(times).cast(TIMESTAMP),
            "timestamp_type": pl.Series(kinds.astype(np.uint8)).replace_strict(
                [0, 1, 2], ["create", "append", "none"], return_dtype=TIMESTAMP_TYPE
            ),
            "key": _cut(whole, found[walk.KEY], found[walk.KEY_LENGTH]),
            "value": _cut(whole, found[walk.VALUE], found[walk.VALUE_LENGTH]),
            "headers": _headers(data, whole, found[walk.HEADERS], found[walk.HEADERS_AT]),
            "leader_epoch": epochs,
            "recorded_at": pl.repeat(None, len(number), dtype=TIMESTAMP, eager=True),
        },
        schema=RAW,
    )
    return (
        frame.with_columns(
            pl.when(pl.col("timestamp_type") != "none").then("timestamp").alias("timestamp")
        )
        if (kinds == 2).any()
        else frame
    )


def _joined(batches: list[Batch]) -> tuple[bytes, list[int]]:
    """The batches' bytes in one piece, and where each begins."""
    starts = np.cumsum([0, *(len(batch.data) for batch in batches)])[:-1]
    return b"".join(batch.data for batch in batches), starts.tolist()


def _cut(whole: pl.Series, starts: Any, lengths: Any) -> pl.Series:
    """Pieces of one buffer as a Binary column; null where the length is -1."""
    pieces = pl.DataFrame({"start": starts, "length": np.maximum(lengths, 0)}).select(
        pl.lit(whole).first().bin.slice("start", "length").alias("piece")
    )["piece"]
    if (lengths >= 0).all():
        return pieces
    kept = pl.DataFrame({"piece": pieces, "kept": lengths >= 0})
    return kept.select(pl.when("kept").then("piece").alias("piece"))["piece"]


def _headers(data: bytes, whole: pl.Series, counts: Any, places: Any) -> pl.Series:
    """The headers column: an empty list where a record has none."""
    empty = pl.Series([[]], dtype=HEADERS)
    if not counts.any():
        return empty.new_from_index(0, len(counts))
    try:
        found = walk.headers(memoryview(data), counts, places)
    except ValueError as error:
        raise CorruptData(f"the headers of record {error.args[0]} are malformed") from None
    flat = pl.DataFrame(
        {
            "record": found[walk.RECORD],
            "name": _text(_cut(whole, found[walk.NAME], found[walk.NAME_LENGTH])),
            "value": _cut(whole, found[walk.CONTENT], found[walk.CONTENT_LENGTH]),
        }
    )
    listed = flat.group_by("record", maintain_order=True).agg(
        pl.struct("name", "value").alias("headers")
    )
    rows = pl.DataFrame({"record": np.arange(len(counts))})
    joined = rows.join(listed, on="record", how="left", maintain_order="left")["headers"]
    return joined.fill_null(empty).cast(HEADERS)


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
            for record in MemoryRecords(bytes(batch.data)).next_batch()
        ),
        partition,
    )
