"""What only a cluster has: producers, metadata, times, refusals."""

from __future__ import annotations

import socketserver
import sys
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
from kafka import KafkaAdminClient

import workbench as wb
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.support import T0, frame, make, numbered, read
from workbench.errors import (
    AppendRejected,
    OutOfSequence,
    ProfileError,
    ReadOnly,
    TopicChanged,
    TopicExists,
    UnknownTopic,
    Unreachable,
)
from workbench.log.kafka import KafkaLog, wire
from workbench.log.kafka import log as log_module
from workbench.log.kafka.poll import PollReader
from workbench.log.kafka.reader import FetchReader
from workbench.log.kafka.settings import Settings
from workbench.log.protocol import LogBackend, Producer, TopicSpec
from workbench.positions import Position

pytestmark = pytest.mark.kafka

HOUR = 3_600_000


def test_it_is_a_log(cluster: KafkaLog) -> None:
    assert isinstance(cluster, LogBackend)
    assert (cluster.kind, cluster.live, cluster.writable) == ("kafka", True, True)


# --- reading leaves no trace --------------------------------------------------------------------


def test_reading_creates_joins_and_commits_nothing(kafka: Broker, admin: KafkaAdminClient) -> None:
    before = (set(admin.list_topics()), [g["group_id"] for g in admin.list_groups()])
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}") as log:
        for ask in (
            lambda: log.topic("never-made"),
            lambda: log.partitions("never-made"),
            lambda: log.read("never-made", 0, 0, 1),
            lambda: log.offset_for_time("never-made", 0),
        ):
            with pytest.raises(UnknownTopic, match="no topic 'never-made'"):
                ask()
        for info in log.topics():
            for part in log.partitions(info.name):
                list(log.read(info.name, part.partition, part.start, part.last_stable))
    assert (set(admin.list_topics()), [g["group_id"] for g in admin.list_groups()]) == before


def test_a_reader_cannot_write(kafka: Broker, topic_name: str) -> None:
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}") as log:
        with pytest.raises(ReadOnly, match="write=True"):
            log.create_topic(TopicSpec(topic_name))
        with pytest.raises(ReadOnly, match="write=True"):
            log.append(topic_name, frame(numbered(1)))


# --- appending ----------------------------------------------------------------------------------


def test_a_batch_sent_again_is_written_once(cluster: KafkaLog, topic_name: str) -> None:
    cluster.create_topic(TopicSpec(topic_name, partitions=2))
    batch = frame([*numbered(3), *numbered(2, partition=1)])
    first = cluster.append(topic_name, batch, Producer("p"))
    assert first == {0: (0, 3), 1: (0, 2)}
    assert cluster.append(topic_name, batch, Producer("p")) == first
    assert cluster.append(topic_name, batch, Producer("p", sequence=1)) == {0: (3, 6), 1: (2, 4)}
    with pytest.raises(OutOfSequence):
        cluster.append(topic_name, batch, Producer("p", sequence=3))
    assert cluster.append(topic_name, batch, Producer("p", epoch=1)) == {0: (6, 9), 1: (4, 6)}
    assert [p.end for p in cluster.partitions(topic_name)] == [9, 6]


def test_what_was_not_written_is_named(
    cluster: KafkaLog, admin: KafkaAdminClient, topic_name: str
) -> None:
    make(admin, topic_name, max_message_bytes=100_000)
    large = (0, T0, b"k", b"x" * 600_000, [])
    with pytest.raises(AppendRejected, match=r"1 of 3 .*rows 2 \(partition 0\).*more than"):
        cluster.append(topic_name, frame([*numbered(2), large]))
    assert cluster.partitions(topic_name)[0].end == 2
    with pytest.raises(AppendRejected, match="no partition 5"):
        cluster.append(topic_name, frame(numbered(1, partition=5)))
    assert cluster.append(topic_name, frame(numbered(1))) == {0: (2, 3)}


def test_topics_are_made_as_specified(cluster: KafkaLog, topic_name: str) -> None:
    spec = TopicSpec(
        topic_name,
        partitions=3,
        retention_ms=HOUR,
        retention_bytes=1 << 30,
        timestamp_type="append",
    )
    made = cluster.create_topic(spec)
    assert made == cluster.topic(topic_name)
    assert [made] == [info for info, _ in cluster.details([topic_name])]
    assert (made.partitions, made.retention_ms, made.retention_bytes) == (3, HOUR, 1 << 30)
    assert (made.timestamp_type, made.cleanup_policy) == ("append", "delete")
    with pytest.raises(TopicExists):
        cluster.create_topic(spec)


def test_a_schema_is_the_users_own(
    kafka: Broker,
    admin: KafkaAdminClient,
    topic_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Patience,
) -> None:
    url = f"kafka://{kafka.bootstrap}"
    monkeypatch.setenv("WORKBENCH_SCHEMAS", str(tmp_path / "own"))
    schema = {"amount": pl.Decimal(18, 2)}
    with wb.connect(url, write=True) as log:
        log.create(topic_name, schema=schema)
    with wb.connect(url, write=True) as log:
        assert log.stream(topic_name).schema["amount"] == pl.Decimal(18, 2)
        log.append(topic_name, [{"amount": Decimal("1.10")}])
        assert log.stream(topic_name).all().frame()["amount"].dtype == pl.Decimal(18, 2)
    monkeypatch.setenv("WORKBENCH_SCHEMAS", str(tmp_path / "another's"))
    with wb.connect(url) as log:
        assert log.backend.topic(topic_name).schema is None
    # A topic that is made again is another one.
    monkeypatch.setenv("WORKBENCH_SCHEMAS", str(tmp_path / "own"))
    admin.delete_topics([topic_name])
    eventually(lambda: topic_name not in admin.list_topics())
    make(admin, topic_name)
    with wb.connect(url) as log:
        assert log.backend.topic(topic_name).schema is None


@pytest.fixture
def requests(cluster: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the requests that a log sends from now on."""
    sent: list[str] = []
    manager = cluster._client.admin._manager
    send = manager.send

    def watched(request: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(type(request).__name__.removesuffix("Request"))
        return send(request, *args, **kwargs)

    monkeypatch.setattr(manager, "send", watched)
    return sent


def test_three_hundred_topics_cost_as_much_as_one(
    cluster: KafkaLog, admin: KafkaAdminClient, topic_name: str, requests: list[str]
) -> None:
    names = [f"{topic_name}-{n:03d}" for n in range(300)]
    admin.create_topics({name: {"num_partitions": 1} for name in names}, wait_for_metadata=True)
    cluster.append(names[7], frame(numbered(3)))
    cluster.details(names)  # by then every partition has its leader
    requests.clear()
    log = wb.Log(cluster, tz=UTC, max_read=None)  # others use the cluster too: it stays open
    assert log.topics(f"{topic_name}*")["topic"].to_list() == names
    assert requests == ["Metadata"]
    requests.clear()
    found = log.topics(f"{topic_name}*", details=True)
    assert found["topic"].to_list() == names
    assert found["offsets"].to_list() == [3 if n == 7 else 0 for n in range(300)]
    assert found["last"].drop_nulls().len() == 1
    assert found["cleanup_policy"].unique().to_list() == ["delete"]
    assert len(requests) < 20
    member = cluster.join(topic_name, Position({(name, 0): 0 for name in names[:50]}))
    member.commit(member.assignment())
    member.leave()
    requests.clear()
    lag = log.groups().filter(pl.col("group") == topic_name)["lag"]
    assert lag.to_list() == [3]
    assert len(requests) < 30
    admin.delete_topics(names)


def test_added_partitions_are_seen(
    cluster: KafkaLog, admin: KafkaAdminClient, topic_name: str, eventually: Patience
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(1)))
    admin.create_partitions({topic_name: 3})
    eventually(lambda: len(cluster.partitions(topic_name)) == 3)
    cluster.append(topic_name, frame(numbered(1, partition=2)))
    assert [p.end for p in cluster.partitions(topic_name)] == [1, 0, 1]


# --- times --------------------------------------------------------------------------------------


@pytest.fixture
def timed(cluster: KafkaLog, topic_name: str) -> KafkaLog:
    """A record a minute for 100 hours; offset 600 is stamped in 2099, 5000 ten hours late."""
    cluster.create_topic(TopicSpec(topic_name))
    stamps = [T0 + n * 60_000 for n in range(6000)]
    stamps[600] = 4_070_908_800_000
    stamps[5000] -= 10 * HOUR
    cluster.append(topic_name, frame((0, at, None, b"v", []) for at in stamps))
    return cluster


def test_times_are_looked_up(timed: KafkaLog, topic_name: str) -> None:
    assert timed.offset_for_time(topic_name, T0 + 60_000) == {0: 1}
    assert timed.offset_for_time(topic_name, T0 + 60_000 - 1) == {0: 1}
    assert timed.offset_for_time(topic_name, T0 + 3000 * 60_000) == {0: 600}  # the future answers
    assert timed.offset_for_time(topic_name, 1 << 50) == {0: None}


def test_a_record_from_the_future_does_not_cut_a_time_range(
    timed: KafkaLog, topic_name: str
) -> None:
    start, end = T0 + 500 * 60_000, T0 + 3000 * 60_000
    ranges, late = timed.cover(topic_name, start, end, None)
    low, high = ranges[0]
    assert low == 500
    assert 3060 <= high < 3300  # an hour of lateness, and less than a probe more
    assert late == HOUR
    assert timed.cover(topic_name, start, end, 0)[0][0][1] >= 3000
    assert timed.cover(topic_name, start, end, "all") == ({0: (500, 6000)}, None)


def test_how_late_is_late_is_for_the_reader_to_say(timed: KafkaLog, topic_name: str) -> None:
    end = T0 + 4450 * 60_000  # the record at offset 5000 belongs before it
    assert timed.cover(topic_name, T0, end, 0)[0][0][1] < 5000
    assert timed.cover(topic_name, T0, end, 11 * HOUR)[0][0][1] > 5000
    with wb.connect(timed.hint) as log:
        stream = log.stream(topic_name, decode="bytes")
        kept = stream.between("2026-10-25", "2100-01-01", late="all")
        assert kept.frame().height == 6000


# --- connecting ---------------------------------------------------------------------------------


def test_nobody_there_and_no_secret_shown() -> None:
    url = "kafka://anna:s3cret@localhost:1"
    options = {"security_protocol": "SASL_PLAINTEXT", "ssl_password": "t0psecret"}
    settings = Settings.of(url, options)
    with pytest.raises(Unreachable, match="kafka://localhost:1 does not answer") as caught:
        KafkaLog.connect(url, options=options)
    shown = f"{settings!r} {settings.hint} {caught.value!r} {caught.value.__context__!r}"
    assert "s3cret" not in shown
    assert "t0psecret" not in shown
    assert settings.client()["sasl_plain_password"] == "s3cret"


def test_a_port_of_something_else() -> None:
    """Whoever answers there is not said to be silent."""

    class Other(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.ThreadingTCPServer(("localhost", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(Unreachable, match="not as Kafka does"):
                wb.connect(f"kafka://localhost:{server.server_address[1]}")
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("kafka://one", ("one:9092",)),
        ("kafka://one:1,two,three:3", ("one:1", "two:9092", "three:3")),
        ("kafka://u:p@one:1/", ("one:1",)),
        ("kafka://[::1]:5", ("[::1]:5",)),
    ],
)
def test_addresses(url: str, servers: tuple[str, ...]) -> None:
    assert Settings.of(url).servers == servers


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://one/topic",
        "kafka://one?x=1",
        "kafka://one:port",
        "kafka://one:99999",
        "kafka://one:",
        "kafka://:9092",
        "kafka://one,t wo",
        "kafka://[::1:9092",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ProfileError, match="kafka://host:9092"):
        Settings.of(url)


def test_settings() -> None:
    made = Settings.of("kafka://one", {"security.protocol": "SSL", "client_id": "me"})
    assert made.options == {"security_protocol": "SSL", "client_id": "me"}
    with pytest.raises(ProfileError, match="no setting 'group_id'"):
        Settings.of("kafka://one", {"group_id": "x"})
    assert str(Settings.of("kafka://one").client()["client_id"]).startswith("workbench-")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"api_version": "x"}, "api_version is a version such as"),
        ({"proxy_url": "here"}, "proxy_url is a URL such as"),
        ({"reconnect_backoff_ms": -5}, "reconnect_backoff_ms is a number of milliseconds, not -5"),
        ({"security_protocol": "SSL", "ssl_cafile": 3}, "3 cannot be used"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM"}, "there are PLAIN, SCRAM-"),
        ({3: 4}, "named by text"),
        ("client_id", "options= is a mapping of settings, not str"),
    ],
)
def test_settings_that_cannot_be(options: Any, said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        wb.connect("kafka://localhost:1", options=options)


def test_caches_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong: Any = 5
    for cache in (wrong, tmp_path / "file"):
        with pytest.raises(ProfileError, match=r"a folder, not 5|is no place for a cache: File"):
            wb.connect("kafka://localhost:1", cache=cache)


@pytest.mark.parametrize(
    ("missing", "reader"),
    [("workbench.log.kafka.transport", FetchReader), ("kafka.net.manager", PollReader)],
)
def test_a_step_slower_where_the_client_has_changed(
    kafka: Broker, monkeypatch: pytest.MonkeyPatch, missing: str, reader: type, topic_name: str
) -> None:
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        log.create_topic(TopicSpec(topic_name))
        log.append(topic_name, frame(numbered(3)))
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.warns(RuntimeWarning, match="slower but as correct"):
            found, _ = read(log, topic_name)
        assert found.height == 3
        assert type(log._reader) is reader
        monkeypatch.undo()
        assert read(log, topic_name)[0].height == 3  # said once


def test_the_best_rung_is_taken(cluster: KafkaLog, topic_name: str) -> None:
    assert log_module.open_wire is wire.open_wire
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(1)))
    found, _ = read(cluster, topic_name)
    assert found.schema["value"] == pl.Binary
    assert isinstance(cluster._reader, FetchReader)


def test_a_table_of_a_topic_that_was_made_again(
    kafka: Broker, admin: KafkaAdminClient, eventually: Patience, topic_name: str
) -> None:
    """Also where the new one ends where the old one did, so that nothing has to be read."""
    with wb.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        log.create(topic_name, schema={"n": int})
        log.append(topic_name, {"n": 1})
        table = log.stream(topic_name).table(by="n", events=pl.len())
        assert table.now().frame.rows() == [(1, 1)]
        admin.delete_topics([topic_name])
        eventually(lambda: topic_name not in log.topics()["topic"])
        log.create(topic_name, schema={"n": int})
        log.append(topic_name, {"n": 2})
        with pytest.raises(TopicChanged):
            table.now()
