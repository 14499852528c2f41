"""One pass over a slice for the records of one entity."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workbench.records import COORDINATES, RAW_COLUMNS
from workbench.source.event_time import PartitionClocks, epoch_ms
from workbench.source.slice import SliceSource

#: How many records that did not decode are kept to be shown; all are counted.
KEPT_ERRORS = 1000

#: The scan's own columns: the event's time in milliseconds, whether an earlier offset of its
#: partition has a later time, whether its value was null.
TIME, LATE, TOMBSTONE = "__time", "__late", "__tombstone"


@dataclass(frozen=True, slots=True)
class Counts:
    """Three outcomes of asking each record of a slice whether it is about the entity.

    `error` counts those that did not decode, so that it cannot be known.
    """

    match: int
    no_match: int
    error: int


@dataclass(frozen=True, slots=True)
class Scan:
    """The matching records with the scan's own columns, and some of those that did not decode."""

    events: pl.DataFrame
    undecodable: pl.DataFrame
    counts: Counts


def scan(source: SliceSource, entity: pl.Expr, by: str, time: str) -> Scan:
    """Read the slice once, in bounded memory."""
    schema = source.schema
    in_payload = by not in COORDINATES
    failed = pl.col("decode_error").is_not_null() if in_payload else pl.lit(False)
    own = {TIME: pl.Int64(), LATE: pl.Boolean(), TOMBSTONE: pl.Boolean()}
    events = [pl.DataFrame(schema={**schema, **own})]
    undecodable = [pl.DataFrame(schema={n: schema[n] for n in (*COORDINATES, "decode_error")})]
    match = no_match = error = 0
    clocks = PartitionClocks()
    # Only where the key names the entity can a record without a value be about it.
    for batch in source.batches(raw=not in_payload):
        records = batch.with_columns(pl.lit(False).alias(TOMBSTONE))
        if not in_payload:
            # Raw columns push aside payload fields of their names, which now come back; only bytes
            # have none beside the raw value.
            payload = [name for name in batch.columns if name not in RAW_COLUMNS]
            same = source.address.decoding.value == "bytes"
            records = batch.select(schema.names() if same else payload)
            records.columns = schema.names()
            records = records.with_columns(batch["value"].is_null().alias(TOMBSTONE))
        records = records.with_columns(epoch_ms(time, schema[time]).alias(TIME))
        late = pl.col(TIME) < clocks.before(records, TIME)
        records = records.with_columns(late.fill_null(False).alias(LATE))
        errors = records.filter(failed)
        matches = records.filter(~failed, pl.col(by) == entity)
        match, error = match + matches.height, error + errors.height
        no_match += records.height - matches.height - errors.height
        events.append(matches.select(events[0].columns))
        room = KEPT_ERRORS - sum(frame.height for frame in undecodable)
        undecodable.append(errors.select(undecodable[0].columns).head(room))
    return Scan(pl.concat(events), pl.concat(undecodable), Counts(match, no_match, error))
