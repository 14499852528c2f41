"""Brokers that die, hang and come back while somebody reads and writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError
from kafka.protocol.producer import ProduceRequest

from tests.conftest import SOAK
from tests.kafka.broker import Broker, free_ports
from tests.kafka.proxy import Proxy
from tests.kafka.several import ProxiedBroker
from tests.kafka.support import Record, frame, joined, lose_answers, numbered, read, values
from workbench.errors import Unreachable
from workbench.log.kafka import KafkaLog, client, settings
from workbench.log.kafka.wire import Wire
from workbench.log.protocol import Producer, TopicSpec

pytestmark = pytest.mark.kafka

DEATHS = 50 if SOAK else 1
FAULTS = 50 if SOAK else 2
RECORDS = 1_200
SIZE = 50_000


@pytest.fixture(scope="module")
def mortal(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedBroker]:
    """A broker of its own, to be killed, and to be reached over a bad network."""
    broker = ProxiedBroker(kafka.libs, tmp_path_factory.mktemp("mortal"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def proxied(mortal: ProxiedBroker, topic_name: str) -> Iterator[KafkaLog]:
    """The broker through its proxy."""
    with KafkaLog.connect(f"kafka://{mortal.proxied}", write=True) as log:
        log.create_topic(TopicSpec(topic_name))
        yield log
    mortal.proxy.heal()


@pytest.fixture
def log(mortal: Broker, topic_name: str) -> Iterator[KafkaLog]:
    with KafkaLog.connect(f"kafka://{mortal.bootstrap}", write=True) as log:
        log.create_topic(TopicSpec(topic_name))
        yield log


def test_killed_while_reading(mortal: Broker, log: KafkaLog, topic_name: str) -> None:
    written = frame(numbered(RECORDS, size=SIZE))
    log.append(topic_name, written)
    for _ in range(DEATHS):
        chunks = log.read(topic_name, 0, 0, RECORDS)
        seen = [next(chunks)]
        assert seen[0].end < RECORDS
        again = threading.Thread(target=mortal.restart)
        again.start()
        seen.extend(chunks)
        again.join()
        found, gaps = joined(seen, 0, RECORDS)
        assert gaps == []
        assert found["value"].equals(written["value"])


def test_killed_while_appending(mortal: Broker, log: KafkaLog, topic_name: str) -> None:
    """What was acknowledged is there once, in order, whatever was sent again meanwhile."""
    sent: list[bytes] = []
    stop = threading.Event()
    failures: list[BaseException] = []

    def append(rows: list[Record], producer: Producer) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                log.append(topic_name, frame(rows), producer)
                return
            except Unreachable:
                assert time.monotonic() < deadline

    def produce() -> None:
        number = 0
        try:
            while not stop.is_set():
                rows = numbered(20, start=number, size=2_000)
                append(rows, Producer("p", sequence=number // 20))
                sent.extend(row[3] or b"" for row in rows)
                number += 20
        except BaseException as error:
            failures.append(error)

    producer = threading.Thread(target=produce)
    producer.start()
    for _ in range(DEATHS):
        before = len(sent)
        while len(sent) < before + 100 and not failures:
            time.sleep(0.02)
        mortal.restart()
    before = len(sent)
    while len(sent) < before + 20 and not failures:
        time.sleep(0.02)
    stop.set()
    producer.join()
    assert failures == []
    end = log.partitions(topic_name)[0].end
    found, gaps = joined(list(log.read(topic_name, 0, 0, end)), 0, end)
    assert gaps == []
    assert values(found) == sent


@pytest.mark.parametrize("years", [0, 1])
def test_killed_after_it_has_written_and_before_it_answers(
    mortal: Broker, log: KafkaLog, topic_name: str, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    """It comes back without a memory of who wrote records of long ago; they are there once."""
    now = time.time_ns() // 1_000_000
    rows = [(0, now - years * 31_556_952_000, *row[2:]) for row in numbered(40)]
    deaths = iter([mortal.restart])

    def dies(answer: Future[Any]) -> bool:
        answer.result(timeout=30)
        for die in deaths:
            die()
            return True
        return False

    log.append(topic_name, frame(rows[:10]), Producer("p"))
    answers = lose_answers(monkeypatch, dies)
    assert log.append(topic_name, frame(rows[10:20]), Producer("p", sequence=1)) == {0: (10, 20)}
    assert len(answers) == 1
    assert log.append(topic_name, frame(rows[10:20]), Producer("p", sequence=1)) == {0: (10, 20)}
    assert log.append(topic_name, frame(rows[20:]), Producer("p", sequence=2)) == {0: (20, 40)}
    assert values(read(log, topic_name)[0]) == [row[3] for row in rows]


def test_killed_before_it_has_written(
    mortal: Broker, log: KafkaLog, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not found is sent again, whatever others have written meanwhile."""
    mine, theirs = frame(numbered(10)), frame(numbered(5, start=100))
    with KafkaLog.connect(log.hint, write=True) as other:
        send = Wire.send

        def unsent(wire: Wire, request: Any, node: int | None = None) -> Future[Any]:
            if not isinstance(request, ProduceRequest):
                return send(wire, request, node)
            monkeypatch.setattr(Wire, "send", send)
            other.append(topic_name, theirs)
            mortal.restart()
            lost: Future[Any] = Future()
            lost.set_exception(KafkaConnectionError("cut"))
            return lost

        monkeypatch.setattr(Wire, "send", unsent)
        assert log.append(topic_name, mine) == {0: (5, 15)}
        assert values(read(log, topic_name)[0]) == [*values(theirs), *values(mine)]


def test_a_broker_that_hangs(mortal: Broker, log: KafkaLog, topic_name: str) -> None:
    written = frame(numbered(RECORDS, size=SIZE))
    log.append(topic_name, written)
    chunks = log.read(topic_name, 0, 0, RECORDS)
    seen = [next(chunks)]
    mortal.pause()
    woken = threading.Timer(30.0 if SOAK else 2.0, mortal.resume)
    woken.start()
    seen.extend(chunks)
    woken.join()
    found, _ = joined(seen, 0, RECORDS)
    assert found["value"].equals(written["value"])


def test_a_broker_that_hangs_while_appending(
    mortal: Broker, log: KafkaLog, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for longer than an answer is waited for: what it took meanwhile is there once."""
    hangs = 35.0 if SOAK else 2.0
    send = Wire.send

    def hanging(wire: Wire, request: Any, node: int | None = None) -> Future[Any]:
        if isinstance(request, ProduceRequest):
            monkeypatch.setattr(Wire, "send", send)
            mortal.pause()
            threading.Timer(hangs, mortal.resume).start()
        return send(wire, request, node)

    rows = numbered(60, size=2_000)
    for number in range(3):
        monkeypatch.setattr(Wire, "send", hanging)
        part = frame(rows[20 * number : 20 * number + 20])
        taken = log.append(topic_name, part, Producer("p", sequence=number))
        assert taken == {0: (20 * number, 20 * number + 20)}
    assert values(read(log, topic_name)[0]) == [row[3] for row in rows]


def test_brokers_that_are_not_where_they_say(
    mortal: ProxiedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers whose broker advertises a name of their own network."""
    for module in (client, settings):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 1.0)
    first = Proxy()
    first.start(mortal.proxy.target)
    there, mortal.proxy.target = mortal.proxy.target, free_ports(1)[0]
    mortal.proxy.cut()
    said = rf"localhost:{first.port} says that its brokers are at {mortal.proxied}, and nobody"
    try:
        with pytest.raises(Unreachable, match=said):
            KafkaLog.connect(f"kafka://localhost:{first.port}")
    finally:
        mortal.proxy.target = there
        first.stop()


def _cut(proxy: Proxy) -> None:
    proxy.cut()


def _halve(proxy: Proxy) -> None:
    proxy.halve()


def _delay(proxy: Proxy) -> None:
    proxy.delay_seconds = 0.003


def _throttle(proxy: Proxy) -> None:
    proxy.bytes_per_second = 40e6


@pytest.mark.parametrize("fault", [_cut, _halve, _delay, _throttle])
def test_a_bad_network_while_reading(
    mortal: ProxiedBroker, proxied: KafkaLog, topic_name: str, fault: Callable[[Proxy], None]
) -> None:
    written = frame(numbered(RECORDS, size=SIZE))
    proxied.append(topic_name, written)
    for _ in range(FAULTS):
        chunks = proxied.read(topic_name, 0, 0, RECORDS)
        seen = [next(chunks)]
        before = mortal.proxy.pieces
        fault(mortal.proxy)
        seen.extend(chunks)
        assert mortal.proxy.pieces > before
        found, gaps = joined(seen, 0, RECORDS)
        assert gaps == []
        assert found["value"].equals(written["value"])


def test_a_bad_network_while_appending(
    mortal: ProxiedBroker, proxied: KafkaLog, topic_name: str
) -> None:
    """An acknowledgement that is lost on its way makes nothing twice."""
    sent: list[bytes] = []
    for number in range(4 * FAULTS):
        rows = numbered(50, start=50 * number, size=2_000)
        if number % 2:
            mortal.proxy.halve()  # the records arrive, the answer does not
        else:
            mortal.proxy.cut()
        proxied.append(topic_name, frame(rows), Producer("p", sequence=number))
        sent.extend(row[3] or b"" for row in rows)
    assert mortal.proxy.halved >= 2 * FAULTS
    end = proxied.partitions(topic_name)[0].end
    found, gaps = joined(list(proxied.read(topic_name, 0, 0, end)), 0, end)
    assert gaps == []
    assert values(found) == sent
