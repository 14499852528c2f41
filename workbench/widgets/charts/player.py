"""A player as a picture: where in the slice its events lie, and how far it has come."""

from __future__ import annotations

from datetime import datetime

import altair as alt
import polars as pl

from workbench.player import Player
from workbench.source.display import html_block, html_table, text
from workbench.source.times import to_ms
from workbench.widgets.charts.base import (
    BLUE,
    WIDTH,
    Panels,
    StaticChart,
    picture,
    stack,
    time_axis,
)

#: Into how many spans of time the records are counted.
_BINS = 240


def player_bundle(player: Player) -> dict[str, str]:
    """What a notebook keeps of a player: the bar with its position, and the figures."""
    told = repr(player)
    span = player.span
    parts = [] if span is None else [f"<p>{picture(_density(player, span, told))}</p>"]
    figures = {
        "speed": "as fast as possible" if player.speed is None else f"{player.speed:g}x",
        "at (UTC)": text(player.time) if player.time else "before the first record",
        "records played": f"{player.played:,}",
        "of": f"{player.total:,}",
        "position": text(player.position.describe()),
    }
    parts.append(html_table(pl.DataFrame([figures]), caption="Position"))
    return {"text/plain": told, "text/html": html_block(told, parts)}


def _density(player: Player, span: tuple[datetime, datetime], told: str) -> StaticChart:
    first_ms, last_ms = map(to_ms, span)
    step_ms = max(last_ms - first_ms, 1) / _BINS
    counts = enumerate(player.density(_BINS))
    bins = [
        {"start": first_ms + n * step_ms, "end": first_ms + (n + 1) * step_ms, "events": count}
        for n, count in counts
        if count
    ]
    bars = (
        alt.Chart(alt.NamedData("bins"))
        .mark_bar(color=BLUE, binSpacing=0)
        .encode(
            x=time_axis("start", "time (UTC)"),
            x2="end:T",
            # The square root, so that the few are seen beside the many.
            y=alt.Y("events:Q", title="events", scale=alt.Scale(type="sqrt")),
            y2=alt.datum(0),
        )
    )
    at = [] if player.time is None else [{"start": to_ms(player.time)}]
    here = (
        alt.Chart(alt.NamedData("here"))
        .mark_rule(color="#d64541", strokeWidth=2)
        .encode(x=time_axis("start", "time (UTC)"))
    )
    panel = alt.layer(bars, here).properties(width=WIDTH, height=80)
    return stack(Panels([panel], {"bins": bins, "here": at}), told)
