"""A trail as text and tables."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.positions import Position
from workbench.records import COORDINATES
from workbench.source.display import (
    SHOWN_CHARACTERS,
    SHOWN_ROWS,
    html_block,
    html_page,
    html_table,
    text,
)
from workbench.source.times import readable
from workbench.words import counted

if TYPE_CHECKING:
    from workbench.trail.trail import Trail

_LATE, _DUPLICATE = "#fbe3b5", "#e3d9f0"


def describe(trail: Trail) -> str:
    """A few lines: what was looked for, the three outcomes, what is odd, what is missing."""
    counts = trail.counts
    span = _span(trail)
    lines = [
        f"Trail of {trail.by} {text(trail.entity)}: {counted(counts.match, 'event')}{span}",
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


def changes(row: dict[str, object], characters: int | None = SHOWN_CHARACTERS) -> str:
    """`balance 100.00 → 40.00`: what one event changed."""
    before, after = row["before"] or {}, row["after"] or {}
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    names = row["changed"]
    assert isinstance(names, list)
    return ", ".join(
        f"{name} {text(before[name], characters)} → {text(after[name], characters)}"
        if name in before
        else f"{name} {text(after[name], characters)}"
        for name in names
    )


def as_html(trail: Trail, picture: str = "", played: Position | None = None) -> str:
    """What a saved notebook shows: the statement, the picture, the events, what is missing.

    Of a trail that is played, up to a position, the events beyond it are said to come.
    """
    title, *facts = describe(trail).splitlines()
    tables = _tables(trail, SHOWN_ROWS, SHOWN_CHARACTERS, played)
    return html_block(title, [f"<p>{'<br>'.join(map(escape, facts))}</p>", picture, *tables])


def page(trail: Trail) -> str:
    """A page for printing: every event, and every value whole.

    Where there are more columns than fit its width, the fields are in one.
    """
    title, *facts = describe(trail).splitlines()
    facts += [clocks(trail), f"Log {trail.source.address.log_id}"]
    told = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    return html_page(title, told + "".join(_tables(trail, max(trail.frame().height, 1), None)))


def clocks(trail: Trail) -> str:
    """Whose clock each time is of, and which one orders the events."""
    names = {"create": "the producer", "append": "the log", "none": "nobody"}
    source = trail.source
    stamped = sorted({names[source.backend.topic(t).timestamp_type] for t in source.address.topics})
    told = f"timestamp is the record's own, stamped by {' or '.join(stamped)}"
    if trail.time == "timestamp":
        return f"In the order of timestamp; {told}"
    return f"In the order of {trail.time}, which the event says itself; {told}"


def _tables(
    trail: Trail, rows: int, characters: int | None, played: Position | None = None
) -> list[str]:
    """The events, with both clocks and then the actors first; what is odd, and what is missing."""
    events = readable(trail.frame())
    first = dict.fromkeys([trail.time, "timestamp", *trail.actor])
    others = [n for n in trail.source.schema if n not in ("key", trail.by, "decode_error", *first)]
    shown = events.select(name for name in (*first, *others) if name in events.columns)
    fields = [name for name in shown.columns if name in others and name not in COORDINATES]
    told = {"remark": [_remark(row, played) for row in events.iter_rows(named=True)]}
    if trail.has_rows:
        told["row changes"] = [changes(row, characters) for row in events.iter_rows(named=True)]
    shown = shown.with_columns(pl.Series(n, lines, dtype=pl.String) for n, lines in told.items())
    marks = {
        n: _LATE if late else _DUPLICATE
        for n, (late, again) in enumerate(events.select("late", "duplicate_of").iter_rows())
        if late or again
    }
    caption = "Events, in display order: there is no order across partitions"
    # Only a page for printing has a width.
    odd = partial(html_table, fold=None if characters else ())
    table = partial(odd, rows=rows, characters=characters)
    parts = [table(shown, caption=caption, marks=marks, fold=None if characters else fields)]
    if trail.actor:
        parts.append(table(trail.actors(), caption="Who acted"))
    if trail.undecodable.height:
        parts.append(odd(trail.undecodable, caption="Did not decode; may be about it"))
    if trail.gaps.height:
        parts.append(odd(trail.gaps, caption="Offsets without a record"))
    return parts


def _remark(row: dict[str, Any], played: Position | None) -> str:
    place = row["topic"], row["partition"]
    remarks = ["to come"] if played is not None and row["offset"] >= played.get(place, 0) else []
    remarks += ["late"] if row["late"] else []
    remarks += [f"duplicate of {row['duplicate_of']}"] if row["duplicate_of"] else []
    remarks += [f"did not decode: {row['decode_error']}"] if row["decode_error"] else []
    return ", ".join(remarks)


def _span(trail: Trail) -> str:
    times = trail.frame().select(first=pl.col(trail.time).min(), last=pl.col(trail.time).max())
    first, last = readable(times).row(0)
    return "" if first is None else f", {text(first)} .. {text(last)}"
