"""The logs that have to pass the contract suite.

A new kind of log joins by an entry in `KINDS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest
from kafka import KafkaAdminClient, TopicPartition

import workbench as wb
from tests.kafka.broker import Broker
from workbench.log.embedded import EmbeddedLog
from workbench.log.kafka import KafkaLog


class Kind(NamedTuple):
    """How a test brings a kind of log into a state that its public face has no word for.

    `open` gives an empty, writable log.  `settle` moves what was appended to where the log keeps
    what is old.  `expire` drops what is older than the retention of its topic.
    """

    open: Callable[[Path], AbstractContextManager[wb.Log]]
    settle: Callable[[wb.Log], None]
    expire: Callable[[wb.Log], None]


def embedded(folder: Path) -> AbstractContextManager[wb.Log]:
    return wb.connect(folder, create=True)


def stay(log: wb.Log) -> None:
    """Leave the records where they are."""


def seal(log: wb.Log) -> None:
    assert isinstance(log.backend, EmbeddedLog)
    assert log.backend.seal(force=True) > 0


def enforce_retention(log: wb.Log) -> None:
    assert isinstance(log.backend, EmbeddedLog)
    log.backend.enforce_retention()


def emptied(broker: Broker) -> wb.Log:
    """A broker's log, after whatever others left in it is gone."""
    log = wb.connect(f"kafka://{broker.bootstrap}", write=True)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    if groups := [group["group_id"] for group in admin.list_groups()]:
        admin.delete_groups(groups)
    if topics := [topic["name"] for topic in admin.describe_topics() if not topic["is_internal"]]:
        admin.delete_topics(topics)
    admin.close()
    while log.backend.topics():
        time.sleep(0.02)
    return log


def expire_in_kafka(log: wb.Log) -> None:
    """What the broker's own retention does, now and to the record."""
    assert isinstance(log.backend, KafkaLog)
    admin = KafkaAdminClient(bootstrap_servers=log.backend.hint.removeprefix("kafka://"))
    for info, _ in log.backend.details([info.name for info in log.backend.topics()]):
        if info.retention_ms is None:
            continue
        oldest = int(time.time() * 1000) - info.retention_ms
        ends = {part.partition: part.end for part in log.backend.partitions(info.name)}
        for number, offset in log.backend.offset_for_time(info.name, oldest).items():
            left = ends[number] if offset is None else offset
            admin.delete_records({TopicPartition(info.name, number): left})
    admin.close()


def kafka_kind(broker: Broker) -> Kind:
    return Kind(lambda _: emptied(broker), stay, expire_in_kafka)


KINDS = {
    "embedded": Kind(embedded, stay, enforce_retention),
    "embedded, sealed": Kind(embedded, seal, enforce_retention),
}


KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)


@pytest.fixture(scope="session")
def second_kafka(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Another broker, since a log that is shared and one of a test's own are there at once."""
    broker = Broker(kafka.libs, tmp_path_factory.mktemp("second-kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module", params=[*KINDS, KAFKA])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind of log, in every state that makes a difference to readers."""
    if request.param == "kafka":
        return kafka_kind(request.getfixturevalue("kafka"))
    return KINDS[request.param]


@pytest.fixture(scope="module")
def shared_log(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[wb.Log]:
    """A log for all tests of a module: one of them fills it, and then they only read it."""
    with kind.open(tmp_path_factory.mktemp("contract") / "log") as log:
        yield log


@pytest.fixture(params=["embedded", KAFKA])
def any_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[wb.Log]:
    """An empty log of each kind, for one test."""
    found = (
        kafka_kind(request.getfixturevalue("second_kafka"))
        if request.param == "kafka"
        else KINDS[request.param]
    )
    with found.open(tmp_path / "log") as log:
        yield log


@pytest.fixture
def other_log(tmp_path: Path) -> Iterator[wb.Log]:
    """Another log, to copy into."""
    with wb.connect(tmp_path / "other", create=True) as log:
        yield log
