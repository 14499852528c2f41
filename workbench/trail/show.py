"""A trail as text and tables."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import polars as pl

from workbench.source.display import html_block, html_table, text

if TYPE_CHECKING:
    from workbench.trail.trail import Trail

_LATE, _DUPLICATE = "#fbe3b5", "#e3d9f0"


def describe(trail: Trail) -> str:
    """A few lines: what was looked for, the three outcomes, what is odd, what is missing."""
    counts = trail.counts
    span = _span(trail)
    lines = [
        f"Trail of {trail.by} {text(trail.entity)}: {counts.match:,} events{span}",
        f"{counts.no_match:,} records are about something else, "
        f"{counts.error:,} did not decode" + (" and may be about it" if counts.error else ""),
    ]
    odd = [
        f"{frame.height:,} {word}"
        for frame, word in ((trail.late, "late"), (trail.duplicates, "seen before (duplicates)"))
        if frame.height
    ]
    lines += [", ".join(odd)] if odd else []
    return "\n".join([*lines, trail.completeness.statement])


def changes(row: dict[str, object]) -> str:
    """`balance 100.00 → 40.00`: what one event changed."""
    before, after = row["before"] or {}, row["after"] or {}
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    names = row["changed"]
    assert isinstance(names, list)
    return ", ".join(
        f"{name} {text(before[name])} → {text(after[name])}"
        if name in before
        else f"{name} {text(after[name])}"
        for name in names
    )


def as_html(trail: Trail, picture: str = "") -> str:
    """What a saved notebook shows: the statement, the picture, the events, what is missing."""
    title, *facts = describe(trail).splitlines()
    events = trail.frame()
    fields = [name for name in trail.source.schema if name not in ("key", trail.by, "decode_error")]
    shown = events.select(pl.col(name) for name in fields if name in events.columns)
    told = {"row changes": changes} if trail.has_rows else {}
    told["remark"] = _remark
    shown = shown.with_columns(
        pl.Series(name, [tell(row) for row in events.iter_rows(named=True)], dtype=pl.String)
        for name, tell in told.items()
    )
    marks = {
        n: _LATE if late else _DUPLICATE
        for n, (late, again) in enumerate(events.select("late", "duplicate_of").iter_rows())
        if late or again
    }
    caption = "Events, in display order: there is no order across partitions"
    parts = [f"<p>{'<br>'.join(map(escape, facts))}</p>", picture]
    parts.append(html_table(shown, caption=caption, marks=marks))
    if trail.undecodable.height:
        parts.append(html_table(trail.undecodable, caption="Did not decode; may be about it"))
    if trail.gaps.height:
        parts.append(html_table(trail.gaps, caption="Offsets without a record"))
    return html_block(title, parts)


def _remark(row: dict[str, object]) -> str:
    remarks = ["late"] if row["late"] else []
    remarks += [f"duplicate of {row['duplicate_of']}"] if row["duplicate_of"] else []
    remarks += [f"did not decode: {row['decode_error']}"] if row["decode_error"] else []
    return ", ".join(remarks)


def _span(trail: Trail) -> str:
    times = trail.frame()[trail.time].drop_nulls()
    if times.is_empty():
        return ""
    return f", {text(times.min())} .. {text(times.max())}"
