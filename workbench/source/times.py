"""Times as people type them, as UTC milliseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
from polars.exceptions import PolarsError

from workbench.errors import InvalidRange
from workbench.positions import Position
from workbench.records import TIMESTAMP

#: What bounds a slice: a time, a duration back from now, a word, or offsets.
When = str | date | datetime | Mapping[int, int] | Position

#: The first and the last millisecond that is a datetime in UTC.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
#: Some 260,000 years: so far the calendar of Polars goes, which ends the process beyond.
_CALENDAR_MS = 8_200_000_000_000_000
#: What Polars counts in nanoseconds, which end after 292 years; years and days it counts apart.
_NANOSECONDS = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
#: More days than a calendar has.
_MOST_UNITS = 4_000_000
_PART = re.compile(r"(\d+)([a-z]+)", re.ASCII)
_DURATION = re.compile(r"[+-]?(\d+(ms|us|ns|mo|[smhdwqy]))+", re.ASCII)


def zone(name: str) -> tzinfo:
    """A time zone by IANA name.  Raises InvalidRange for an unknown one."""
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidRange(
            f"no time zone {name!r}", hint="use an IANA name such as Europe/Berlin"
        ) from error


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime, rounded down."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000


def _ceiling_ms(moment: datetime) -> int:
    return _known(to_ms(moment) + (moment.microsecond % 1000 > 0), str(moment))


def _known(timestamp_ms: int, text: str) -> int:
    """The time itself, if it is one.  Raises InvalidRange."""
    if not _FIRST_MS <= timestamp_ms <= _LAST_MS:
        raise InvalidRange(f"{text!r} lies outside the years 1 to 9999")
    return timestamp_ms


def from_ms(timestamp_ms: int) -> datetime:
    """The aware UTC datetime of milliseconds since 1970.

    A time outside of the years 1 to 9999, such as one of a producer that counts in microseconds,
    is the nearest one inside.
    """
    timestamp_ms = min(max(timestamp_ms, _FIRST_MS), _LAST_MS)
    return datetime.fromtimestamp(timestamp_ms // 1000, UTC).replace(
        microsecond=timestamp_ms % 1000 * 1000
    )


def literal(timestamp_ms: int) -> pl.Expr:
    """The time in comparisons with timestamps, whatever its year."""
    if _FIRST_MS <= timestamp_ms <= _LAST_MS:
        return pl.lit(from_ms(timestamp_ms), dtype=TIMESTAMP)
    return pl.lit(timestamp_ms, dtype=pl.Int64).cast(TIMESTAMP)


def readable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame, where columns with times outside of the years 1 to 9999 are text.

    Python has no datetimes for these, so that taking rows out of the frame would fail.
    """
    return frame.with_columns(_as_text(column) for column in _far(frame))


def within(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame, where times outside of the years 1 to 9999 are the nearest ones inside.

    So does `from_ms`: they are drawn at the edge of what is drawn.
    """
    return frame.with_columns(
        column.cast(pl.Datetime("ms"))
        .to_physical()
        .clip(_FIRST_MS, _LAST_MS)
        .cast(pl.Datetime("ms"))
        .cast(column.dtype)
        for column in _far(frame)
    )


def _far(frame: pl.DataFrame) -> list[pl.Series]:
    """The columns with times outside of the years 1 to 9999."""
    times = (c for c in frame if isinstance(c.dtype, pl.Datetime | pl.Date))
    return [
        column
        for column in times
        if not column.cast(pl.Datetime("ms")).to_physical().is_between(_FIRST_MS, _LAST_MS).all()
    ]


def _as_text(column: pl.Series) -> pl.Series:
    """Times as text; those beyond what Polars has a calendar for as their number."""
    counted = column.cast(pl.Datetime("ms")).to_physical()
    named = counted.is_between(-_CALENDAR_MS, _CALENDAR_MS)
    numbers = counted.cast(pl.String) + " ms since 1970"
    return column.set(~named, None).dt.to_string().zip_with(named.fill_null(True), numbers)


def parse_instant(when: object, *, tz: tzinfo, base_ms: int | None) -> int:
    """UTC milliseconds of an ISO time, a date, a datetime, or a duration from `base_ms`, if any.

    Naive times are in `tz`.  Durations are written as Polars writes them (`"-1h30m"`, `"-1mo"`)
    and follow the calendar of `tz`.  Finer times are rounded up: a record of a whole millisecond is
    at or after both or neither.  Raises InvalidRange.
    """
    if isinstance(when, datetime):
        return _ceiling_ms(when if when.tzinfo else when.replace(tzinfo=tz))
    if isinstance(when, date):
        return to_ms(datetime(when.year, when.month, when.day, tzinfo=tz))
    if isinstance(when, str):
        text = when.strip()
        if base_ms is not None and _DURATION.fullmatch(text):
            return _offset(base_ms, text, tz)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return _ceiling_ms(moment if moment.tzinfo else moment.replace(tzinfo=tz))
    raise InvalidRange(
        f"{when!r} is not a time",
        hint='use ISO ("2026-11-03T12:00"), a datetime, a duration back ("-1h"), "earliest" or '
        '"now"',
    )


def parse_duration(text: str | int) -> int:
    """Milliseconds of a positive fixed duration such as `"10s"`, `"1h30m"`, or of an integer.

    Raises InvalidRange for zero, negative and calendar durations (months have no fixed length),
    and for what is neither text nor an integer.
    """
    if isinstance(text, bool) or not isinstance(text, (int, str)):
        raise InvalidRange(f"{text!r} is not a duration", hint='use "10s", "5m", "1h", "7d"')
    if isinstance(text, int):
        milliseconds = text
    elif re.search(r"\d(mo|q|y)", text) or not _DURATION.fullmatch(text.strip()):
        raise InvalidRange(f"{text!r} is not a duration", hint='use "10s", "5m", "1h", "7d"')
    else:
        milliseconds = _offset(0, text.strip(), UTC)
    if milliseconds <= 0:
        raise InvalidRange(f"a duration is longer than nothing, not {text!r}")
    return milliseconds


def times_over(duration: str, count: int) -> str:
    """`"1mo"` times three is `"3mo"`.  Raises InvalidRange for what is no duration."""
    if not _DURATION.fullmatch(duration.strip()):
        raise InvalidRange(f"{duration!r} is not a duration", hint='use "1h", "1d", "1mo"')
    return _PART.sub(lambda part: f"{int(part[1]) * count}{part[2]}", duration)


def describe_span(start_ms: int | None, end_ms: int | None, tz: tzinfo) -> str:
    """`03 Nov 00:00 .. 04 Nov 00:00 UTC`; in another zone, both are printed."""
    text = _span(start_ms, end_ms, UTC)
    if tz is UTC:
        return f"{text} UTC"
    return f"{_span(start_ms, end_ms, tz)} {tz} ({text} UTC)"


def _span(start_ms: int | None, end_ms: int | None, tz: tzinfo) -> str:
    sides = [None if ms is None else from_ms(ms).astimezone(tz) for ms in (start_ms, end_ms)]
    years = {moment.year for moment in sides if moment}
    form = "%d %b %H:%M" if len(years) == 1 else "%d %b %Y %H:%M"
    if any(moment and (moment.second or moment.microsecond) for moment in sides):
        form += ":%S"
    fine = any(moment and moment.microsecond for moment in sides)
    first, last = (
        "" if moment is None else moment.strftime(form) + _milliseconds(moment) * fine
        for moment in sides
    )
    return f"{first or 'start'} .. {last or 'end'}"


def _milliseconds(moment: datetime) -> str:
    return f".{moment.microsecond // 1000:03d}"


def _offset(base_ms: int, duration: str, tz: tzinfo) -> int:
    parts = [(int(number), unit) for number, unit in _PART.findall(duration)]
    if any(number > _MOST_UNITS and unit not in _NANOSECONDS for number, unit in parts) or (
        sum(number * _NANOSECONDS.get(unit, 0) for number, unit in parts) >= 2**63
    ):
        raise InvalidRange(f"{duration!r} is longer than can be counted")
    base = pl.Series([from_ms(base_ms)], dtype=pl.Datetime("ms", "UTC"))
    try:
        moved = base.dt.convert_time_zone(str(tz)).dt.offset_by(duration)
    except PolarsError as error:
        raise InvalidRange(f"{duration!r} is not a duration: {error}") from error
    return _known(int(moved.dt.epoch("ms")[0]), duration)
