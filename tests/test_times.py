"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InvalidRange
from workbench.source.times import (
    describe_span,
    from_ms,
    parse_duration,
    parse_instant,
    to_ms,
    zone,
)

NOON = to_ms(datetime(2026, 11, 3, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-03T12:00",
        "2026-11-03 12:00:00Z",
        "2026-11-03T13:00+01:00",
        datetime(2026, 11, 3, 12),
        datetime(2026, 11, 3, 13, tzinfo=ZoneInfo("Europe/Berlin")),
    ],
)
def test_the_same_moment_in_many_spellings(text: object) -> None:
    assert parse_instant(text, tz=UTC, base_ms=0) == NOON


def test_naive_times_are_in_the_connection_zone() -> None:
    berlin = zone("Europe/Berlin")
    assert parse_instant("2026-11-03T13:00", tz=berlin, base_ms=0) == NOON
    assert parse_instant(date(2026, 11, 4), tz=berlin, base_ms=0) == NOON + 11 * 3_600_000


@pytest.mark.parametrize(
    ("text", "back_ms"), [("-1h", 3_600_000), ("-1h30m", 5_400_000), ("-2d", 172_800_000)]
)
def test_durations_count_from_the_base(text: str, back_ms: int) -> None:
    assert parse_instant(text, tz=UTC, base_ms=NOON) == NOON - back_ms


def test_a_day_back_across_a_change_of_the_clock_is_a_calendar_day() -> None:
    berlin = zone("Europe/Berlin")
    after = parse_instant("2026-10-25T12:00", tz=berlin, base_ms=0)
    assert after - parse_instant("-1d", tz=berlin, base_ms=after) == 25 * 3_600_000


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "-1x", None, 7, "12:00"])
def test_what_is_no_time_is_refused_with_a_hint(text: object) -> None:
    with pytest.raises(InvalidRange, match="is not a time"):
        parse_instant(text, tz=UTC, base_ms=0)


@pytest.mark.parametrize("text", ["0s", "-5s", "1mo", "soon", "", 0, -1, True, 0.5])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(InvalidRange):
        parse_duration(text)


def test_durations_in_milliseconds() -> None:
    assert [parse_duration(t) for t in ("10s", "1h30m", "7d", 250)] == [
        10_000,
        5_400_000,
        604_800_000,
        250,
    ]


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidRange, match="no time zone 'Mars/Olympus'"):
        zone("Mars/Olympus")


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_milliseconds_round_trip(timestamp_ms: int) -> None:
    assert to_ms(from_ms(timestamp_ms)) == timestamp_ms


def test_spans_print_the_zone_and_utc() -> None:
    day = NOON, NOON + 3_600_000
    assert describe_span(*day, UTC) == "03 Nov 12:00 .. 03 Nov 13:00 UTC"
    assert describe_span(*day, zone("Europe/Berlin")) == (
        "03 Nov 13:00 .. 03 Nov 14:00 Europe/Berlin (03 Nov 12:00 .. 03 Nov 13:00 UTC)"
    )
    assert describe_span(NOON + 1, NOON + 999, UTC) == (
        "03 Nov 12:00:00.001 .. 03 Nov 12:00:00.999 UTC"
    )
