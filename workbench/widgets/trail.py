"""A trail as a time line: what each event changed, its raw value on demand, its address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from workbench.player import PlayedTrail
from workbench.positions import Position
from workbench.source.display import text
from workbench.source.times import readable
from workbench.trail import Trail
from workbench.trail.show import changes, describe
from workbench.widgets.charts.trail import trail_chart
from workbench.widgets.ordered import cells, columns
from workbench.widgets.view import View

#: How many events are listed, and how many bytes of a raw value are shown.
MOST_EVENTS = 2000
MOST_BYTES = 1_000_000


class TrailView(View):
    """The live view of a trail, or of the part of it that a player has played."""

    entry: ClassVar[str] = "trail.js"

    def __init__(self, shown: Trail | PlayedTrail) -> None:
        self._played = shown if isinstance(shown, PlayedTrail) else None
        self._trail = shown.trail if isinstance(shown, PlayedTrail) else shown
        self._told: Position | None = None
        super().__init__(describe(self._trail).split("\n", 1)[0])

    def picture(self) -> Mapping[str, Any]:
        trail = self._trail
        title, *facts = describe(trail).splitlines()
        spec = trail_chart(trail).to_dict()
        datasets = spec.pop("datasets", {})
        for unneeded in ("$schema", "description", "padding", "title"):
            spec.pop(unneeded, None)
        listed = readable(trail.frame().head(MOST_EVENTS))
        return {
            "title": title,
            "facts": facts,
            "spec": spec,
            "datasets": datasets,
            "total": trail.frame().height,
            "events": [_event(row, trail) for row in listed.iter_rows(named=True)],
            "gaps": {"columns": columns(trail.gaps), "rows": cells(trail.gaps)},
            "played": self._played_to(),
        }

    def news(self) -> Mapping[str, Any] | None:
        if self._played is None or self._played.position == self._told:
            return None
        return {"played": self._played_to()}

    def act(self, command: str, details: Mapping[str, Any]) -> None:
        places = self._trail.frame().select("topic", "partition", "offset")
        topic, partition, offset = places.row(int(details["number"]))
        tp = (str(topic), int(partition))
        start = Position({tp: offset})
        record = self._trail.source.cut(start=start, end=Position({tp: offset + 1}))
        if command == "address":
            self.answer({"address": record.address.to_json()})
        elif command == "raw":
            self.answer({"raw": {"number": details["number"], **_raw(record.as_bytes())}})

    def _played_to(self) -> dict[str, str] | None:
        """Per partition the next offset to be played; None where all is shown."""
        if self._played is None:
            return None
        self._told = position = self._played.position
        return {f"{topic} {p}": str(offset) for (topic, p), offset in position.items()}


def _event(row: Mapping[str, Any], trail: Trail) -> dict[str, Any]:
    marks = [["late", "late"]] if row["late"] else []
    marks += [["duplicate", f"duplicate of {row['duplicate_of']}"]] if row["duplicate_of"] else []
    if row["decode_error"] is not None:
        marks.append(["error", f"did not decode: {text(row['decode_error'])}"])
    before, after = row["before"] or {}, row["after"] or {}
    return {
        "time": text(row[trail.time]),
        "place": f"{row['topic']} {row['partition']}:{row['offset']}",
        "changes": text(changes(dict(row))),
        "marks": marks,
        "rows": [
            [name, _cell(before.get(name)), _cell(after.get(name)), name in row["changed"]]
            for name in after
        ],
    }


def _cell(value: Any) -> str | None:
    return None if value is None else text(value)


def _raw(record: Any) -> dict[str, Any]:
    """Key, headers and value of one record as they are stored; where cut, it says so."""
    frame = record.frame(raw=True).select("key", "value", "headers")
    if frame.is_empty():
        return {"value": None, "key": None, "headers": [], "cut": None, "size": 0}
    row = frame.row(0, named=True)
    value: bytes | None = row["value"]
    size = 0 if value is None else len(value)
    return {
        "key": _plain(row["key"]),
        "value": _plain(value),
        "headers": [[h["name"], _plain(h["value"])] for h in row["headers"] or []],
        "size": size,
        "cut": MOST_BYTES if size > MOST_BYTES else None,
    }


def _plain(stored: bytes | None) -> str | None:
    return None if stored is None else stored[:MOST_BYTES].decode(errors="backslashreplace")
