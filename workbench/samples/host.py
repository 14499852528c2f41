"""Readings of the machine that this runs on: processors, memory, disk and network."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import polars as pl
import psutil

from workbench.samples.stream import TIME, Record, TopicSample, encode, iso
from workbench.schema import Schema

HOST = TopicSample(
    "host",
    partitions=1,
    key="metric",
    schema=Schema(
        {
            "host": pl.String,
            "metric": pl.String,
            "part": pl.String,
            "value": pl.Float64,
            "unit": pl.String,
            "at": TIME,
        }
    ),
    about="one measurement of this machine each; rates are per second since the last round",
)
TOPICS = (HOST,)

#: Metric, the reading in psutil's counters that it is the rate of, and its unit.
_DISK = (("disk_read", "read_bytes", "B/s"), ("disk_write", "write_bytes", "B/s"))
_NETWORK = (("network_in", "bytes_recv", "B/s"), ("network_out", "bytes_sent", "B/s"))


def rounds(events: int | None = None, every: float = 1.0) -> Iterator[list[Record]]:
    """Measure every so many seconds, until `events` readings were made (None: for ever).

    Gives one list a round; the first comes after one pause.  What this machine does not have, or
    does not let us read, is left out.  Timestamps are null: the log is to stamp them.
    """
    name = socket.gethostname()
    number = 0
    psutil.cpu_percent(percpu=True)
    before, since = _counters(), time.monotonic()
    while events is None or number < events:
        time.sleep(every)
        now, at = time.monotonic(), time.time_ns() // 1_000_000
        counters = _counters()
        rates = [
            (metric, "all", (counters[metric] - before[metric]) / (now - since), unit)
            for metric, _, unit in _DISK + _NETWORK
            if metric in counters and metric in before
        ]
        before, since = counters, now
        readings = (_levels() + rates)[: None if events is None else events - number]
        yield [
            Record(
                at,
                number + place,
                HOST.name,
                None,
                metric.encode(),
                encode(
                    {
                        "host": name,
                        "metric": metric,
                        "part": part,
                        "value": round(value, 3),
                        "unit": unit,
                        "at": iso(at),
                    }
                ),
            )
            for place, (metric, part, value, unit) in enumerate(readings)
        ]
        number += len(readings)


def _levels() -> list[tuple[str, str, float, str]]:
    """What can be read at one moment: metric, part, value, unit."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    processors = psutil.cpu_percent(percpu=True)
    return [
        *(("processor", f"cpu{n}", percent, "%") for n, percent in enumerate(processors)),
        ("memory", "ram", memory.percent, "%"),
        ("memory", "swap", swap.percent, "%"),
        ("processes", "all", float(len(psutil.pids())), "1"),
    ]


def _counters() -> dict[str, float]:
    """Counters that only ever grow, by the metric that is their rate."""
    found: dict[str, float] = {}
    for source, metrics in (
        (psutil.disk_io_counters(), _DISK),
        (psutil.net_io_counters(), _NETWORK),
    ):
        if source is not None:
            found |= {metric: float(getattr(source, field)) for metric, field, _ in metrics}
    return found
