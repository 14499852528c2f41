"""Which windows raise which alert."""

from __future__ import annotations

import polars as pl

from workbench.monitor.definition import SEVERITY, Definition
from workbench.monitor.rows import EVENTS, SPANS


def flagged(rows: pl.DataFrame, plan: Definition) -> pl.DataFrame:
    """A row per alert and window for which it is true, in the order of time.

    Columns: `name`, `severity`, the monitor's, and `SPANS`: the offsets behind the row.
    """
    rated = _with_rates(rows, plan)
    found = [
        rated.filter(alert.condition).select(
            pl.lit(alert.name).alias("name"),
            pl.lit(alert.severity, SEVERITY).alias("severity"),
            *plan.schema,
            SPANS,
        )
        for alert in plan.alerts
    ]
    none = rows.clear().select(
        pl.lit(None, pl.String).alias("name"),
        pl.lit(None, SEVERITY).alias("severity"),
        *plan.schema,
        SPANS,
    )
    return pl.concat([none, *found]).sort("window_start", maintain_order=True)


def _with_rates(rows: pl.DataFrame, plan: Definition) -> pl.DataFrame:
    """Rows with `events` and `per_second`, where no metric has these names."""
    events = pl.col(EVENTS)
    rates = {"events": events, "per_second": events / (plan.windows.size_ms / 1000)}
    return rows.with_columns(**{n: e for n, e in rates.items() if n not in plan.schema})
