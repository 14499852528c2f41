"""A day in a workshop: eight machines that report temperature, humidity and vibration."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import polars as pl

from workbench.samples.dice import Dice
from workbench.samples.stream import (
    DAY,
    HOUR,
    TIME,
    Record,
    Story,
    TopicSample,
    encode,
    iso,
    millis,
    moment,
)
from workbench.schema import Schema

SMALLEST = 2_000

READINGS = TopicSample(
    "readings",
    partitions=3,
    key="machine",
    schema=Schema(
        {
            "machine": pl.String,
            "line": pl.String,
            "sensor": pl.String,
            "value": pl.Float64,
            "unit": pl.String,
            "sequence": pl.Int64,
            "at": TIME,
        }
    ),
    about="one reading of one sensor each; `sequence` counts a machine's readings",
)
TOPICS = (READINGS,)

STORIES = (
    Story(
        "stuck",
        "The temperature sensor of MC-03 reports the very same value from 09:00 to 13:00.",
        "readings",
        moment("2026-11-05T09:00"),
        moment("2026-11-05T13:00"),
        "MC-03",
    ),
    Story(
        "worn-bearing",
        "The vibration of MC-05 grows from 14:00 to the end of the day.",
        "readings",
        moment("2026-11-05T14:00"),
        moment("2026-11-06T00:00"),
        "MC-05",
    ),
    Story(
        "outage",
        "Line B sends nothing from 11:00 to 11:45: the sequence numbers of its machines jump.",
        "readings",
        moment("2026-11-05T11:00"),
        moment("2026-11-05T11:45"),
    ),
    Story(
        "clock-back",
        "The clock of MC-02 jumps back by an hour at 16:00 and is put right at 18:00; its "
        "sequence goes on.",
        "readings",
        moment("2026-11-05T15:00"),
        moment("2026-11-05T17:00"),
        "MC-02",
    ),
)

START = millis("2026-11-05")
STUCK = START + 9 * HOUR, START + 13 * HOUR
WORN_SINCE = START + 14 * HOUR
OUTAGE = START + 11 * HOUR, START + 11 * HOUR + 45 * HOUR // 60
SLOW_CLOCK = START + 16 * HOUR, START + 18 * HOUR

MACHINES = {f"MC-{n:02d}": "A" if n <= 5 else "B" for n in range(1, 9)}
#: Sensor: unit, value at rest, gain while working, noise; values in thousandths.
SENSORS = {
    "temperature": ("°C", 38_000, 24_000, 350),
    "humidity": ("%", 52_000, -9_000, 600),
    "vibration": ("mm/s", 900, 1_300, 120),
}
# How hard the workshop works at each full hour, in percent, the next midnight included.
# fmt: off
LOAD = (
    20, 18, 18, 18, 20, 35, 70, 92, 97, 100, 98, 95, 72, 90, 98, 97, 93, 88, 74, 62, 50, 40, 30, 24,
    20,
)
# fmt: on


def records(events: int, seed: int) -> Iterator[Record]:
    """The day in exactly `events` records, in order of arrival; more records, shorter rounds."""
    dice = Dice("sensors", seed)
    sequence = dict.fromkeys(MACHINES, 0)
    stuck: int | None = None
    number = 0
    period = _period(events)
    for tick in range(START, START + DAY + period, period):
        round_ = sorted((tick + dice.below(min(period // 2, 2_000)), m) for m in MACHINES)
        for true, machine in round_:
            line = MACHINES[machine]
            shown = true - HOUR if machine == "MC-02" and _within(true, SLOW_CLOCK) else true
            for sensor, (unit, rest, gain, noise) in SENSORS.items():
                value = rest + gain * _load(true) // 100 + dice.between(-noise, noise)
                if machine == "MC-05" and sensor == "vibration" and true >= WORN_SINCE:
                    value += (true - WORN_SINCE) * 420 // HOUR
                if machine == "MC-03" and sensor == "temperature" and _within(true, STUCK):
                    stuck = value = stuck or value
                sequence[machine] += 1
                if line == "B" and _within(true, OUTAGE):
                    continue
                if number == events:
                    return
                number += 1
                reading = encode(
                    {
                        "machine": machine,
                        "line": line,
                        "sensor": sensor,
                        "value": Decimal(value).scaleb(-3),
                        "unit": unit,
                        "sequence": sequence[machine],
                        "at": iso(shown),
                    }
                )
                yield Record(true, number, READINGS.name, shown, machine.encode(), reading)


def _period(events: int) -> int:
    """Milliseconds between two rounds of readings, so that `events` of them fill the day."""
    rounds = DAY * len(MACHINES) - (OUTAGE[1] - OUTAGE[0]) * list(MACHINES.values()).count("B")
    return max(rounds * len(SENSORS) // events, 1)


def _within(time: int, span: tuple[int, int]) -> bool:
    return span[0] <= time < span[1]


def _load(time: int) -> int:
    """Percent of full load, between the full hours on a straight line."""
    hour, rest = divmod((time - START) % DAY, HOUR)
    return LOAD[hour] + (LOAD[hour + 1] - LOAD[hour]) * rest // HOUR
