"""A log as a browser of its topics: sizes, rates, groups with lag, and a peek at records."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from workbench.errors import WorkbenchError
from workbench.monitor.definition import describe_ms
from workbench.source.display import html_block, html_table, text
from workbench.widgets.ordered import cells, columns
from workbench.widgets.view import View

#: How often the topics and the groups are asked for, in seconds, and how much of the time that may
#: take at most.
AGAIN_S = 2.0
SHARE = 0.1

#: How many records a peek shows, and over how many seconds a rate is measured.
PEEK = 20
RATE_S = 20.0

#: What is shown of each topic, and whether it is a number.
_COLUMNS = [
    {"name": "topic", "number": False},
    {"name": "partitions", "number": True},
    {"name": "offsets", "number": True},
    {"name": "a second", "number": True},
    {"name": "size", "number": True},
    {"name": "kept for", "number": True},
    {"name": "first (UTC)", "number": False},
    {"name": "last (UTC)", "number": False},
]
_SHOWN = [
    "topic",
    "partitions",
    "offsets",
    "bytes",
    "retention_ms",
    "cleanup_policy",
    "first",
    "last",
]


class TopicsView(View):
    """The live view of a log (`workbench.Log`)."""

    entry: ClassVar[str] = "topics.js"

    def __init__(self, log: Any) -> None:
        self._of = log
        self._due_s = 0.0
        self._ends: list[tuple[float, dict[str, int]]] = []
        self._told: dict[str, Any] = {}
        super().__init__(repr(log))

    def picture(self) -> Mapping[str, Any]:
        self._told = self._now()
        return {"title": repr(self._of), **self._told}

    def news(self) -> Mapping[str, Any] | None:
        if time.monotonic() < self._due_s:
            return None
        now = self._now()
        if now == self._told:
            return None
        self._told = now
        return now

    def act(self, command: str, details: Mapping[str, Any]) -> None:
        topic = str(details["topic"])
        parts = self._of.partitions(topic)
        newest = self._of.stream(topic).tail(PEEK).drop("topic")
        peek = {
            "topic": topic,
            "partitions": {"columns": columns(parts), "rows": cells(parts)},
            "records": {"columns": columns(newest), "rows": cells(newest)},
        }
        self.answer({"peek": peek})

    def _now(self) -> dict[str, Any]:
        began_s = time.monotonic()
        topics = self._of.topics(details=True).select(_SHOWN)
        rates = self._rates(began_s, dict(topics.select("topic", "offsets").iter_rows()))
        topics = topics.insert_column(
            3, pl.Series("per_second", [rates.get(name) for name in topics["topic"]], pl.Float64)
        )
        groups = _groups(self._of)
        took_s = time.monotonic() - began_s
        self._due_s = time.monotonic() + max(AGAIN_S, took_s / SHARE)
        return {
            "names": topics["topic"].to_list(),
            "topics": {"columns": _COLUMNS, "rows": [_row(topic) for topic in topics.rows()]},
            "groups": {"columns": columns(groups), "rows": cells(groups)},
        }

    def _rates(self, now_s: float, offsets: dict[str, int]) -> dict[str, float]:
        """Offsets per second over the last seconds; nothing is known at the first look."""
        self._ends = [(at, ends) for at, ends in self._ends if now_s - at < RATE_S]
        self._ends.append((now_s, offsets))
        first_s, first = self._ends[0]
        span_s = now_s - first_s
        if not self._of.backend.live or span_s <= 0:
            return {}
        return {name: (end - first.get(name, end)) / span_s for name, end in offsets.items()}


def still(log: Any) -> str:
    """What a notebook keeps of a log: its topics and its groups, as HTML."""
    try:
        topics, groups = log.topics(details=True), _groups(log)
    except WorkbenchError:
        return html_block(repr(log), [])  # which says why
    kept = topics.select("retention_ms", "cleanup_policy").rows()
    shown = topics.select(
        "topic",
        "partitions",
        "offsets",
        pl.Series("size", map(_size, topics["bytes"]), pl.String),
        pl.Series("kept for", (_kept(*one) for one in kept), pl.String),
        pl.col("first").alias("first (UTC)"),
        pl.col("last").alias("last (UTC)"),
    )
    tables = [html_table(shown, caption="Topics")]
    if groups.height:
        tables.append(html_table(groups, caption="Consumer groups"))
    return html_block(repr(log), tables)


def _groups(log: Any) -> pl.DataFrame:
    """The consumer groups; none where they may not be listed."""
    try:
        found: pl.DataFrame = log.groups()
    except WorkbenchError:
        return pl.DataFrame()
    return found


def _row(topic: tuple[Any, ...]) -> list[str | None]:
    """A topic as people read it; what is not known, or may not be, is null."""
    name, partitions, offsets, rate, size, kept_ms, policy, first, last = topic
    return [
        text(name),
        f"{partitions:,}",
        None if offsets is None else f"{offsets:,}",
        None if rate is None else f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}",
        _size(size),
        _kept(kept_ms, policy),
        *(None if at is None else text(at) for at in (first, last)),
    ]


def _kept(kept_ms: int | None, policy: str | None) -> str | None:
    """For how long; null where neither that nor the policy may be known."""
    if kept_ms is not None:
        return describe_ms(kept_ms)
    return None if policy is None else "forever"


def _size(count: float | None) -> str | None:
    """Bytes, in the unit that leaves a number below a thousand."""
    if count is None:
        return None
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
