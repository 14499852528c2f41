"""The permissions that are documented are enough, and without any of them one sentence says so."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

import workbench as wb
import workbench.log.kafka as documented
from tests.kafka.conftest import Patience
from tests.kafka.secured import GUEST, PASSWORD, SecuredBroker
from tests.kafka.support import frame, lose_answers, numbered, read
from workbench.errors import AccessDenied, AppendRejected, GroupError, UnknownTopic, WorkbenchError
from workbench.log.kafka import KafkaLog
from workbench.log.protocol import TopicSpec
from workbench.positions import Position

pytestmark = pytest.mark.kafka

Grant = Callable[..., None]

GUIDE = Path(wb.__file__).parent.parent / "notebooks" / "guides" / "connect-to-a-cluster.md"


@pytest.fixture
def admin(secured: SecuredBroker) -> Iterator[KafkaAdminClient]:
    """The administration of the broker with locks."""
    client = KafkaAdminClient(bootstrap_servers=secured.bootstrap)
    yield client
    client.close()


@pytest.fixture
def grant(admin: KafkaAdminClient) -> Iterator[Grant]:
    """Give the guest these permissions on one name, and no others."""

    def clear() -> None:
        everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
        admin.delete_acls(
            [ACLFilter(f"User:{GUEST}", None, ACLOperation.ANY, ACLPermissionType.ANY, everything)]
        )

    def only(name: str, permissions: list[tuple[str, str]]) -> None:
        clear()
        admin.create_acls(
            [
                ACL(
                    f"User:{GUEST}",
                    "*",
                    ACLOperation[operation],
                    ACLPermissionType.ALLOW,
                    ResourcePattern(ResourceType[kind], name),
                )
                for operation, kind in permissions
            ]
        )

    yield only
    clear()


@pytest.fixture(scope="module")
def guest(secured: SecuredBroker) -> Iterator[KafkaLog]:
    """Somebody who may do what the lists say."""
    assert secured.authority is not None
    options = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "ssl_cafile": str(secured.authority.file),
        "sasl_plain_username": GUEST,
        "sasl_plain_password": PASSWORD,
    }
    with KafkaLog.connect(secured.url("LOGIN"), write=True, options=options) as log:
        yield log


@pytest.fixture
def topic(secured: SecuredBroker, topic_name: str) -> str:
    """A topic with records, and a group of the same name that has a position in it."""
    with KafkaLog.connect(f"kafka://{secured.bootstrap}", write=True) as log:
        log.create_topic(TopicSpec(topic_name, retention_ms=3_600_000))
        log.append(topic_name, frame(numbered(3)))
        member = log.join(topic_name, Position({(topic_name, 0): 0}))
        member.assignment()
        member.commit(Position({(topic_name, 0): 2}))
        member.leave()
    return topic_name


def _look(log: KafkaLog, topic: str) -> None:
    assert [p.end for p in log.partitions(topic)] >= [3]
    assert log.offset_for_time(topic, 0) == {0: 0}


def _read(log: KafkaLog, topic: str) -> None:
    assert read(log, topic)[0].height >= 3


def _unsure(log: KafkaLog, topic: str) -> None:
    """Without the settings it is not known, rather than not so, that nothing is compacted."""
    assert log.topic(topic).cleanup_policy == "unknown"
    table = wb.Log(log, tz=UTC, max_read=None).stream(topic, decode="bytes")
    assert "which the log does not tell" in repr(table.table(by="key", n=pl.len()).now())


def _settings(log: KafkaLog, topic: str) -> None:
    if log.topic(topic).retention_ms is None:
        raise AccessDenied(f"the retention of {topic} is not shown")


def _group(log: KafkaLog, topic: str) -> None:
    if log.group(topic).offsets != {(topic, 0): 2}:
        raise AccessDenied(f"the position of {topic} is not shown")


def _follow(log: KafkaLog, topic: str) -> None:
    member = log.join(topic, Position({(topic, 0): 0}))
    try:
        position = member.assignment()
        assert dict(position) == {(topic, 0): 2}
        read(log, topic, 2, 3)
        member.commit(position)
    finally:
        member.leave()


def _append(log: KafkaLog, topic: str) -> None:
    log.append(topic, frame(numbered(1)))


DOINGS: dict[str, Callable[[KafkaLog, str], None]] = {
    "partitions(), times": _look,
    "frame(), sql(), find()": _read,
    "retention in topics()": _settings,
    "group(name)": _group,
    "follow(group=)": _follow,
    "append()": _append,
}


def table() -> dict[str, list[tuple[str, str]]]:
    """The documented permissions: per line what is done, and what on which kind it needs."""
    text = inspect.getdoc(documented) or ""
    return {
        done.strip(): [(one.split()[0], one.split()[1].upper()) for one in needed.split(", ")]
        for done, needed in re.findall(r"^    (\S.*?) {2,}([A-Z_]+ \S.*)$", text, re.MULTILINE)
    }


def test_the_table_is_what_is_tested() -> None:
    assert set(table()) == {*DOINGS, "create()"}


def test_the_guide_has_the_same_table() -> None:
    text = GUIDE.read_text(encoding="utf-8").split("## What you have to be allowed")[1]
    rows = re.findall(r"^\| `(.+?)` \| ([A-Z].*?) \|$", text, re.MULTILINE)
    shown = {
        done: [(one.split()[0], one.split()[1].upper()) for one in needed.split(", ")]
        for done, needed in rows
    }
    assert shown == table()


@pytest.mark.parametrize("doing", DOINGS)
def test_documented_permissions_are_enough_and_each_is_needed(
    guest: KafkaLog, grant: Grant, topic: str, doing: str, eventually: Patience
) -> None:
    needed = table()[doing]
    failures: list[WorkbenchError] = []

    def works() -> bool:
        try:
            DOINGS[doing](guest, topic)
        except (AccessDenied, AppendRejected, GroupError, UnknownTopic) as error:
            failures.append(error)
            return False
        return True

    grant(topic, needed)
    eventually(works)  # a list is in force a moment after it is acknowledged
    if doing.startswith("frame()"):
        _unsure(guest, topic)
    for missing in needed:
        grant(topic, [one for one in needed if one != missing])
        eventually(lambda: not works())
        said = str(failures[-1])
        assert topic in said
        assert "\n" not in said
        assert not isinstance(failures[-1], UnknownTopic)


def test_a_lost_answer_to_who_may_only_write(
    guest: KafkaLog,
    grant: Grant,
    topic: str,
    eventually: Patience,
    monkeypatch: pytest.MonkeyPatch,
    secured: SecuredBroker,
) -> None:
    """Who may not look relies on what the brokers know, and they know of young records alone."""
    grant(topic, [("WRITE", "TOPIC")])
    stamped = time.time_ns() // 1_000_000
    young = frame([(0, stamped, b"k", b"%d" % n, []) for n in range(5)])
    with pytest.raises(AccessDenied):
        _read(guest, topic)

    def may() -> bool:
        try:
            guest.append(topic, young)
        except (AccessDenied, AppendRejected, UnknownTopic):
            return False
        return True

    eventually(may)
    lost = iter((True, False))

    def first(answer: Future[Any]) -> bool:
        answer.result(timeout=30)
        return next(lost)

    answers = lose_answers(monkeypatch, first)
    assert guest.append(topic, young) == {0: (8, 13)}
    assert len(answers) == 2
    lost = iter((True,))
    said = "5 of 5 records .* whether they were written cannot be seen: .* does not let user"
    with pytest.raises(AppendRejected, match=said):
        guest.append(topic, frame(numbered(5)))
    assert len(answers) == 3
    with KafkaLog.connect(f"kafka://{secured.bootstrap}") as log:
        assert read(log, topic)[0].height == 3 + 5 + 5 + 5


def test_creating(guest: KafkaLog, grant: Grant, topic_name: str, eventually: Patience) -> None:
    with pytest.raises(AccessDenied, match=f"does not let user 'guest'.*create {topic_name}"):
        guest.create_topic(TopicSpec(topic_name))
    grant(topic_name, table()["create()"])

    def made() -> bool:
        try:
            guest.create_topic(TopicSpec(topic_name))
        except AccessDenied:
            return False
        return True

    eventually(made)
    assert guest.topic(topic_name).partitions == 1


def test_topics_that_a_guest_may_not_see_are_not_listed(
    guest: KafkaLog, grant: Grant, topic: str, eventually: Patience
) -> None:
    assert guest.topics() == []
    grant(topic, [("DESCRIBE", "TOPIC")])
    eventually(lambda: [info.name for info in guest.topics()] == [topic])
