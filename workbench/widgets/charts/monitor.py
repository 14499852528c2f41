"""The chart of a monitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from workbench.monitor import Monitor
from workbench.monitor.definition import Definition, describe_ms
from workbench.monitor.show import as_html, describe, span, where
from workbench.source.display import text
from workbench.source.times import to_ms, within
from workbench.widgets.charts.base import (
    BLUE,
    MOST_POINTS,
    WIDTH,
    Panels,
    StaticChart,
    json_number,
    number_axis,
    picture,
    stack,
    time_axis,
)

#: What a chart draws at most; the rest is said in its subtitle.
MOST_GROUPS = 10
MOST_PANELS = 6

#: From how many rows on their dots are small, and in a picture only those of rows that no line
#: reaches: each is an element of its own, and thousands make megabytes.
_MANY = 400

_SEVERITIES = {"critical": "#c0392b", "warning": "#d98200", "info": "#3a6ea5"}


def monitor_bundle(monitor: Monitor) -> dict[str, str]:
    """What a monitor shows in a notebook: a picture without the facts that the text gives."""
    panels, description, _ = _draw(monitor)
    drawn = picture(stack(panels, description))
    return {"text/plain": repr(monitor), "text/html": as_html(monitor, drawn)}


def monitor_chart(monitor: Monitor) -> StaticChart:
    """A panel per numeric metric over time, a colour per group, alerts circled."""
    panels, description, facts = _draw(monitor)
    return stack(panels, description, _title(monitor), facts)


def _draw(monitor: Monitor) -> tuple[Panels, str, list[str]]:
    """The panels, the words for those who cannot see them, and the facts to go with them."""
    plan = monitor.definition
    metrics = drawn_metrics(plan)
    alerts = within(monitor.alerts())
    numeric = metrics[0] in plan.metrics
    rows, left_out = _shown_windows(monitor.frame() if numeric else monitor.rates(), monitor)
    rows = within(rows)
    facts = [span(rows, monitor), where(monitor), str(monitor.status()), *left_out]
    if len(metrics) < len(plan.metrics):
        facts.append(f"{len(metrics)} of {len(plan.metrics)} metrics drawn")
    values = _window_values(rows, plan, metrics)
    rings = _alert_values(
        alerts.join(rows, on=["window_start", *plan.by], how="semi", nulls_equal=True),
        plan,
        metrics,
    )
    many = len(values) >= _MANY
    datasets = {"windows": values, **({"lone": _lone(values)} if many else {})}
    panels = []
    for number, name in enumerate(metrics):
        circled = [ring for ring in rings if number in ring["panels"]]
        if circled:
            datasets[f"alerts{number}"] = circled
        groups = list(dict.fromkeys(value["group"] for value in values))
        look = _Look(len(metrics), groups, many=many, alerts=bool(circled))
        panels.append(_metric_panel(plan, name, number, look))
    return Panels(panels, datasets), "; ".join([describe(monitor), *facts, _alerts(alerts)]), facts


def drawn_metrics(plan: Definition) -> list[str]:
    """The metrics that have a panel: the numbers, or else how many events there were."""
    numeric = [name for name in plan.metrics if plan.schema[name].is_numeric()]
    return numeric[:MOST_PANELS] or ["events"]


def live_panels(plan: Definition) -> StaticChart:
    """The panels without rows, for data that change: `windows`, and `alerts0` and so on."""
    metrics = drawn_metrics(plan)
    look = _Look(len(metrics), None, many=True, alerts=bool(plan.alerts))
    panels = [_metric_panel(plan, name, number, look) for number, name in enumerate(metrics)]
    return stack(Panels(panels, {}), "")


def live_points(rows: pl.DataFrame, plan: Definition) -> list[dict[str, Any]]:
    """A point per row of a monitor, with an `id` that it keeps when the row changes."""
    metrics = drawn_metrics(plan)
    points = _window_values(rows, plan, metrics)
    return [
        {**point, "id": f"{point['start']} {'middle' in point} {point['group']}"}
        for point in points
    ]


def live_alerts(alerts: pl.DataFrame, rows: pl.DataFrame, plan: Definition) -> list[dict[str, Any]]:
    """A point per alert of a row that is drawn; `panels` are those it is circled in."""
    drawn = alerts.join(rows, on=["window_start", *plan.by], how="semi", nulls_equal=True)
    return _alert_values(drawn, plan, drawn_metrics(plan))


def _shown_windows(rows: pl.DataFrame, monitor: Monitor) -> tuple[pl.DataFrame, list[str]]:
    """The rows that are drawn, and what is not.

    Of many groups, those with alerts, then those with most events; of many windows, the newest.
    """
    groups, facts = list(monitor.definition.by), []
    if groups:
        alarms = monitor.alerts().group_by(groups).agg(pl.len().alias("alarms"))
        first = (
            monitor.rates()
            .group_by(groups, maintain_order=True)
            .agg(pl.col("events").sum())
            .join(alarms, on=groups, how="left", nulls_equal=True, maintain_order="left")
            .sort("alarms", "events", descending=True, nulls_last=True, maintain_order=True)
        )
        if first.height > MOST_GROUPS:
            facts.append(
                f"{MOST_GROUPS} of {first.height:,} groups drawn: "
                "those with alerts, then those with most events"
            )
            rows = rows.join(
                first.head(MOST_GROUPS),
                on=groups,
                how="semi",
                nulls_equal=True,
                maintain_order="left",
            )
    if rows.height > MOST_POINTS:
        facts.append(f"the newest {MOST_POINTS:,} of {rows.height:,} rows drawn")
        rows = rows.tail(MOST_POINTS)
    return rows, facts


def _title(monitor: Monitor) -> str:
    """`bank: volume, events per 10s, every 1s, by kind`."""
    plan = monitor.definition
    windows = f"per {describe_ms(plan.windows.size_ms)}"
    if plan.windows.step_ms != plan.windows.size_ms:
        windows += f", every {describe_ms(plan.windows.step_ms)}"
    by = f", by {', '.join(plan.by)}" if plan.by else ""
    return f"{', '.join(monitor.topics)}: {', '.join(plan.metrics)} {windows}{by}"


def _alerts(alerts: pl.DataFrame) -> str:
    counts = alerts.group_by("name", maintain_order=True).len().rows()
    return "alerts: " + (", ".join(f"{name} {count:,} times" for name, count in counts) or "none")


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


def _lone(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points with a break, or nothing, on both sides within their group."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for value in values:
        groups.setdefault(value["group"], []).append(value)
    lone = []
    for points in groups.values():
        joined = ["middle" in point for point in points]
        around = zip([False, *joined], joined, [*joined[1:], False], strict=False)
        lone += [
            point
            for point, (before, itself, after) in zip(points, around, strict=True)
            if itself and not before and not after
        ]
    return lone


def _point(row: dict[str, Any], plan: Definition, metrics: Sequence[str]) -> dict[str, Any]:
    start, end = to_ms(row["window_start"]), to_ms(row["window_end"])
    return {
        "start": start,
        "middle": (start + end) // 2,
        "end": end,
        "group": _group(row, plan),
        "late": row.get("late", 0),
        **{f"m{n}": json_number(row.get(name)) for n, name in enumerate(metrics)},
    }


def _alert_values(
    alerts: pl.DataFrame, plan: Definition, metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """A point per alert, in the panels of the metrics that its condition looks at.

    Of several on one point, the gravest is drawn last, and so seen.
    """
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
        for row in alerts.sort("severity", maintain_order=True).iter_rows(named=True)
    ]


@dataclass(frozen=True, slots=True)
class _Look:
    """How panels are drawn: how many, for which groups (None: those that come), with what marks."""

    panels: int
    groups: list[str] | None
    many: bool
    alerts: bool

    @property
    def few_dots(self) -> bool:
        """Whether lines have dots only where there is no line."""
        return self.many and self.groups is not None


def _dot_size(look: _Look) -> Any:
    """Few dots are larger; where rows come and go, they follow how many there are."""
    if look.groups is None:
        return alt.ExprRef(f"length(data('windows')) < {_MANY} ? 22 : 7")
    return 22


def _metric_panel(plan: Definition, name: str, number: int, look: _Look) -> Any:
    field = f"m{number}:Q"
    bars = not plan.by and plan.windows.step_ms == plan.windows.size_ms
    x_title = "window start (UTC)" if number == look.panels - 1 else None
    x = time_axis("start", x_title)
    y = alt.Y(field, title=text(name), axis=number_axis())
    tooltip = [
        # A format type is the function of Vega that is called: this one knows no zone of the page.
        alt.Tooltip(
            "start:T", title="window start", format="%Y-%m-%d %H:%M:%S", formatType="utcFormat"
        ),
        alt.Tooltip(field, title=text(name), format=",.6~g"),
        alt.Tooltip("late:Q", title="late"),
    ]
    points = alt.Chart(alt.NamedData("windows"))
    dots = alt.OverlayMarkDef(size=_dot_size(look))
    if plan.by:
        title = text(" · ".join(plan.by))
        tooltip.append(alt.Tooltip("group:N", title=title))
        color = alt.Color(
            "group:N",
            title=title,
            sort=alt.Undefined if look.groups is None else look.groups,
            scale=alt.Scale(scheme="tableau10"),
            legend=alt.Undefined if number == 0 else None,
        )
        drawn = points.mark_line(point=not look.few_dots and dots, strokeWidth=1.4)
        drawn = drawn.encode(x=x, y=y, color=color, tooltip=tooltip)
    elif bars:
        drawn = points.mark_bar(color=BLUE, binSpacing=1)
        drawn = drawn.encode(x=x, x2="end:T", y=y, y2=alt.datum(0), tooltip=tooltip)
    else:
        drawn = points.mark_line(point=not look.few_dots and dots, strokeWidth=1.4)
        drawn = drawn.encode(x=x, y=y, tooltip=tooltip)
    layers = [drawn]
    if look.few_dots and not bars:
        lone = drawn.copy()
        lone.data = alt.NamedData("lone")
        layers.append(lone.mark_point(filled=True, size=22, opacity=1))
    if look.alerts:
        names = [f"{alert.name} ({alert.severity})" for alert in plan.alerts]
        colours = [_SEVERITIES[alert.severity] for alert in plan.alerts]
        layers.append(
            alt.Chart(alt.NamedData(f"alerts{number}"))
            .mark_point(size=130, strokeWidth=2.2, filled=False, opacity=1)
            .encode(
                x=time_axis("middle" if bars else "start", x_title),
                y=y,
                stroke=alt.Stroke(
                    "alert:N", title="alert", scale=alt.Scale(domain=names, range=colours)
                ),
                tooltip=[alt.Tooltip("alert:N", title="alert"), *tooltip],
            )
        )
    return alt.layer(*layers).properties(width=WIDTH, height=260 if look.panels == 1 else 130)
