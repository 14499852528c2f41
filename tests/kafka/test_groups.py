"""Consumer groups on a cluster: joining never fails, and nobody waits for the dead."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from kafka import KafkaAdminClient

import workbench as wb
from tests.conftest import SOAK
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.member import LEASE_SECONDS
from tests.kafka.support import frame, numbered
from workbench.errors import GroupError, GroupInUse, LeaseLost
from workbench.log.kafka import KafkaLog, membership
from workbench.log.protocol import TopicSpec
from workbench.positions import Position
from workbench.source.follow import follow
from workbench.source.stream import Asked, StreamSource

pytestmark = pytest.mark.kafka

JOINS = 50 if SOAK else 5
PARTITIONS = 4

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "LEASE_SECONDS", LEASE_SECONDS)


@pytest.fixture
def topic(cluster: KafkaLog, topic_name: str) -> str:
    cluster.create_topic(TopicSpec(topic_name, partitions=PARTITIONS))
    return topic_name


@pytest.fixture
def start(topic: str) -> Position:
    return Position({(topic, n): 0 for n in range(PARTITIONS)})


@pytest.fixture
def second(kafka: Broker) -> Iterator[KafkaLog]:
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}") as log:
        yield log


@pytest.fixture
def process(kafka: Broker, topic: str) -> Iterator[Start]:
    """Start a member of the topic's group as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str, times: int = 0) -> subprocess.Popen[str]:
        url = f"kafka://{kafka.bootstrap}"
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.kafka.member", what, url, topic, str(times)],
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()
        assert one.stdout is not None
        one.stdout.close()


def put(log: KafkaLog, topic: str, count: int, *, first: int = 0) -> None:
    """Append records to all partitions."""
    records = [
        record
        for partition in range(PARTITIONS)
        for record in numbered(count, partition=partition, start=first)
    ]
    log.append(topic, frame(records))


def held(log: KafkaLog, group: str) -> list[int]:
    """How many partitions each member has, as the broker says."""
    return sorted(len(member.partitions) for member in log.group(group).members)


def test_joining_always_succeeds(cluster: KafkaLog, topic: str, start: Position) -> None:
    for n in range(JOINS):
        for group in (topic, f"{topic}-{n}"):
            member = cluster.join(group, start)
            assert member.assignment() == start
            member.leave()
            assert cluster.group(group).members == ()


@pytest.mark.parametrize("members", [2, 3])
def test_members_that_come_and_go(process: Start, members: int) -> None:
    running = [process("come-and-go", JOINS) for _ in range(members)]
    for one in running:
        said, _ = one.communicate()
        assert one.returncode == 0, said


def test_processes_share_the_partitions_and_inherit_from_the_dead(
    cluster: KafkaLog, process: Start, topic: str, start: Position, eventually: Patience
) -> None:
    one, two = process("follow"), process("follow")
    eventually(lambda: topic in {group.name for group in cluster.groups()})
    eventually(lambda: held(cluster, topic) == [2, 2])
    put(cluster, topic, 100)
    eventually(lambda: cluster.group(topic).offsets == dict.fromkeys(start, 100))
    one.kill()
    put(cluster, topic, 50, first=100)
    eventually(lambda: cluster.group(topic).offsets == dict.fromkeys(start, 150))
    assert held(cluster, topic) == [4]
    two.kill()
    seen = [
        [tuple(map(int, line.split())) for line in p.communicate()[0].splitlines()]
        for p in (one, two)
    ]
    # In peace each record went to one of them; after the death the other one had everything.
    early = [{p for p, offset in of if offset < 100} for of in seen]
    assert sorted(map(len, early)) == [2, 2]
    assert early[0] | early[1] == set(range(PARTITIONS))
    counts = Counter(seen[0] + seen[1])
    assert set(counts) == {(p, n) for p in range(PARTITIONS) for n in range(150)}
    assert max(counts[p, n] for p in range(PARTITIONS) for n in range(100)) == 1


def test_two_members_share_the_partitions(
    cluster: KafkaLog, second: KafkaLog, topic: str, start: Position, eventually: Patience
) -> None:
    one = cluster.join(topic, start)
    assert one.assignment() == start
    one.commit(Position({(topic, 0): 5}))

    joined: list[Position] = []
    two = second.join(topic, start)
    other = threading.Thread(target=lambda: joined.append(two.assignment()))
    other.start()
    eventually(lambda: len(one.assignment()) == 2)
    other.join()
    mine, theirs = one.assignment(), joined[0]
    assert set(mine) | set(theirs) == set(start)
    assert not set(mine) & set(theirs)
    assert {**mine, **theirs}[topic, 0] == 5

    with pytest.raises(LeaseLost, match="went to another member"):
        one.commit(Position(dict.fromkeys(theirs, 7)))
    info = cluster.group(topic)
    assert sorted(p for m in info.members for p in m.partitions) == sorted(start)
    assert info.offsets == {(topic, 0): 5}

    with pytest.raises(GroupInUse, match="2 members"):
        cluster.join(topic, start, join_existing=False)
    one.leave()
    one.leave()
    eventually(lambda: len(two.assignment()) == 4)
    two.leave()
    assert cluster.group(topic).members == ()
    assert topic in [group.name for group in cluster.groups()]
    with pytest.raises(GroupError, match="no group 'nobody'"):
        cluster.group("nobody")


def test_who_gives_up_joining_is_not_waited_for(
    cluster: KafkaLog,
    second: KafkaLog,
    start: Position,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = cluster.join(topic, start)
    one.assignment()
    two = second.join(topic, start)
    monkeypatch.setattr(membership, "JOIN_SECONDS", 1.0)
    # The first is in its loop body all the while, and a rebalance waits for it.
    with pytest.raises(GroupError, match="nothing was assigned within 1 s"):
        two.assignment()
    two.leave()
    assert len(cluster.group(topic).members) == 1
    assert one.assignment() == start
    one.leave()


def test_a_loop_body_that_takes_too_long_loses_its_partitions(
    cluster: KafkaLog,
    second: KafkaLog,
    topic: str,
    start: Position,
    eventually: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership, "BODY_SECONDS", 2 * LEASE_SECONDS)
    one = cluster.join(topic, start)
    one.assignment()
    # Within the time it keeps them, though nobody hears of it but the heart.
    time.sleep(1.5 * LEASE_SECONDS)
    one.commit(Position({(topic, 0): 5}))
    one.assignment()
    eventually(lambda: held(cluster, topic) == [])
    with pytest.raises(LeaseLost, match="a loop body may take 4 s at most"):
        one.commit(Position({(topic, 0): 7}))
    two = second.join(topic, start)
    assert two.assignment()[topic, 0] == 5
    two.leave()
    assert one.assignment()[topic, 0] == 5
    one.leave()


def test_a_batch_that_took_too_long_comes_again(
    kafka: Broker,
    cluster: KafkaLog,
    topic: str,
    eventually: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership, "BODY_SECONDS", LEASE_SECONDS)
    put(cluster, topic, 3)
    with wb.connect(f"kafka://{kafka.bootstrap}") as log:
        seen: list[int] = []
        for batch in log.stream(topic, decode="bytes").follow(topic, until="now"):
            if not seen:
                eventually(lambda: held(cluster, topic) == [])
            seen.append(batch.height)
    assert seen == [12, 12]
    assert set(cluster.group(topic).offsets.values()) == {3}


def test_kafkas_own_tool_sees_our_positions(
    cluster: KafkaLog, kafka: Broker, topic: str, start: Position
) -> None:
    put(cluster, topic, 5)
    member = cluster.join(topic, start)
    member.assignment()
    member.commit(Position({(topic, 0): 3}))
    member.leave()
    shown = kafka.run(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        *("--bootstrap-server", kafka.bootstrap, "--describe", "--group", topic),
    ).decode()
    [line] = [line.split() for line in shown.splitlines() if line.split()[1:2] == [topic]]
    assert line[2:6] == ["0", "3", "5", "2"]  # partition, position, end, lag


def test_a_group_of_somebody_else_is_refused(kafka: Broker, topic: str, cluster: KafkaLog) -> None:
    """Our own group goes on where it was; another user's is not taken over by accident."""
    cluster.append(topic, frame(numbered(3)))
    url = f"kafka://{kafka.bootstrap}"
    for client_id in ("ann", "ann", "bob"):
        with wb.connect(url, options={"client_id": client_id}) as log:
            stream = log.stream(topic, decode="bytes")
            if client_id == "ann":
                list(stream.follow(topic, timeout=0.5))
                continue
            with pytest.raises(GroupInUse, match=rf"group '{topic}' .* not bob's"):
                next(stream.follow(topic, timeout=0.5))
            assert list(stream.follow(topic, timeout=0.5, join_existing=True)) == []


def test_a_group_of_another_tool_is_refused(
    kafka: Broker, topic: str, cluster: KafkaLog, second: KafkaLog, start: Position
) -> None:
    cluster.append(topic, frame(numbered(3)))
    kafka.console_consumer(topic, 3, "--group", topic)
    with pytest.raises(GroupInUse, match=r"positions in [1-9]"):
        second.join(topic, start)
    member = second.join(topic, start, join_existing=True)
    assert member.assignment()[topic, 0] == 3
    member.leave()


def test_a_group_of_the_new_protocol_is_seen(
    kafka: Broker, topic: str, cluster: KafkaLog, start: Position, eventually: Patience
) -> None:
    """Of a group as of KIP-848: members, position and lag; and it is not joined by accident."""
    put(cluster, topic, 5)
    url = f"kafka://{kafka.bootstrap}"
    protocol = ("--consumer-property", "group.protocol=consumer")
    with wb.connect(url) as log, kafka.consuming(topic, "--group", topic, *protocol):

        def members() -> list[int]:
            return log.groups().filter(pl.col("group") == topic)["members"].to_list()

        eventually(lambda: members() == [1] and len(log.group(topic).members) == PARTITIONS)
        group = log.group(topic)
        assert group.state == "stable"
        assert set(group.members["client"]) == {"console-consumer"}
        assert sorted(group.members["partition"]) == [*range(PARTITIONS)]
        with pytest.raises(GroupInUse, match="1 members"):
            cluster.join(topic, start)
        eventually(lambda: set(log.group(topic).position.values()) == {5})
        assert log.group(topic).lag["lag"].to_list() == [0] * PARTITIONS


@pytest.mark.parametrize("group", [None, "grows"])
def test_a_partition_that_is_added_is_read_from_its_first_record(
    cluster: KafkaLog,
    admin: KafkaAdminClient,
    topic: str,
    group: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that the caller has left out stays out."""
    monkeypatch.setattr(membership, "LOOK_SECONDS", 0.5)
    start = Position({(topic, n): 0 for n in range(PARTITIONS - 1)})
    for number in range(PARTITIONS):
        cluster.append(topic, frame(numbered(2, partition=number)))
    stream = StreamSource(cluster, (topic,), Asked("bytes"))
    batches = follow(stream, start, group=group and f"{group}-{topic}", timeout=60)
    seen = set(next(batches).select("partition", "offset").rows())
    admin.create_partitions({topic: PARTITIONS + 1})
    admin.wait_for_topics([topic])
    cluster.append(topic, frame(numbered(2, partition=PARTITIONS)))
    for batch in batches:
        seen |= set(batch.select("partition", "offset").rows())
        if (PARTITIONS, 1) in seen:
            break
    wanted = [*range(PARTITIONS - 1), PARTITIONS]
    assert seen == {(partition, at) for partition in wanted for at in range(2)}
