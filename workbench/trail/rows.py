"""The entity's row before and after each event."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def last_known(events: pl.DataFrame, fields: Sequence[str], tombstone: str) -> pl.DataFrame:
    """The last known value of each field after each event; a tombstone clears them all."""
    life = pl.col(tombstone).cum_sum()
    return events.select(pl.col(field).forward_fill().over(life) for field in fields)


def before_and_after(after: pl.DataFrame, rows: int) -> pl.DataFrame:
    """`before` and `after` (Struct), and `changed`: the names of the fields that differ."""
    if after.width == 0:  # a frame without columns has no rows either
        return pl.select(
            before=pl.repeat(None, rows),
            after=None,
            changed=pl.lit([], dtype=pl.List(pl.String)),
        )
    earlier = pl.all().shift(1)
    changed = [
        pl.when(pl.col(name).ne_missing(pl.col(name).shift(1))).then(pl.lit(name)).alias(name)
        for name in after.columns
    ]
    return after.select(
        before=pl.when(pl.int_range(pl.len()) > 0).then(pl.struct(earlier)),
        after=pl.struct(pl.all()),
        changed=pl.concat_list(changed).list.drop_nulls(),
    )


def of_table(events: pl.DataFrame, known: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """`before`, `after` and `changed` of some events, from all that a table knows of the entity.

    `known` are the table's events in order, `after` its row after each of them.
    """
    place = ["topic", "partition", "offset"]
    rows = known.select(place).hstack(before_and_after(after, known.height))
    joined = events.select(place).join(rows, on=place, how="left", maintain_order="left")
    unknown = pl.struct(pl.lit(None, dtype).alias(name) for name, dtype in after.schema.items())
    return joined.select(
        "before",
        after=pl.when(pl.col("after").is_null()).then(unknown).otherwise("after"),
        changed=pl.col("changed").fill_null([]),
    )
