"""From a Kafka topic to a DataFrame: ours, its peers, and a fetch that decodes nothing.

Starts a broker, or uses the one that WORKBENCH_TEST_KAFKA names.  Every reading is made by a
process of its own, the readers taking turns; seconds and processor seconds are medians, and those
of the broker are not counted.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import workbench as wb
from tests.benchmarks import kafka_readers as readers
from tests.kafka.broker import Broker, resolve

EVENTS = int(os.environ.get("WORKBENCH_BENCH_EVENTS", "2_000_000"))
PARTITIONS = 4
REPEATS = 3
FIRST_MS = int(time.time() * 1000)  # so that nothing expires meanwhile

#: Codec, and the readers that are compared on it.
COMPARED = {
    "none": ("fetch", "ours", "ours_kept", "confluent", "aiokafka", "kafkarrow", "kafka_python"),
    "lz4": ("fetch", "ours", "confluent"),
    "zstd": ("fetch", "ours", "confluent"),
}
TYPED = ("ours_json", "confluent_json")


class Reading(NamedTuple):
    """What one process measured."""

    seconds: float
    cpu: float
    peak_mb: float
    frame_mb: float


def run(events: int = EVENTS) -> list[dict[str, Any]]:
    """A row per codec and reader; ratios are those of speed (wall clock; processor time)."""
    rows: list[dict[str, Any]] = []
    with broker() as server:
        for codec, names in COMPARED.items():
            topic, counts = produce(server, codec, events)
            there = [name for name in names if importlib.util.find_spec(_PACKAGE[name])]
            rows += _compared(server, topic, counts, f"bytes, {codec}", there, "confluent")
            if codec == "none":
                rows += _compared(server, topic, counts, "JSON, none", TYPED, "confluent_json")
                rows.append(_batches(server, topic, counts))
                rows.append(_replayed(server, topic, counts))
    return rows


_PACKAGE = {
    **dict.fromkeys(("fetch", "ours", "ours_kept"), "workbench"),
    "confluent": "confluent_kafka",
    "aiokafka": "aiokafka",
    "kafkarrow": "kafkarrow",
    "kafka_python": "kafka",
}


@contextmanager
def broker() -> Iterator[str]:
    named = os.environ.get("WORKBENCH_TEST_KAFKA")
    if named:
        yield named
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Broker(resolve(), Path(folder) / "broker")
        made.start()
        try:
            yield made.bootstrap
        finally:
            made.stop()


def produce(server: str, codec: str, events: int) -> tuple[str, readers.Counts]:
    """A topic of so many JSON events of some 215 bytes, written by another client."""
    from confluent_kafka import Producer

    topic = f"bench-{codec}-{uuid.uuid4().hex[:8]}"
    with wb.connect(f"kafka://{server}", write=True) as log:
        log.create(topic, partitions=PARTITIONS)
    producer = Producer(
        {
            "bootstrap.servers": server,
            "compression.type": codec,
            "linger.ms": 100,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for number, key, value in events_of(events).iter_rows():
        while True:
            try:
                producer.produce(
                    topic, value, key, number % PARTITIONS, timestamp=FIRST_MS + number
                )
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    share, rest = divmod(events, PARTITIONS)
    return topic, {number: share + (number < rest) for number in range(PARTITIONS)}


def events_of(count: int) -> pl.DataFrame:
    """Number, key and value of bank-like events."""
    i = pl.col("i")
    at = (FIRST_MS + i).cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    account = pl.format("A-{}", 1000 + i * 7919 % 100_000)
    parts = (
        *('{"id":', i, ',"account":"', account, '","kind":"card_payment","amount":'),
        *_euros(i * 104_729 % 1_000_000),
        ',"balance":',
        *_euros(i * 15_485_863 % 100_000_000),
        *(',"currency":"EUR","at":"', at, '","counterparty":"DE'),
        *(i.cast(pl.String).str.zfill(20), '","merchant":"merchant number ', i % 1000, '"}'),
    )
    value = pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])
    numbers = pl.int_range(count, eager=True).alias("i").to_frame()
    return numbers.select("i", account.alias("key"), value.alias("value"))


def _euros(cents: pl.Expr) -> tuple[pl.Expr, str, pl.Expr]:
    return cents // 100, ".", (cents % 100).cast(pl.String).str.zfill(2)


def _compared(
    server: str,
    topic: str,
    counts: readers.Counts,
    what: str,
    names: Iterable[str],
    peer: str,
) -> list[dict[str, Any]]:
    """Each reader a few times, in turns; a row each."""
    readings: dict[str, list[Reading]] = {name: [] for name in names}
    for _ in range(REPEATS):
        for name, made in readings.items():
            made.append(_alone(name, server, topic, counts))
    medians = {
        name: Reading(*(statistics.median(column) for column in zip(*made, strict=True)))
        for name, made in readings.items()
    }
    events = sum(counts.values())
    return [
        {
            "what": what,
            "reader": name,
            "s": one.seconds,
            "M events/s": events / one.seconds / 1e6,
            "to confluent": medians[peer].seconds / one.seconds,
            "to confluent, cpu": medians[peer].cpu / one.cpu,
            "% of fetch": _share(medians, name),
            "peak / frame": one.peak_mb / one.frame_mb if one.frame_mb else None,
        }
        for name, one in medians.items()
    ]


def _share(medians: dict[str, Reading], name: str) -> float | None:
    return 100 * medians["fetch"].seconds / medians[name].seconds if "fetch" in medians else None


def _batches(server: str, topic: str, counts: readers.Counts) -> dict[str, Any]:
    one = _alone("ours_batches", server, topic, counts)
    megabytes = f"peak {one.peak_mb:,.0f} MB more"
    return {"what": "batches, none", "reader": megabytes, "s": one.seconds}


def _replayed(server: str, topic: str, counts: readers.Counts) -> dict[str, Any]:
    """The second replay of a recorded slice, against its first read from the cluster."""
    with (
        tempfile.TemporaryDirectory() as folder,
        wb.connect(f"kafka://{server}", max_read=1 << 40, cache="off") as log,
    ):
        part = log.stream(topic, schema=readers.SCHEMA).between("earliest", counts)
        began = time.perf_counter()
        part.frame()
        first = time.perf_counter() - began
        part.record(folder)
        with wb.connect(folder, max_read=1 << 40) as recording:
            again = recording.stream(topic).all()
            seconds = [_timed(again.frame)[0] for _ in range(2)][1]
    return {
        "what": "JSON, recorded",
        "reader": f"second replay, {first / seconds:.1f} times its first read from the cluster",
        "s": seconds,
    }


def _alone(name: str, server: str, topic: str, counts: readers.Counts) -> Reading:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (name, server, topic, counts))


def _measured(name: str, server: str, topic: str, counts: readers.Counts) -> Reading:
    """In a process of its own: a small read for all that is done once, then the one that counts."""
    read: readers.Reader = getattr(readers, name)
    if name not in _FROM_THE_START:
        read(server, topic, {partition: min(2_000, end) for partition, end in counts.items()})
    # The peak so far is forgotten.
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_mb()
    seconds, cpu, found = _timed(lambda: read(server, topic, counts))
    size = _held_mb(found) if isinstance(found, pl.DataFrame) else 0.0
    rows = found.height if isinstance(found, pl.DataFrame) else found
    assert rows == sum(counts.values()), (name, rows)
    return Reading(seconds, cpu, _peak_mb() - before, size)


#: This one cannot be told where to end.
_FROM_THE_START = {"kafkarrow"}


def _timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    began, spent = time.perf_counter(), os.times()
    result = call()
    done = os.times()
    return (
        time.perf_counter() - began,
        done.user + done.system - spent.user - spent.system,
        result,
    )


def _held_mb(frame: pl.DataFrame) -> float:
    """What a frame takes in memory.

    Polars' estimate counts the bytes of texts, and not their views: 16 bytes for each text, which
    are all that one of up to 12 bytes takes.
    """
    texts = frame.select(pl.col(pl.String, pl.Binary).cast(pl.Binary))
    inside = texts.select(pl.all().bin.size().filter(pl.all().bin.size() <= 12).sum())
    return (
        frame.estimated_size("mb") + (16 * texts.height * texts.width - sum(inside.row(0))) / 2**20
    )


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
