"""Recording a cluster: exactly what is there, through deaths, and replay without it."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Self

import polars as pl
import pytest
from kafka import KafkaAdminClient, KafkaProducer

import workbench as wb
from tests.conftest import SOAK
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.several import ProxiedBroker
from tests.kafka.support import frame, numbered
from workbench.errors import LogBusy, LogNotFound, TopicChanged, UnknownTopic
from workbench.evidence.against import Comparison
from workbench.log.kafka import KafkaLog
from workbench.log.protocol import Producer, TopicSpec
from workbench.records import RAW
from workbench.sink import record as recording_module

pytestmark = pytest.mark.kafka

KILLS = 50 if SOAK else 3
DEATHS = 50 if SOAK else 1
RAW_COLUMNS = [name for name in RAW if name != "recorded_at"]

_RECORDER = """
import sys
import workbench as wb

with wb.connect(sys.argv[1]) as log:
    log.record(sys.argv[2], topics=sys.argv[3].split(","), follow=True)
"""


@pytest.fixture
def mortal(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedBroker]:
    """A broker of its own, to be killed."""
    broker = ProxiedBroker(kafka.libs, tmp_path_factory.mktemp("recorded"))
    broker.start()
    yield broker
    broker.stop()


class Producing(threading.Thread):
    """Appends to two partitions until it is stopped, and through the deaths of the broker."""

    def __init__(self, log: KafkaLog, topic: str) -> None:
        super().__init__()
        self._log, self._topic = log, topic
        self._ended = threading.Event()
        #: How many records each of the partitions has.
        self.written = 0

    def run(self) -> None:
        for number in itertools.count():
            if self._ended.is_set():
                return
            rows = [
                row
                for partition in (0, 1)
                for row in numbered(100, start=self.written, partition=partition, size=500)
            ]
            self._log.append(self._topic, frame(rows), Producer("p", sequence=number))
            self.written += 100
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self._log.create_topic(TopicSpec(self._topic, partitions=2))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


class Recorder:
    """`log.record(follow=True)` in a process of its own."""

    def __init__(self, server: str, into: Path, *topics: str) -> None:
        self._into, self._topic = into, topics[0]
        self._command = [
            sys.executable,
            "-c",
            _RECORDER,
            f"kafka://{server}",
            str(into),
            ",".join(topics),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE)

    def wait_beyond(self, offsets: int) -> None:
        """Until more than so many offsets of the first topic are recorded."""
        deadline = time.monotonic() + 90
        while recorded_end(self._into, self._topic) <= offsets:
            assert self.process is not None
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, number: signal.Signals) -> tuple[int, bytes]:
        assert self.process is not None
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def records_of(place: str | Path, topic: str) -> pl.DataFrame:
    """All records of a topic as a log has them; when they were recorded aside."""
    with wb.connect(place) as log:
        found = [
            chunk.raw.collect()
            for part in log.backend.partitions(topic)
            for chunk in log.backend.read(topic, part.partition, part.start, part.last_stable)
        ]
    return pl.concat([pl.DataFrame(schema=RAW), *found]).select(RAW_COLUMNS)


def recorded_end(place: Path, topic: str) -> int:
    """How many offsets of a topic are recorded; 0 before there is a recording of it."""
    try:
        with wb.connect(place) as log:
            return sum(part.end for part in log.backend.partitions(topic))
    except (LogNotFound, UnknownTopic):
        return 0


def test_everything_is_kept(
    kafka: Broker, admin: KafkaAdminClient, cluster: KafkaLog, topic_name: str, tmp_path: Path
) -> None:
    """Offsets, times and their type, keys, headers, markers as gaps, epochs, both ids."""
    cluster.create_topic(TopicSpec(topic_name, partitions=2, timestamp_type="append"))
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"tx-{topic_name}")
    producer.init_transactions()
    for outcome in ("commit", "abort", "commit"):
        producer.begin_transaction()
        for partition in (0, 1):
            for key, value in ((b"k", b"v"), (None, b""), (b"", None)):
                headers = [("h", b"1"), ("h", b"")]
                producer.send(
                    topic_name, key=key, value=value, partition=partition, headers=headers
                )
        producer.flush()
        getattr(producer, f"{outcome}_transaction")()
    producer.close()
    into = tmp_path / "recording"
    started = time.time()
    with wb.connect(f"kafka://{kafka.bootstrap}") as log:
        live = log.stream(topic_name, decode="bytes").all()
        done = live.record(into)
        assert done.records == 12
        frame = live.frame(raw=True)
        completeness = str(live.completeness())
        address = live.address
    with wb.connect(into) as recording:
        assert recording.id == cluster.id
        assert recording.backend.topic(topic_name).id == cluster.topic(topic_name).id
        again = wb.open_slice(address, log=recording)
        recorded = again.frame(raw=True)
        assert recorded.drop("recorded_at").equals(frame)
        assert str(again.completeness()) == completeness
        received = recorded["recorded_at"].dt.epoch("ms") / 1000
        assert received.is_between(started - 0.001, time.time()).all()
        assert again.lazy(raw=True).collect()["recorded_at"].equals(recorded["recorded_at"])
        assert "recorded_at" not in again.frame().columns
    assert records_of(into, topic_name).equals(records_of(f"kafka://{kafka.bootstrap}", topic_name))
    assert frame["leader_epoch"].null_count() == 0
    assert set(frame["timestamp_type"]) == {"append"}


def test_a_recorder_that_is_killed(
    kafka: Broker, cluster: KafkaLog, topic_name: str, tmp_path: Path
) -> None:
    """Whenever it is killed, the next one goes on exactly there, while records keep coming."""
    into = tmp_path / "recording"
    dice = Random(4)
    recorder = Recorder(kafka.bootstrap, into, topic_name)
    with Producing(cluster, topic_name) as producing:
        for kill in range(KILLS):
            held = 0 if kill == 0 else recorded_end(into, topic_name)
            recorder.start()
            recorder.wait_beyond(held)
            time.sleep(dice.random() * 0.3)
            assert recorder.end(signal.SIGKILL) == (-signal.SIGKILL, b"")
    with wb.connect(f"kafka://{kafka.bootstrap}") as log:
        log.record(into, topics=[topic_name])
        found = wb.verify(into, against=log)
        assert isinstance(found.against, Comparison)
        assert (found.against.same, found.against.differences) == (2 * producing.written, [])
        assert found.ok
    assert records_of(into, topic_name).equals(records_of(f"kafka://{kafka.bootstrap}", topic_name))


def test_a_recorder_that_is_interrupted_and_a_second_one(
    kafka: Broker, cluster: KafkaLog, topic_name: str, tmp_path: Path
) -> None:
    """Ctrl-C is how a continuous recording ends; meanwhile nobody else records into it."""
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(10)))
    into = tmp_path / "recording"
    recorder = Recorder(kafka.bootstrap, into, topic_name)
    recorder.start()
    recorder.wait_beyond(9)
    with wb.connect(f"kafka://{kafka.bootstrap}") as log, pytest.raises(LogBusy):
        log.record(into, topics=[topic_name])
    assert recorder.end(signal.SIGINT) == (0, b"")
    assert recorded_end(into, topic_name) == 10


def test_a_cluster_that_dies_meanwhile_and_then_for_good(
    mortal: ProxiedBroker, topic_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording outlives restarts: nothing is missing or twice, whenever the broker was killed.

    And the address of a slice finds it when nobody answers.
    """
    url = f"kafka://{mortal.bootstrap}"
    (tmp_path / "recordings").mkdir()
    into = tmp_path / "recordings" / "kept"
    recorder = Recorder(mortal.bootstrap, into, topic_name)
    with KafkaLog.connect(url, write=True) as log:
        with Producing(log, topic_name) as producing:
            recorder.start()
            for _ in range(DEATHS):
                recorder.wait_beyond(recorded_end(into, topic_name) + 500)
                mortal.restart()
            recorder.wait_beyond(recorded_end(into, topic_name) + 500)
        recorder.wait_beyond(2 * producing.written - 1)
    assert recorder.end(signal.SIGINT)[0] == 0
    with wb.connect(url) as log:
        found = wb.verify(into, against=log)
        assert isinstance(found.against, Comparison)
        assert (found.against.same, found.against.differences) == (2 * producing.written, [])
        day = log.stream(topic_name, decode="bytes").all()
        live, address = day.frame(), day.address.to_json()
    assert live["offset"].to_list() == 2 * list(range(producing.written))
    mortal.kill()
    monkeypatch.chdir(tmp_path)
    again = wb.open_slice(address)
    assert again.frame().equals(live)


def test_a_topic_made_again(
    kafka: Broker,
    admin: KafkaAdminClient,
    cluster: KafkaLog,
    topic_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Patience,
) -> None:
    """Neither the recorder that is at work goes on with it, nor the next one."""
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(5)))
    into = tmp_path / "recording"

    def make_again(*_: object) -> None:
        """What happens while the recorder waits."""
        admin.delete_topics([topic_name])
        eventually(lambda: topic_name not in {info.name for info in cluster.topics()})
        cluster.create_topic(TopicSpec(topic_name))
        cluster.append(topic_name, frame(numbered(3)))

    monkeypatch.setattr(recording_module, "_wait", make_again)
    with wb.connect(f"kafka://{kafka.bootstrap}") as log:
        with pytest.raises(TopicChanged, match="deleted and made again"):
            log.record(into, topics=[topic_name], follow=True)
        with pytest.raises(TopicChanged, match="deleted and made again"):
            log.record(into, topics=[topic_name])
        found = wb.verify(into, against=log)
    assert not found.ok
    assert recorded_end(into, topic_name) == 5


def test_partitions_that_are_added(
    kafka: Broker,
    admin: KafkaAdminClient,
    cluster: KafkaLog,
    topic_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Patience,
) -> None:
    """A recorder that is at work goes on with them."""
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(5)))
    rounds = iter(range(2))

    def grow(*_: object) -> None:
        if next(rounds):
            raise KeyboardInterrupt
        admin.create_partitions({topic_name: 3})
        eventually(lambda: len(cluster.partitions(topic_name)) == 3)
        cluster.append(topic_name, frame([*numbered(2, partition=2), *numbered(1)]))

    monkeypatch.setattr(recording_module, "_wait", grow)
    into = tmp_path / "recording"
    with wb.connect(f"kafka://{kafka.bootstrap}") as log:
        assert log.record(into, topics=[topic_name], follow=True).records == 8
    assert records_of(into, topic_name).equals(records_of(f"kafka://{kafka.bootstrap}", topic_name))
