"""The entity's row before and after each event."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def last_known(events: pl.DataFrame, fields: Sequence[str], tombstone: str) -> pl.DataFrame:
    """The last known value of each field after each event; a tombstone clears them all."""
    life = pl.col(tombstone).cum_sum()
    return events.select(pl.col(field).forward_fill().over(life) for field in fields)


def before_and_after(after: pl.DataFrame) -> pl.DataFrame:
    """`before` and `after` (Struct), and `changed`: the names of the fields that differ."""
    if after.width == 0:
        nothing = pl.Schema(
            {"before": pl.Null(), "after": pl.Null(), "changed": pl.List(pl.String)}
        )
        return nothing.to_frame().clear(after.height)
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
