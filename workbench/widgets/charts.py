"""Charts of monitors and trails, and their static form.

Event text reaches a chart as data only: columns get plain names of their own (`m0`, `m1`), since
Vega reads dots and brackets in a field's name, and what is shown of a value is text.
"""

from __future__ import annotations

import base64
import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import altair as alt
import polars as pl

from workbench.monitor import Monitor
from workbench.monitor.definition import Definition
from workbench.monitor.show import as_html as monitor_html
from workbench.monitor.show import describe as describe_monitor
from workbench.monitor.show import where
from workbench.source.display import text
from workbench.source.times import to_ms
from workbench.trail import Trail
from workbench.trail.show import as_html as trail_html
from workbench.trail.show import changes
from workbench.trail.show import describe as describe_trail

#: What a chart draws at most; the rest is said in its subtitle.
MOST_POINTS = 3000
MOST_GROUPS = 10
MOST_PANELS = 6
MOST_FIELDS = 2

WIDTH = 680
_SEVERITIES = {"critical": "#c0392b", "warning": "#d98200", "info": "#3a6ea5"}
_NOTES = {
    "event": ("#3a6ea5", "circle"),
    "late": ("#d98200", "triangle-left"),
    "duplicate": ("#7d4aa3", "diamond"),
    "did not decode": ("#c0392b", "cross"),
}


class StaticChart(alt.VConcatChart):
    """An Altair chart that shows itself as a picture: offline, and in a saved notebook.

    Its `description` is the text for those who cannot see it.
    """

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": self.description, "text/html": picture(self)}


def picture(chart: StaticChart) -> str:
    """The chart as an `<img>` with its description; no script, nothing to load."""
    data = base64.b64encode(to_svg(chart).encode()).decode()
    return (
        f'<img alt="{escape(chart.description)}" style="max-width:100%;background:#fff" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def to_svg(chart: alt.TopLevelMixin) -> str:
    """Any Altair chart as SVG text, without a browser or a network."""
    target = io.StringIO()
    chart.save(target, format="svg")
    return target.getvalue()


def monitor_bundle(monitor: Monitor) -> dict[str, str]:
    """What a monitor shows in a notebook."""
    drawn = picture(monitor_chart(monitor))
    return {"text/plain": repr(monitor), "text/html": monitor_html(monitor, drawn)}


def trail_bundle(trail: Trail) -> dict[str, str]:
    """What a trail shows in a notebook."""
    drawn = picture(trail_chart(trail))
    return {"text/plain": repr(trail), "text/html": trail_html(trail, drawn)}


def monitor_chart(monitor: Monitor) -> StaticChart:
    """A panel per numeric metric over time, a colour per group, alerts circled."""
    plan = monitor.definition
    metrics = [name for name in plan.metrics if plan.schema[name].is_numeric()][:MOST_PANELS]
    rows, facts = _shown_windows(monitor)
    alerts = monitor.alerts()
    facts = [where(monitor), str(monitor.status()), *facts]
    if len(metrics) < len(plan.metrics):
        facts.append(f"{len(metrics)} of {len(plan.metrics)} metrics drawn")
    values = _window_values(rows, plan, metrics)
    rings = _alert_values(alerts, rows, plan, metrics)
    panels = [
        _metric_panel(monitor, name, number, values, rings, tall=len(metrics) == 1)
        for number, name in enumerate(metrics)
    ]
    last = rows["window_end"].max()
    description = (
        f"{describe_monitor(monitor)}: {rows['window_start'].n_unique():,} windows from "
        f"{text(rows['window_start'].min())} to {text(last)} UTC, {alerts.height:,} alerts"
    )
    return _stack(panels, describe_monitor(monitor), facts, description)


def trail_chart(trail: Trail) -> StaticChart:
    """The events on a time line, a lane per partition, and the numbers they changed below it."""
    events = trail.frame().filter(pl.col(trail.time).is_not_null())
    title, *facts = describe_trail(trail).splitlines()
    if events.height > MOST_POINTS:
        facts.append(f"the first {MOST_POINTS:,} of {events.height:,} events drawn")
        events = events.head(MOST_POINTS)
    if events.height < trail.counts.match and events.height < MOST_POINTS:
        facts.append(f"{trail.counts.match - events.height:,} events without a time are not drawn")
    fields = _numbers(events, trail)
    values = [
        {**_event_value(row, trail, fields), "order": number}
        for number, row in enumerate(events.iter_rows(named=True))
    ]
    values += [_error_value(row) for row in trail.undecodable.iter_rows(named=True)]
    panels = [_lanes(values)]
    panels += [_field_panel(name, f"m{n}", values, trail) for n, name in enumerate(fields)]
    return _stack(panels, title, facts, describe_trail(trail).replace("\n", "; "))


def _stack(
    panels: Sequence[Any], title: str, facts: Iterable[str], description: str
) -> StaticChart:
    wrapped = [line for fact in facts for line in _wrap(fact)]
    chart: StaticChart = (
        StaticChart(vconcat=list(panels), spacing=12)
        .resolve_scale(x="shared", color="independent", shape="independent")
        .properties(
            title=alt.TitleParams(title, subtitle=wrapped, anchor="start", offset=10),
            description=description,
        )
        .configure_title(fontSize=14, subtitleFontSize=11, subtitleColor="#555")
        .configure_axis(labelFontSize=11, titleFontSize=11, grid=True, gridColor="#eee")
        .configure_legend(labelFontSize=11, titleFontSize=11, labelLimit=220, symbolLimit=30)
        .configure_view(stroke="#ddd")
    )
    return chart


def _wrap(fact: str, width: int = 118) -> list[str]:
    return textwrap.wrap(fact, width) or [""]


def _shown_windows(monitor: Monitor) -> tuple[pl.DataFrame, list[str]]:
    """The rows that are drawn: the groups with most events, the newest windows; and what is not."""
    plan = monitor.definition
    rows, facts = monitor.frame(), []
    groups = list(plan.by)
    if groups:
        busiest = (
            monitor.rates()
            .group_by(groups, maintain_order=True)
            .agg(pl.col("events").sum())
            .sort("events", descending=True, maintain_order=True)
        )
        if busiest.height > MOST_GROUPS:
            facts.append(
                f"{MOST_GROUPS} of {busiest.height:,} groups drawn, those with most events"
            )
            rows = rows.join(
                busiest.head(MOST_GROUPS), on=groups, how="semi", nulls_equal=True
            ).sort("window_start", *groups)
    if rows.height > MOST_POINTS:
        facts.append(f"the newest {MOST_POINTS:,} of {rows.height:,} rows drawn")
        rows = rows.tail(MOST_POINTS)
    return rows, facts


def _group(row: dict[str, Any], plan: Definition) -> str:
    return " · ".join(text(row[name]) for name in plan.by)


def _window_values(
    rows: pl.DataFrame, plan: Definition, metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """A point per row; where windows without a record lie between two, one that breaks the line."""
    values: list[dict[str, Any]] = []
    last: dict[str, int] = {}
    for row in rows.iter_rows(named=True):
        start, group = to_ms(row["window_start"]), _group(row, plan)
        expected = last.get(group, start - plan.windows.step_ms) + plan.windows.step_ms
        if start > expected:
            values.append({"start": expected, "end": expected, "group": group})
        last[group] = start
        values.append(_point(row, plan, metrics))
    return values


def _point(row: dict[str, Any], plan: Definition, metrics: Sequence[str]) -> dict[str, Any]:
    start, end = to_ms(row["window_start"]), to_ms(row["window_end"])
    return {
        "start": start,
        "end": end,
        "group": _group(row, plan),
        "late": row["late"],
        **{f"m{n}": _number(row[name]) for n, name in enumerate(metrics)},
    }


def _alert_values(
    alerts: pl.DataFrame, rows: pl.DataFrame, plan: Definition, metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """A point per alert, in the panels of the metrics that its condition looks at."""
    keys = ["window_start", *plan.by]
    shown = alerts.join(rows, on=keys, how="semi", nulls_equal=True)
    used = {
        alert.name: [n for n, m in enumerate(metrics) if m in alert.condition.meta.root_names()]
        for alert in plan.alerts
    }
    return [
        {
            **_point(row, plan, metrics),
            "alert": f"{row['name']} ({row['severity']})",
            "panels": used[row["name"]] or [0],
        }
        for row in shown.iter_rows(named=True)
    ]


def _metric_panel(
    monitor: Monitor,
    name: str,
    number: int,
    values: list[dict[str, Any]],
    rings: list[dict[str, Any]],
    *,
    tall: bool,
) -> Any:
    plan = monitor.definition
    field = f"m{number}:Q"
    x = alt.X("start:T", title="window start (UTC)", scale=alt.Scale(type="utc"))
    y = alt.Y(field, title=text(name))
    tooltip = [
        alt.Tooltip("start:T", title="window start", format="%Y-%m-%d %H:%M:%S", formatType="utc"),
        alt.Tooltip(field, title=text(name), format=",.6~g"),
        alt.Tooltip("late:Q", title="late"),
    ]
    points = alt.Chart(alt.InlineData(values=values, name="windows"))
    if plan.by:
        title = text(" · ".join(plan.by))
        tooltip.append(alt.Tooltip("group:N", title=title))
        groups = list(dict.fromkeys(value["group"] for value in values))
        color = alt.Color("group:N", title=title, sort=groups, scale=alt.Scale(scheme="tableau10"))
        drawn = points.mark_line(point=alt.OverlayMarkDef(size=22), strokeWidth=1.6)
        drawn = drawn.encode(x=x, y=y, color=color, tooltip=tooltip)
    elif plan.windows.step_ms == plan.windows.size_ms:
        drawn = points.mark_bar(color="#3a6ea5", binSpacing=1)
        drawn = drawn.encode(x=x, x2="end:T", y=y, tooltip=tooltip)
    else:
        drawn = points.mark_line(point=alt.OverlayMarkDef(size=14), strokeWidth=1.6)
        drawn = drawn.encode(x=x, y=y, tooltip=tooltip)
    layers = [drawn]
    circled = [ring for ring in rings if number in ring["panels"]]
    if circled:
        names = [f"{alert.name} ({alert.severity})" for alert in plan.alerts]
        colours = [_SEVERITIES[alert.severity] for alert in plan.alerts]
        layers.append(
            alt.Chart(alt.InlineData(values=circled, name=f"alerts{number}"))
            .mark_point(size=130, strokeWidth=2.2, filled=False)
            .encode(
                x=x,
                y=y,
                stroke=alt.Stroke(
                    "alert:N", title="alert", scale=alt.Scale(domain=names, range=colours)
                ),
                tooltip=[alt.Tooltip("alert:N", title="alert"), *tooltip],
            )
        )
    return alt.layer(*layers).properties(width=WIDTH, height=260 if tall else 130)


def _numbers(events: pl.DataFrame, trail: Trail) -> list[str]:
    """The fields that are drawn: numbers of the entity's row, fractions before integers."""
    dtype = events.schema["after"]
    if not isinstance(dtype, pl.Struct):
        return []
    types = {name: inner for name, inner in dtype.to_schema().items() if inner.is_numeric()}
    return sorted(types, key=lambda name: types[name].is_integer())[:MOST_FIELDS]


def _event_value(row: dict[str, Any], trail: Trail, fields: Sequence[str]) -> dict[str, Any]:
    note = "event"
    if row["decode_error"] is not None:
        note = "did not decode"
    elif row["duplicate_of"] is not None:
        note = "duplicate"
    elif row["late"]:
        note = "late"
    return {
        "time": to_ms(row[trail.time]),
        "lane": f"{row['topic']} {row['partition']}",
        "place": f"{row['topic']} {row['partition']}:{row['offset']}",
        "note": note,
        "changes": changes(row),
        **{f"m{n}": _number(row["after"][name]) for n, name in enumerate(fields)},
    }


def _error_value(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": to_ms(row["timestamp"]),
        "lane": f"{row['topic']} {row['partition']}",
        "place": f"{row['topic']} {row['partition']}:{row['offset']}",
        "note": "did not decode",
        "changes": text(row["decode_error"]),
    }


def _lanes(values: list[dict[str, Any]]) -> Any:
    colours, shapes = zip(*_NOTES.values(), strict=True)
    lanes = len({value["lane"] for value in values})
    return (
        alt.Chart(alt.InlineData(values=values, name="events"))
        .mark_point(filled=True, size=70, opacity=0.85)
        .encode(
            x=alt.X("time:T", title="time (UTC)", scale=alt.Scale(type="utc")),
            y=alt.Y("lane:N", title="partition"),
            color=alt.Color(
                "note:N", title="event", scale=alt.Scale(domain=list(_NOTES), range=list(colours))
            ),
            shape=alt.Shape(
                "note:N", title="event", scale=alt.Scale(domain=list(_NOTES), range=list(shapes))
            ),
            tooltip=[
                alt.Tooltip("place:N", title="at"),
                alt.Tooltip(
                    "time:T", title="time", format="%Y-%m-%d %H:%M:%S.%L", formatType="utc"
                ),
                alt.Tooltip("note:N", title="note"),
                alt.Tooltip("changes:N", title="changes"),
            ],
        )
        .properties(width=WIDTH, height=max(50, 26 * lanes))
    )


def _field_panel(name: str, field: str, values: list[dict[str, Any]], trail: Trail) -> Any:
    """One number of the entity's row over time: a stair that each event moves."""
    return (
        alt.Chart(alt.InlineData(values=[v for v in values if field in v], name=f"rows-{field}"))
        .mark_line(
            interpolate="step-after",
            point=alt.OverlayMarkDef(size=26),
            color="#3a6ea5",
            strokeWidth=1.5,
        )
        .encode(
            x=alt.X("time:T", title="time (UTC)", scale=alt.Scale(type="utc")),
            y=alt.Y(f"{field}:Q", title=text(name)),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("place:N", title="at"),
                alt.Tooltip(f"{field}:Q", title=text(name), format=",.6~g"),
                alt.Tooltip("changes:N", title="changes"),
            ],
        )
        .properties(width=WIDTH, height=120)
    )


def _number(value: Any) -> float | int | None:
    """A JSON number: what JavaScript cannot hold exactly is drawn to the nearest."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
