"""A monitor as text and tables."""

from __future__ import annotations

from datetime import UTC
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from workbench.monitor.definition import describe_ms
from workbench.source.display import html_block, html_table, text
from workbench.source.slice import SliceSource
from workbench.source.times import describe_span, readable

if TYPE_CHECKING:
    from workbench.monitor.monitor import Monitor

#: How many windows a saved notebook shows: the newest.
_SHOWN = 20
_COLOURS = {"critical": "#f8c9c4", "warning": "#fbe3b5", "info": "#d5e4f7"}


def describe(monitor: Monitor) -> str:
    """One line: what is computed over what, and how far it has come."""
    plan = monitor.definition
    windows = f"window={describe_ms(plan.windows.size_ms)}"
    if plan.windows.step_ms != plan.windows.size_ms:
        windows += f" every={describe_ms(plan.windows.step_ms)}"
    by = f" by={','.join(plan.by)}" if plan.by else ""
    metrics = f" metrics={','.join(plan.metrics)}"
    alerts = f" alerts={','.join(a.name for a in plan.alerts)}" if plan.alerts else ""
    return f"Monitor {','.join(monitor.topics)}  {windows}{by}{metrics}{alerts}"


def where(monitor: Monitor) -> str:
    """The slice behind a monitor: topics, offsets, times."""
    if not isinstance(monitor.source, SliceSource):
        return f"{', '.join(monitor.topics)}, live"
    address = monitor.source.address
    ranges = text(address.describe_ranges())
    if address.times is None:
        return ranges
    return f"{ranges}  {describe_span(address.times.start_ms, address.times.end_ms, UTC)}"


def span(rows: pl.DataFrame, monitor: Monitor) -> str:
    """How many windows there are, from when to when; where there are none, why."""
    windows = rows["window_start"].n_unique()
    if windows == 0:
        return "no window has closed yet" if monitor.status().events else "no events yet"
    ends = readable(rows.select(pl.col("window_start").min(), pl.col("window_end").max()))
    first, last = ends.row(0)
    return f"{windows:,} windows, {text(first)} .. {text(last)} UTC"


def as_html(monitor: Monitor, picture: str = "") -> str:
    """What a saved notebook shows: the picture, the newest windows, the alerts."""
    rows, alerts = monitor.frame(), monitor.alerts()
    facts = [span(rows, monitor), where(monitor), str(monitor.status())]
    parts = [f"<p>{'<br>'.join(map(escape, facts))}</p>"]
    if rows.is_empty():
        return html_block(describe(monitor), parts)
    parts.append(picture)
    if alerts.height:
        parts.append(
            html_table(
                alerts.drop("address"),
                caption='Alerts; alerts()["address"] has the slice behind each',
                rows=_SHOWN,
                marks={n: _COLOURS[s] for n, s in enumerate(alerts["severity"])},
            )
        )
    older = max(rows.height - _SHOWN, 0)
    caption = "Windows" + (f", the newest {_SHOWN} of {rows.height:,} rows" if older else "")
    parts.append(html_table(rows.tail(_SHOWN), caption=caption))
    return html_block(describe(monitor), parts)
