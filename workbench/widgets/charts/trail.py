"""The chart of a trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import polars as pl

from workbench.positions import Position
from workbench.source.display import text
from workbench.source.times import to_ms, within
from workbench.trail import Trail
from workbench.trail.show import as_html, changes, describe
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

#: How many numbers of the entity's row are drawn.
MOST_FIELDS = 2

_NOTES = {
    "event": (BLUE, "circle"),
    "late": ("#d98200", "triangle-left"),
    "duplicate": ("#7d4aa3", "diamond"),
    "did not decode": ("#c0392b", "cross"),
}


def trail_bundle(trail: Trail, played: Position | None = None) -> dict[str, str]:
    """What a trail shows in a notebook; where it is played, as of the player's position."""
    panels, _ = _draw(trail)
    if played is not None:
        panels = _as_played(panels, played)
    drawn = picture(stack(panels, _description(trail)))
    return {"text/plain": repr(trail), "text/html": as_html(trail, drawn, played)}


def _as_played(panels: Panels, played: Position) -> Panels:
    """What is to come is grey, and its numbers are not drawn."""

    def coming(value: dict[str, Any]) -> bool:
        lane, _, offset = value["place"].rpartition(":")
        topic, _, partition = lane.rpartition(" ")
        return int(offset) >= played.get((topic, int(partition)), 0)

    datasets = {
        name: [row for row in rows if not coming(row)] for name, rows in panels.datasets.items()
    }
    events = [row | {"future": coming(row)} for row in panels.datasets["events"]]
    return replace(panels, datasets={**datasets, "events": events})


def trail_chart(trail: Trail) -> StaticChart:
    """The events on a time line, a lane per partition, and the numbers they changed below it."""
    panels, left_out = _draw(trail)
    title, *facts = describe(trail).splitlines()
    return stack(panels, _description(trail), title, [*facts, *left_out])


def _draw(trail: Trail) -> tuple[Panels, list[str]]:
    """The panels, and what is not in them."""
    facts = []
    events = within(trail.frame()).filter(pl.col(trail.time).is_not_null())
    if events.height < trail.counts.match:
        facts.append(f"{trail.counts.match - events.height:,} events without a time are not drawn")
    if events.height > MOST_POINTS:
        facts.append(f"the first {MOST_POINTS:,} of {events.height:,} events drawn")
        events = events.head(MOST_POINTS)
    fields = _numbers(events)
    values = [
        {**_event_value(row, trail, fields), "order": place}
        for place, row in enumerate(events.iter_rows(named=True))
    ]
    values += [_error_value(row) for row in within(trail.undecodable).iter_rows(named=True)]
    # Later marks lie over earlier ones: what is odd is drawn last.
    values.sort(key=lambda value: list(_NOTES).index(value["note"]))
    datasets = {"events": values}
    panels = [_lanes(values, alone=not fields)]
    for n, name in enumerate(fields):
        datasets[f"m{n}"] = [value for value in values if f"m{n}" in value]
        panels.append(_field_panel(name, f"m{n}", stair=trail.has_rows, last=n == len(fields) - 1))
    return Panels(panels, datasets), facts


def _description(trail: Trail) -> str:
    return describe(trail).replace("\n", "; ")


def _numbers(events: pl.DataFrame) -> list[str]:
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
        **{f"m{n}": json_number(row["after"][name]) for n, name in enumerate(fields)},
    }


def _error_value(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": to_ms(row["timestamp"]),
        "lane": f"{row['topic']} {row['partition']}",
        "place": f"{row['topic']} {row['partition']}:{row['offset']}",
        "note": "did not decode",
        "changes": text(row["decode_error"]),
    }


def _lanes(values: list[dict[str, Any]], *, alone: bool) -> Any:
    notes = [note for note in _NOTES if any(value["note"] == note for value in values)]
    colours, shapes = [_NOTES[n][0] for n in notes], [_NOTES[n][1] for n in notes]
    lanes = len({value["lane"] for value in values})
    return (
        alt.Chart(alt.NamedData("events"))
        .mark_point(filled=True, size=70, opacity=0.85)
        .encode(
            x=time_axis("time", "time (UTC)" if alone else None),
            y=alt.Y("lane:N", title=None),  # the labels say topic and partition
            # Where the trail is played, what is to come is grey.
            color=alt.condition(
                "datum.future",
                alt.value("#bbb"),
                alt.Color("note:N", title="event", scale=alt.Scale(domain=notes, range=colours)),
            ),
            shape=alt.Shape("note:N", title="event", scale=alt.Scale(domain=notes, range=shapes)),
            tooltip=[
                alt.Tooltip("place:N", title="at"),
                alt.Tooltip(
                    "time:T", title="time", format="%Y-%m-%d %H:%M:%S.%L", formatType="utcFormat"
                ),
                alt.Tooltip("note:N", title="note"),
                alt.Tooltip("changes:N", title="changes"),
            ],
        )
        .properties(width=WIDTH, height=max(50, 26 * lanes))
    )


def _field_panel(name: str, field: str, *, stair: bool, last: bool) -> Any:
    """One number over time: a stair for the entity's row, a stem per event for the event's own."""
    base = alt.Chart(alt.NamedData(field)).encode(
        x=time_axis("time", "time (UTC)" if last else None),
        y=alt.Y(f"{field}:Q", title=text(name), axis=number_axis()),
        tooltip=[
            alt.Tooltip("place:N", title="at"),
            alt.Tooltip(f"{field}:Q", title=text(name), format=",.6~g"),
            alt.Tooltip("changes:N", title="changes"),
        ],
    )
    line = base.mark_rule(color=BLUE, opacity=0.5).encode(y2=alt.datum(0))
    if stair:
        line = base.mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.5).encode(
            order="order:Q"
        )
    points = base.mark_point(filled=True, size=26, color=BLUE, opacity=1)
    return alt.layer(line, points).properties(width=WIDTH, height=120)
