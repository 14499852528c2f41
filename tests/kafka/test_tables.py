"""Tables over a cluster go on from snapshots in a private folder of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kafka import KafkaAdminClient

import workbench as wb
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from workbench.log.kafka import KafkaLog
from workbench.table import State, Table, snapshots

SCHEMA = {"account": pl.String, "qty": pl.Int64}
HALF = 200


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The private folder; every fold is worth a snapshot."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "private"))
    monkeypatch.setattr(snapshots, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(snapshots, "WORTH", 0.0)
    monkeypatch.setattr(snapshots, "STOP_WORTH", 0.0)
    return tmp_path / "private"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many offsets each read of a partition was for."""
    asked: list[int] = []
    ranges = KafkaLog.read_all

    def counted(self: KafkaLog, wanted: Any, *rest: Any) -> Any:
        wanted = list(wanted)
        asked.extend(end - start for _, _, start, end in wanted)
        return ranges(self, wanted, *rest)

    monkeypatch.setattr(KafkaLog, "read_all", counted)
    return asked


def events(first: int, count: int) -> pl.DataFrame:
    """Late ones, tombstones, values that are no JSON, records without a key: a bit of each."""
    rows = []
    for n in range(first, first + count):
        value: bytes | None = b'{"account":"A-%d","qty":%d}' % (n % 7, n)
        if n % 23 == 0:
            value = None
        elif n % 29 == 0:
            value = b"{"
        key = None if n % 31 == 0 else b"A-%d" % (n % 7)
        rows.append((n % 3, 1_793_000_000_000 + n * 1000 - (n % 11 == 0) * 5000, key, value))
    names = ["partition", "timestamp", "key", "value"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.cast({"partition": pl.Int32, "timestamp": pl.Datetime("ms", "UTC")})


def tables(log: wb.Log, topic: str) -> list[Table]:
    tx = log.stream(topic, schema=SCHEMA)
    qty = pl.col("qty")
    return [
        tx.table(by="account", total=qty.sum(), n=pl.len(), last=qty.last(), mean=qty.mean()),
        tx.table(by="key", total=qty.sum(), first=qty.first()),
        tx.fold(by="account", step=add, initial=0, version="1", merge=lambda a, b: a + b),
    ]


def add(total: int, record: dict[str, Any]) -> int:
    return total + (record["qty"] or 0)


def test_a_table_of_a_cluster_goes_on_from_snapshots(
    kafka: Broker, topic_name: str, folder: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by one connection, met by the next, and equal to a fold from the first record."""
    with wb.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        log.create(topic_name, partitions=3, schema=SCHEMA)
        log.append(topic_name, events(0, HALF), encode="bytes")
        for table in tables(log, topic_name):
            table.now()
        log.append(topic_name, events(HALF, HALF), encode="bytes")
    assert len(list(folder.rglob("*.parquet"))) == 3
    met, cost = asked(kafka, topic_name, read)
    monkeypatch.setenv("WORKBENCH_CACHE", "off")
    scratch, whole = asked(kafka, topic_name, read)
    assert whole >= 3 * (2 * HALF + 285)
    # What came after the snapshot for each of them, and the few records that it is known by.
    assert cost < 3 * (HALF + 85 + 100)
    for one, other in zip(met, scratch, strict=True):
        assert one.frame.equals(other.frame)
        assert (one.counts, one.position, one.newest) == (
            other.counts,
            other.position,
            other.newest,
        )


def asked(kafka: Broker, topic: str, read: list[int]) -> tuple[list[State], int]:
    """Two moments of each table, by a new connection, and how many offsets that took."""
    with wb.connect(f"kafka://{kafka.bootstrap}") as log:
        made = tables(log, topic)
        before = sum(read)
        states = [state for t in made for state in (t.now(), t.at({0: 100, 1: 90, 2: 95}))]
        return states, sum(read) - before


def test_a_topic_that_was_made_again_never_meets_a_snapshot(
    kafka: Broker, admin: KafkaAdminClient, eventually: Patience, topic_name: str, folder: Path
) -> None:
    with wb.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        for qty in (1, 2):
            log.create(topic_name, schema=SCHEMA)
            log.append(topic_name, {"account": "A", "qty": qty})
            table = log.stream(topic_name, schema=SCHEMA).table(by="account", q=pl.col("qty").sum())
            assert table.now().frame.rows() == [("A", qty)]
            admin.delete_topics([topic_name])
            eventually(lambda: topic_name not in log.topics()["topic"])
    assert len(list(folder.rglob("*.parquet"))) == 2
