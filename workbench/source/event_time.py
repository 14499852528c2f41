"""Which time a consumer goes by: the record's timestamp, or a field that the user names."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from workbench.address import Decoding
from workbench.errors import DefinitionError, did_you_mean
from workbench.positions import TopicPartition

#: ISO 8601 as producers write it; what has no zone is UTC.
_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)


def time_column(decoding: Decoding, schema: Mapping[str, pl.DataType], asked: str | None) -> str:
    """The column that holds the time: the one asked for, else the stream's, else `timestamp`.

    Raises DefinitionError when there is no such column, or when it cannot hold a time.
    """
    name = asked
    if name is None and decoding.time is not None:
        renamed = [s.columns[decoding.time] for _, s in decoding.schemas if decoding.time in s]
        name = renamed[0] if renamed else decoding.time
    name = name or "timestamp"
    if name not in schema:
        raise DefinitionError(
            f"no column {name!r} to take the time from", hint=did_you_mean(name, schema)
        )
    dtype = schema[name]
    if not (dtype.is_integer() or isinstance(dtype, pl.Datetime | pl.Date | pl.String)):
        raise DefinitionError(
            f"column {name!r} is {dtype}, which is no time",
            hint="name a Datetime, an ISO 8601 text, or an integer of milliseconds since 1970",
        )
    return name


def epoch_ms(column: str, dtype: pl.DataType) -> pl.Expr:
    """The column as milliseconds since 1970 (Int64); null where a text is no ISO 8601 time."""
    at = pl.col(column)
    if isinstance(dtype, pl.String):
        at = at.map_batches(_parse, return_dtype=pl.Datetime("ms", "UTC"), is_elementwise=True)
        return at.dt.epoch("ms")
    if isinstance(dtype, pl.Datetime | pl.Date):
        return at.cast(pl.Datetime("ms")).dt.epoch("ms")
    return at.cast(pl.Int64)


def _parse(texts: pl.Series) -> pl.Series:
    """Try the forms in turn, each only while a text is left that none before it has read."""
    found = _read(texts, _FORMATS[0])
    for form in _FORMATS[1:]:
        if found.null_count() == texts.null_count():
            break
        found = found.fill_null(_read(texts, form))
    return found


def _read(texts: pl.Series, form: str) -> pl.Series:
    zone = None if form.endswith("z") else "UTC"
    return texts.str.to_datetime(form, time_unit="ms", time_zone=zone, strict=False)


class PartitionClocks:
    """The greatest time seen in each partition, in milliseconds.  For one thread."""

    def __init__(self) -> None:
        self.newest: dict[TopicPartition, int] = {}

    def before(self, frame: pl.DataFrame, time: str) -> pl.Series:
        """Per row the greatest time seen in its partition before it; null where there was none.

        `frame` has `topic`, `partition`, and the column `time` (Int64); each partition's rows are
        in ascending offsets, over all frames.
        """
        where = ["topic", "partition"]
        parts = frame.group_by(where).agg(pl.col(time).max().alias("newest"))
        names = parts.select(pl.col("topic").cast(pl.String), "partition", "newest").rows()
        known = [self.newest.get((topic, partition)) for topic, partition, _ in names]
        for topic, partition, newest in names:
            if newest is not None:
                tp = (topic, partition)
                self.newest[tp] = max(self.newest.get(tp, newest), newest)
        start = parts.select(*where, pl.Series("known", known, pl.Int64))
        earlier = pl.col(time).cum_max().forward_fill().shift(1).over(where)
        return (
            frame.select(*where, time)
            .join(start, on=where, how="left", maintain_order="left")
            .select(pl.max_horizontal("known", earlier).alias("before"))
            .to_series()
        )
