"""From the records held to one row per window and group."""

from __future__ import annotations

import polars as pl

from workbench.monitor.definition import Definition

#: Of a row, beside the definition's columns: the number of records in it, and the offsets
#: `[start, end)` per partition that hold them.
EVENTS, SPANS = "__events", "__spans"
SPAN = pl.Struct({"topic": pl.String, "partition": pl.Int32, "start": pl.Int64, "end": pl.Int64})

#: Of a held record: its time, the watermark when it was read, and where it is.
TIME, PASSED = "__time", "__passed"
AT = {"__topic": "topic", "__partition": "partition", "__offset": "offset"}
#: Of a record in one of its windows: the window's start.
START = "__start"


def evaluate(
    held: pl.DataFrame,
    plan: Definition,
    first_ms: int | None,
    last_ms: int | None,
    only: pl.Series | None,
) -> pl.DataFrame:
    """The rows of the windows that start in `[first, last]` (and are among `only`).

    Each window's records are taken in the order (time, topic, partition, offset), so that the
    result does not depend on the order in which they were read.
    """
    at, start = pl.col(TIME), pl.col(START)
    inside, wanted = [counts_in(plan.windows.last_start(at), plan)], [counts_in(start, plan)]
    if first_ms is not None:
        inside.append(at >= first_ms)
        wanted.append(start >= first_ms)
    if last_ms is not None:
        inside.append(at < last_ms + plan.windows.size_ms)
        wanted.append(start <= last_ms)
    if only is not None:
        wanted.append(start.is_in(only.implode()))
    pairs = explode(held.filter(inside).sort(TIME, *AT), plan).filter(wanted)
    groups = [START, *plan.by]
    offset = pl.col("__offset")
    spans = pairs.group_by(*groups, "__topic", "__partition", maintain_order=True).agg(
        pl.len().alias(EVENTS), start=offset.min(), end=offset.max() + 1
    )
    topic = pl.col("__topic").cast(pl.String)
    span = pl.struct(topic=topic, partition="__partition", start="start", end="end")
    behind = spans.group_by(groups).agg(pl.col(EVENTS).sum(), span.alias(SPANS))
    rows = pairs.group_by(groups, maintain_order=True).agg(**plan.metrics)
    return rows.join(behind, on=groups, nulls_equal=True).select(
        *window_columns(plan), *plan.by, *plan.metrics, EVENTS, SPANS
    )


def counts_in(start: pl.Expr, plan: Definition) -> pl.Expr:
    """Whether a record came in time to count in the window that starts there."""
    if plan.keep_ms is None:
        return pl.lit(True)
    amendable_until = start + plan.windows.size_ms + plan.keep_ms
    return (amendable_until > pl.col(PASSED)).fill_null(True)


def explode(records: pl.DataFrame, plan: Definition) -> pl.DataFrame:
    """A row per record and window that holds it."""
    starts = plan.windows.starts(pl.col(TIME)).alias(START)
    return records.with_columns(starts).explode(START)


def window_columns(plan: Definition) -> list[pl.Expr]:
    """`window_start` and `window_end`, as people see them."""
    start = pl.from_epoch(START, "ms").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    size = pl.duration(milliseconds=plan.windows.size_ms, time_unit="ms")
    return [start.alias("window_start"), (start + size).alias("window_end")]


def result_types(plan: Definition) -> dict[str, pl.DataType]:
    """Columns and types of a row before late records are added up."""
    return {name: dtype for name, dtype in plan.schema.items() if name != "late"}
