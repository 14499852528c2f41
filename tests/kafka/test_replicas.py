"""Three brokers: leaders that move, die, and come back with less than they had."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaConnectionError
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer import ProduceRequest

import workbench as wb
from tests.conftest import SOAK
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.several import NODES, Cluster
from tests.kafka.support import frame, joined, lose_answers, numbered
from workbench.errors import OffsetOutOfRange
from workbench.evidence.against import Comparison
from workbench.log.kafka import KafkaLog
from workbench.log.kafka.wire import Ask, Wire
from workbench.log.protocol import TopicSpec

pytestmark = pytest.mark.kafka

MOVES = 50 if SOAK else 1
RECORDS = 1_000
SIZE = 50_000


@pytest.fixture(scope="module")
def replicas(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(kafka.libs, tmp_path_factory.mktemp("replicas"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(autouse=True)
def all_alive(replicas: Cluster) -> Iterator[None]:
    """A test that fails half-way leaves no dead broker to the next one."""
    yield
    replicas.revive()


@pytest.fixture(scope="module")
def operator(replicas: Cluster) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=replicas.bootstrap.split(","))
    yield client
    client.close()


@pytest.fixture
def log(replicas: Cluster) -> Iterator[KafkaLog]:
    with KafkaLog.connect(f"kafka://{replicas.bootstrap}", write=True) as log:
        yield log


def strangers(operator: KafkaAdminClient, topic: str) -> list[int]:
    """The brokers that do not know a topic."""
    asked = MetadataRequest(
        topics=[MetadataRequest.MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False
    )
    manager = operator._manager
    return [n for n in NODES if manager.run(manager.send, asked, n).topics[0].error_code]


def replicated(
    operator: KafkaAdminClient, name: str, nodes: tuple[int, ...], **configs: str
) -> str:
    """A topic of one partition that these brokers keep; the first one leads.  All know it."""
    operator.create_topics({name: {"assignments": {0: list(nodes)}, "configs": configs}})
    while strangers(operator, name):
        time.sleep(0.05)
    return name


def state(operator: KafkaAdminClient, topic: str) -> tuple[int, set[int]]:
    """Who leads, and who is in sync; nobody where one was asked who has just died."""
    try:
        [found] = operator.describe_topics([topic])
    except KafkaConnectionError:
        return -1, set()
    part = found["partitions"][0]
    return part["leader_id"], set(part["isr_nodes"])


def alive(operator: KafkaAdminClient) -> set[int]:
    """The brokers that the cluster counts on; all where one was asked who has just died."""
    try:
        brokers = operator.describe_cluster()["brokers"]
    except KafkaConnectionError:
        return set(NODES)
    return {one["broker_id"] for one in brokers if not one["is_fenced"]}


def test_a_leader_that_dies(
    replicas: Cluster,
    operator: KafkaAdminClient,
    log: KafkaLog,
    topic_name: str,
    eventually: Patience,
) -> None:
    """Reading goes on at the next leader, and nothing is missing or twice."""
    replicated(operator, topic_name, NODES)
    written = frame(numbered(RECORDS, size=SIZE))
    log.append(topic_name, written)
    for _ in range(MOVES):
        chunks = log.read(topic_name, 0, 0, RECORDS)
        seen = [next(chunks)]
        assert seen[0].end < RECORDS
        leader, _ = state(operator, topic_name)
        replicas.brokers[leader].kill()
        seen.extend(chunks)
        found, gaps = joined(seen, 0, RECORDS)
        assert gaps == []
        assert found["value"].equals(written["value"])
        assert state(operator, topic_name)[0] != leader
        replicas.brokers[leader].start()
        eventually(lambda: state(operator, topic_name)[1] == set(NODES), 60)


def test_what_is_not_yet_on_all_replicas_is_waited_for(
    replicas: Cluster,
    operator: KafkaAdminClient,
    log: KafkaLog,
    topic_name: str,
    eventually: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch whose answer was lost is neither acknowledged nor sent again until they have it."""
    first, second, _ = NODES
    replicated(operator, topic_name, (first, second))
    assert log.append(topic_name, frame(numbered(3))) == {0: (0, 3)}
    eventually(lambda: state(operator, topic_name) == (first, {first, second}))

    def unanswered(answer: Future[Any]) -> bool:
        """Give the leader time to write it, which is all that it can do."""
        wait([answer], 0.3)
        return True

    answers = lose_answers(monkeypatch, unanswered)
    send = Wire.send

    def alone(wire: Wire, request: Any, node: int | None = None) -> Future[Any]:
        if isinstance(request, ProduceRequest) and not answers:
            replicas.brokers[second].kill()  # in sync for another moment
        return send(wire, request, node)

    monkeypatch.setattr(Wire, "send", alone)
    assert log.append(topic_name, frame(numbered(4))) == {0: (3, 7)}
    assert len(answers) == 1
    assert log.partitions(topic_name)[0].end == 7


def test_a_leader_that_hands_over(
    operator: KafkaAdminClient,
    log: KafkaLog,
    topic_name: str,
    fetches: list[Ask],
    eventually: Patience,
) -> None:
    """Nobody dies: who led says that it does not any more, to readers and to writers."""
    first, second, third = NODES
    replicated(operator, topic_name, NODES)
    written = frame(numbered(RECORDS, size=SIZE))
    log.append(topic_name, written)
    chunks = log.read(topic_name, 0, 0, RECORDS)
    seen = [next(chunks)]
    place = TopicPartition(topic_name, 0)
    eventually(lambda: state(operator, topic_name) == (first, set(NODES)))
    operator.alter_partition_reassignments({place: [second, third, first]})
    operator.elect_leaders(0, {topic_name: [0]})
    eventually(lambda: state(operator, topic_name)[0] == second)
    seen.extend(chunks)
    found, gaps = joined(seen, 0, RECORDS)
    assert gaps == []
    assert found["value"].equals(written["value"])
    assert [ask.leader for ask in fetches if ask.topic == topic_name][-1] == second
    assert log.append(topic_name, written.head(3)) == {0: (RECORDS, RECORDS + 3)}


def test_a_leader_that_joins_later(
    replicas: Cluster,
    operator: KafkaAdminClient,
    topic_name: str,
    eventually: Patience,
) -> None:
    """Who was not there when the connections were made is found when first needed."""
    first, last = NODES[0], NODES[-1]
    replicated(operator, topic_name, (first, last))
    replicas.brokers[last].kill()
    eventually(lambda: state(operator, topic_name)[1] == {first}, 60)
    eventually(lambda: last not in alive(operator), 60)
    with KafkaLog.connect(f"kafka://{replicas.bootstrap}", write=True) as log:
        written = frame(numbered(RECORDS))
        log.append(topic_name, written)
        before, _ = joined(list(log.read(topic_name, 0, 0, RECORDS)), 0, RECORDS)
        replicas.brokers[last].start()
        later = replicated(operator, f"{topic_name}-later", (last,))

        begun = time.monotonic()
        assert log.partitions(later)[0].end == 0
        log.append(later, written)
        after, _ = joined(list(log.read(later, 0, 0, RECORDS)), 0, RECORDS)
        # The client looks by itself once a minute.
        assert time.monotonic() - begun < 20
        assert before["value"].equals(after["value"])


def test_the_nearest_replica_is_read(
    replicas: Cluster,
    operator: KafkaAdminClient,
    log: KafkaLog,
    topic_name: str,
    fetches: list[Ask],
    eventually: Patience,
) -> None:
    """Who says where it is reads from there (KIP-392); the leader has what is not there."""
    first, near, _ = NODES
    replicated(operator, topic_name, NODES)
    written = frame(numbered(RECORDS, size=SIZE))
    log.append(topic_name, written)
    eventually(lambda: state(operator, topic_name) == (first, set(NODES)))
    rack = {"client_rack": f"rack-{near}"}
    with KafkaLog.connect(f"kafka://{replicas.bootstrap}", options=rack) as reader:

        def near_first() -> bool:
            """A leader does not send anybody to who has not caught up yet."""
            fetches.clear()
            next(reader.read(topic_name, 0, 0, RECORDS))
            return [ask.leader for ask in fetches[:2]] == [first, near]

        eventually(near_first)
        fetches.clear()
        found, gaps = joined(list(reader.read(topic_name, 0, 0, RECORDS)), 0, RECORDS)
        assert gaps == []
        assert found["value"].equals(written["value"])
        # Who is near may lag for a moment, and its leader answers instead.
        asked_of = [ask.leader for ask in fetches]
        assert asked_of[:2] == [first, near]
        assert asked_of.count(near) > len(asked_of) // 2

        chunks = reader.read(topic_name, 0, 0, RECORDS)
        seen = [next(chunks)]
        replicas.brokers[near].kill()
        fetches.clear()
        seen.extend(chunks)
        found, _ = joined(seen, 0, RECORDS)
        assert found["value"].equals(written["value"])
        # What was on its way there fails; then no word of a rack, or the leader would go on
        # sending us there until the cluster has noticed.
        asked = [(ask.leader, ask.rack) for ask in fetches if ask.leader != near]
        assert set(asked) == {(first, "")}
        assert fetches[-1].leader == first
    replicas.brokers[near].start()
    eventually(lambda: state(operator, topic_name)[1] == set(NODES), 60)


def test_all_brokers_know_a_topic_that_is_made(
    replicas: Cluster, operator: KafkaAdminClient, log: KafkaLog, topic_name: str
) -> None:
    """Whichever is asked next: what is made can be written to at once."""
    for number in range(20):
        name = f"{topic_name}-{number}"
        log.create_topic(TopicSpec(name))
        assert strangers(operator, name) == []


def test_an_unclean_election(
    replicas: Cluster,
    operator: KafkaAdminClient,
    log: KafkaLog,
    topic_name: str,
    tmp_path: Path,
    eventually: Patience,
) -> None:
    """A leader that lacks the end cuts the log back: a reader is told, a recording finds out."""
    first, second = NODES[:2]
    unclean = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
    replicated(operator, topic_name, (first, second), **unclean)
    log.append(topic_name, frame(numbered(RECORDS // 2, size=SIZE)))
    eventually(lambda: state(operator, topic_name)[1] == {first, second})
    replicas.brokers[second].kill()
    eventually(lambda: state(operator, topic_name)[1] == {first}, 60)
    log.append(topic_name, frame(numbered(RECORDS // 2, start=RECORDS // 2, size=SIZE)))
    before = wb.connect(f"kafka://{replicas.bootstrap}")
    before.record(tmp_path / "recording", topics=[topic_name])
    before.close()

    chunks = log.read(topic_name, 0, RECORDS // 2, RECORDS)
    next(chunks)
    replicas.brokers[first].kill()
    replicas.brokers[second].start()
    eventually(lambda: state(operator, topic_name)[0] == second, 60)
    with pytest.raises(OffsetOutOfRange, match=r"cut back|beyond the log's end"):
        list(chunks)

    other = frame(numbered(100, start=5_000, size=SIZE))
    log.append(topic_name, other)
    with wb.connect(f"kafka://{replicas.bootstrap}") as after:
        with pytest.raises(OffsetOutOfRange, match="offset 600, and is recorded up to 1000"):
            after.record(tmp_path / "recording", topics=[topic_name])
        found = wb.verify(tmp_path / "recording", against=after)
    assert isinstance(found.against, Comparison)
    assert not found.ok
    assert found.against.same == RECORDS // 2
    assert found.against.changed == RECORDS // 2
    assert [(d.start, d.end) for d in found.against.differences] == [
        (RECORDS // 2, RECORDS // 2 + 100),
        (RECORDS // 2 + 100, RECORDS),
    ]
    assert "the source ends at offset" in str(found)
    replicas.brokers[first].start()
