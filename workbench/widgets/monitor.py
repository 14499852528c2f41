"""A monitor as a control room: figures, charts, alerts, and the records behind what is chosen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from workbench.address import Address
from workbench.errors import WorkbenchError
from workbench.monitor import Monitor
from workbench.monitor.show import describe, where
from workbench.source import display
from workbench.source.display import text
from workbench.source.slice import SliceSource
from workbench.source.stream import StreamSource
from workbench.source.times import from_ms, to_ms, within
from workbench.widgets.charts.monitor import (
    MOST_GROUPS,
    drawn_metrics,
    live_alerts,
    live_panels,
    live_points,
)
from workbench.widgets.view import PERIOD_S, View, rest_s

#: How many rows are drawn and how many alerts are listed: the newest.
SHOWN_ROWS = 1200
SHOWN_ALERTS = 200
#: How often the end of the log is asked for, in seconds.
STATUS_S = 0.5
#: Looking at the rows again takes this share of the time.
SHARE = 0.05


class MonitorView(View):
    """The live view of a monitor.

    Who looks at a monitor of a stream starts it, and stops it again when nobody looks any more;
    one that was running before stays as it is.
    """

    entry: ClassVar[str] = "monitor.js"

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._started = False
        self._status: dict[str, Any] = {}
        self._status_due_s = self._rows_due_s = 0.0
        self._revision: tuple[int, int | None] | None = None
        self._points: dict[str, dict[str, Any]] = {}
        self._alerts = pl.DataFrame()
        self._listed: dict[str, str] = {}
        self._groups: list[tuple[Any, ...]] = []
        self._left_out: str | None = None
        super().__init__(describe(monitor))

    def begin(self) -> None:
        monitor = self._monitor
        if isinstance(monitor.source, StreamSource) and not monitor.status().running:
            monitor.start()
            self._started = True

    def end(self) -> None:
        if self._started:
            self._monitor.stop()
            self._started = False

    def picture(self) -> Mapping[str, Any]:
        monitor, plan = self._monitor, self._monitor.definition
        self._points, self._revision, self._status = {}, None, {}
        self._alerts, self._listed, self._left_out = pl.DataFrame(), {}, None
        self._status_due_s = self._rows_due_s = 0.0
        changed = self.news() or {}
        panels = live_panels(plan)
        spec = panels.to_dict()
        for number, panel in enumerate(spec["vconcat"]):
            panel["layer"][0]["name"] = f"panel{number}"
        spec["params"] = [
            {
                "name": "brush",
                "select": {"type": "interval", "encodings": ["x"]},
                "views": [f"panel{number}" for number in range(len(spec["vconcat"]))],
            }
        ]
        for unneeded in ("$schema", "datasets", "description", "padding"):
            spec.pop(unneeded, None)
        return {
            **changed,
            "title": describe(monitor),
            "spec": spec,
            "panels": len(drawn_metrics(plan)),
            "alert_names": [text(f"{alert.name} ({alert.severity})") for alert in plan.alerts],
            "chosen": self._chosen(),
        }

    def news(self) -> Mapping[str, Any] | None:
        now_s = time.monotonic()
        found: dict[str, Any] = {}
        if now_s >= self._status_due_s:
            self._status_due_s = now_s + STATUS_S
            figures = self._figures()
            if figures != self._status:
                self._status = found["figures"] = figures
        if now_s >= self._rows_due_s:
            found |= self._rows()
            took_s = time.monotonic() - now_s
            self._rows_due_s = now_s + rest_s(took_s, SHARE, PERIOD_S)
        return found or None

    def act(self, command: str, details: Mapping[str, Any]) -> None:
        monitor = self._monitor
        match command:
            case "alert":
                address = self._listed.get(details["id"])
                if address is None:
                    raise WorkbenchError("this alert is not listed any more")
                self._choose(_at(monitor.source, Address.from_json(address)))
            case "brush":
                step_ms = monitor.definition.windows.step_ms
                start_ms = int(details["start"]) // step_ms * step_ms
                end_ms = max(int(details["end"]), start_ms + 1)
                self._choose(monitor.behind(from_ms(start_ms), from_ms(end_ms)))
            case "clear":
                monitor.selection = None
                self.answer({"chosen": None})

    def _choose(self, source: SliceSource) -> None:
        make = display.renderer("slice")
        self._monitor.selection = source if make is None else make(source)
        self.answer({"chosen": self._chosen()})

    def _chosen(self) -> str | None:
        chosen = self._monitor.selection
        return None if chosen is None else text(repr(chosen))

    def _figures(self) -> dict[str, Any]:
        status = self._monitor.status()
        if status.error is not None:
            raise WorkbenchError(status.error)
        return {
            "events": status.events,
            "rate": status.rate,
            "lag": str(status.lag),
            "lag_seconds": status.lag_seconds if status.running else None,
            "watermark": None if status.watermark is None else to_ms(status.watermark),
            "late": status.late,
            "left out": status.left_out,
            "did not decode": status.undecodable,
            "live": isinstance(self._monitor.source, StreamSource),
            "where": where(self._monitor),
        }

    def _rows(self) -> dict[str, Any]:
        """What is new of the windows and the alerts."""
        monitor, plan = self._monitor, self._monitor.definition
        if monitor.revision == self._revision:
            return {}
        newest, age_ms = monitor.newest, None
        if newest is not None and isinstance(monitor.source, StreamSource):
            age_ms = time.time() * 1000 - to_ms(newest)
        revision = monitor.revision
        numeric = drawn_metrics(plan)[0] in plan.metrics
        rows = within(monitor.frame(open=True) if numeric else monitor.rates(open=True))
        alerts = within(monitor.alerts()) if plan.alerts else pl.DataFrame()
        left_out = None
        if plan.by:
            rows, left_out = self._of_groups(rows, alerts)
        rows = rows.tail(SHOWN_ROWS)
        points = {point["id"]: point for point in live_points(rows, plan)}
        changed = [p for key, p in points.items() if self._points.get(key) != p]
        gone = [key for key in self._points if key not in points]
        self._points = points
        self._revision = revision
        found: dict[str, Any] = {"windows": changed, "gone": gone} if changed or gone else {}
        if found and age_ms is not None:
            found["age_ms"] = age_ms
        if left_out != self._left_out:
            self._left_out = found["left_out"] = left_out
        if not alerts.equals(self._alerts):
            self._alerts = alerts
            found |= self._alert_news(alerts, rows)
        return found

    def _alert_news(self, alerts: pl.DataFrame, rows: pl.DataFrame) -> dict[str, Any]:
        plan = self._monitor.definition
        marks = live_alerts(alerts, rows, plan)
        newest = alerts.tail(SHOWN_ALERTS).to_dicts()
        # What is clicked may have moved in the list meanwhile, so each has a name of its own.
        names = ("name", "window_start", *plan.by)
        ids = [repr([row[name] for name in names]) for row in newest]
        self._listed = dict(zip(ids, (row["address"] for row in newest), strict=True))
        return {
            "alerts": [
                {
                    "id": id_,
                    "name": text(row["name"]),
                    "severity": row["severity"],
                    "start": to_ms(row["window_start"]),
                    "group": " · ".join(text(row[name]) for name in plan.by),
                    "values": ", ".join(f"{n} {text(row.get(n))}" for n in plan.metrics),
                }
                for id_, row in zip(ids, newest, strict=True)
            ],
            "alert_count": alerts.height,
            "marks": {
                f"alerts{number}": [mark for mark in marks if number in mark["panels"]]
                for number in range(len(drawn_metrics(plan)))
            },
        }

    def _of_groups(
        self, rows: pl.DataFrame, alerts: pl.DataFrame
    ) -> tuple[pl.DataFrame, str | None]:
        """The rows of a few groups, and what is said of the others.

        First those with the newest alerts, then those drawn before, then those with most rows.
        """
        by = list(self._monitor.definition.by)
        counted = rows.group_by(by, maintain_order=True).len().sort("len", descending=True)
        alarmed = (
            alerts.reverse().select(by).unique(maintain_order=True).rows() if alerts.width else []
        )
        known = [*alarmed[:MOST_GROUPS], *self._groups, *counted.select(by).rows()]
        self._groups = list(dict.fromkeys(known))[:MOST_GROUPS]
        if counted.height <= MOST_GROUPS:
            return rows, None
        kept = pl.DataFrame(self._groups, schema=rows.select(by).schema, orient="row")
        drawn = rows.join(kept, on=by, how="semi", nulls_equal=True, maintain_order="left")
        first = "those with the newest alerts first" if alarmed else "those with most windows"
        return drawn, f"{MOST_GROUPS} of {counted.height:,} groups drawn: {first}"


def _at(source: SliceSource | StreamSource, address: Address) -> SliceSource:
    return SliceSource(source.backend, address, source.max_read, codebook=source.codebook)
