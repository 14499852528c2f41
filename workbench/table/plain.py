"""Plain Python values as JSON and back, to the same values of the same types, or not at all."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

_TAG = "$"


def dumps(value: Any) -> str:
    """The value as JSON text.  Raises TypeError for what is no plain value."""
    return json.dumps(_tagged(value), separators=(",", ":"))


def loads(text: str) -> Any:
    """What `dumps` wrote."""
    return json.loads(text, object_hook=_untagged)


def _tagged(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_tagged(one) for one in value]
    if kind is tuple:
        return {_TAG: "tuple", "of": [_tagged(one) for one in value]}
    if kind is dict and all(type(name) is str for name in value):
        inside = {name: _tagged(one) for name, one in value.items()}
        return {_TAG: "dict", "of": list(inside.items())} if _TAG in value else inside
    if kind is Decimal:
        return {_TAG: "Decimal", "of": str(value)}
    if kind is bytes:
        return {_TAG: "bytes", "of": value.hex()}
    if kind in (datetime, date, time) and getattr(value, "fold", 0) == 0:
        zone = getattr(value, "tzinfo", None)
        if zone is None or str(zone) == "UTC":
            name = getattr(zone, "key", None)  # ZoneInfo("UTC") is not datetime.UTC
            return {_TAG: kind.__name__, "of": value.isoformat(), "zone": name}
    if kind is timedelta:
        return {_TAG: "timedelta", "of": [value.days, value.seconds, value.microseconds]}
    raise TypeError(f"{kind.__name__} is no plain value")


def _untagged(found: dict[str, Any]) -> Any:
    of = found.get("of")
    match found.get(_TAG):
        case "tuple":
            return tuple(of)  # type: ignore[arg-type]
        case "dict":
            return dict(of)  # type: ignore[arg-type]
        case "Decimal":
            return Decimal(of)  # type: ignore[arg-type]
        case "bytes":
            return bytes.fromhex(of)  # type: ignore[arg-type]
        case "timedelta":
            return timedelta(*of)  # type: ignore[misc]
        case "datetime" | "date" | "time" as name:
            return _moment(name, str(of), found["zone"])
    return found


def _moment(name: str, text: str, zone: str | None) -> date | time:
    kinds: dict[str, type[datetime] | type[date] | type[time]]
    kinds = {"datetime": datetime, "date": date, "time": time}
    value = kinds[name].fromisoformat(text)
    if zone is None or not isinstance(value, datetime | time):
        return value
    return value.replace(tzinfo=ZoneInfo(zone))
