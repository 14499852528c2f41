"""Manners on a shared cluster: what is read once, how fast, how much, and what is left alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from kafka import KafkaAdminClient, TopicPartition
from polars.testing import assert_frame_equal

import workbench as wb
from tests.kafka.broker import Broker
from tests.kafka.conftest import Patience
from tests.kafka.secured import SecuredBroker
from tests.kafka.support import frame, make, numbered, read, values
from workbench.errors import (
    AccessDenied,
    EvidenceError,
    Masked,
    OffsetOutOfRange,
    ProfileError,
    ReadLimitExceeded,
    ReadOnly,
    Throttled,
    UnknownTopic,
)
from workbench.log.kafka import KafkaLog, cache
from workbench.log.kafka.limits import Limits
from workbench.log.kafka.wire import Ask
from workbench.log.protocol import TopicSpec

pytestmark = pytest.mark.kafka


Connect = Callable[..., wb.Log]


@pytest.fixture
def connect(kafka: Broker) -> Iterator[Connect]:
    """Connections to the broker, closed in the end."""
    opened: list[wb.Log] = []

    def one(**how: object) -> wb.Log:
        opened.append(wb.connect(f"kafka://{kafka.bootstrap}", **how))  # type: ignore[arg-type]
        return opened[-1]

    yield one
    for log in opened:
        log.close()


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lay down an administrator's rules."""
    file = tmp_path / "admin.toml"

    def lay_down(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        monkeypatch.setenv("WORKBENCH_ADMIN", str(file))

    return lay_down


# --- what was read once -------------------------------------------------------------------------


def test_a_slice_is_fetched_once(
    cluster: KafkaLog, connect: Connect, fetches: list[Ask], topic_name: str
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(400, size=100_000)))
    stream = connect().stream(topic_name, decode="bytes")
    day = stream.between({0: 0}, {0: 300})
    first = day.frame(raw=True)
    asked = len(fetches)
    assert asked > 1
    assert_frame_equal(day.frame(raw=True), first)
    inside = stream.between({0: 17}, {0: 271}).frame(raw=True)
    assert_frame_equal(inside, first[17:271])
    assert day.sql("SELECT count(*) AS n FROM slice")["n"].to_list() == [300]
    # Another connection of this session, too.
    again = connect().stream(topic_name, decode="bytes").between({0: 0}, {0: 300})
    assert_frame_equal(again.frame(raw=True), first)
    assert len(fetches) == asked
    # What is new is fetched, and nothing else.
    whole = stream.between({0: 0}, {0: 400}).frame(raw=True)
    assert whole["offset"].to_list() == list(range(400))
    assert {ask.offset >= 300 for ask in fetches[asked:]} == {True}
    off = connect(cache="off").stream(topic_name, decode="bytes").between({0: 0}, {0: 300})
    asked = len(fetches)
    assert_frame_equal(off.frame(raw=True), first)
    assert len(fetches) > asked


def test_evidence_is_of_the_cluster(
    connect: Connect, fetches: list[Ask], topic_name: str, tmp_path: Path
) -> None:
    """What was read before is no witness of what the cluster holds now."""
    log = connect(write=True)
    log.create(topic_name)
    log.append(topic_name, ({"n": n} for n in range(10)))
    day = log.stream(topic_name).all()

    def offsets_fetched(deed: Callable[[], object]) -> int:
        before = len(fetches)
        assert deed() is not None
        return sum(ask.offset < 10 for ask in fetches[before:])

    day.frame()
    assert not offsets_fetched(day.frame)
    assert offsets_fetched(lambda: day.seal(tmp_path / "bag", purpose="a test"))
    for _ in range(2):
        assert offsets_fetched(lambda: wb.verify(tmp_path / "bag", against=log))
    day.record(tmp_path / "recording")
    for _ in range(2):
        assert offsets_fetched(lambda: wb.verify(tmp_path / "recording", against=log))


def test_gaps_are_kept_with_the_records(
    cluster: KafkaLog, kafka: Broker, fetches: list[Ask], topic_name: str, tmp_path: Path
) -> None:
    from kafka import KafkaProducer

    cluster.create_topic(TopicSpec(topic_name))
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic_name)
    producer.init_transactions()
    for commit in (True, False, True):
        producer.begin_transaction()
        for n in range(3):
            producer.send(topic_name, b"%d" % n).get(timeout=30)
        (producer.commit_transaction if commit else producer.abort_transaction)()
    producer.close()
    while cluster.partitions(topic_name)[0].last_stable < 12:
        time.sleep(0.05)
    with KafkaLog.connect(
        f"kafka://{kafka.bootstrap}", limits=Limits(cache=tmp_path / "cache")
    ) as log:
        first, gaps = read(log, topic_name, 0, 12)
        asked = len(fetches)
        assert {gap.reason for gap in gaps} == {"control", "aborted"}
        for start in range(12):
            for end in range(start + 1, 13):
                found, cut = read(log, topic_name, start, end)
                inside = pl.col("offset").is_between(start, end, closed="left")
                assert found.equals(first.filter(inside))
                missing = sorted(set(range(start, end)) - set(found["offset"]))
                assert missing == [o for gap in cut for o in range(gap.start, gap.end)]
        assert len(fetches) == asked
        read(log, topic_name, 0, 12, isolation="read_uncommitted")
        assert len(fetches) > asked


def test_a_topic_made_again_is_read_again(
    cluster: KafkaLog,
    admin: KafkaAdminClient,
    connect: Connect,
    topic_name: str,
    eventually: Patience,
) -> None:
    log = connect()
    for n in (1, 2):
        make(admin, topic_name)
        cluster.append(topic_name, frame(numbered(1, start=n)))
        assert values(read(log.backend, topic_name)[0])[0].startswith(b"%d" % n)  # type: ignore[arg-type, union-attr]
        admin.delete_topics([topic_name])
        eventually(lambda: topic_name not in admin.list_topics())


def test_what_expired_is_said_where_it_is_not_held(
    cluster: KafkaLog, admin: KafkaAdminClient, connect: Connect, topic_name: str
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(100)))
    backend = connect().backend
    assert read(backend, topic_name, 0, 50)[0].height == 50  # type: ignore[arg-type]
    admin.delete_records({TopicPartition(topic_name, 0): 80})
    assert read(backend, topic_name, 0, 50)[0].height == 50  # type: ignore[arg-type]
    with pytest.raises(OffsetOutOfRange, match="beyond the log's end 100"):
        backend.read(topic_name, 0, 0, 101)
    with pytest.raises(OffsetOutOfRange, match="offset 50 has expired"):
        read(backend, topic_name, 0, 100)  # type: ignore[arg-type]


def test_the_cache_is_private_bounded_and_goes_with_the_process(
    cluster: KafkaLog, kafka: Broker, topic_name: str, tmp_path: Path
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(50)))
    left = tmp_path / f"{cache._PREFIX}999999999-killed"
    left.mkdir()
    script = f"""
        import os, pathlib, stat, tempfile
        import workbench as wb
        with wb.connect("kafka://{kafka.bootstrap}") as log:
            log.stream("{topic_name}", decode="bytes").all().frame()
        [folder] = pathlib.Path(tempfile.gettempdir()).glob("{cache._PREFIX}*")
        print(oct(stat.S_IMODE(folder.stat().st_mode)), len(list(folder.glob("*.arrow"))) > 0)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["0o700", "True"]
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_stays(
    cluster: KafkaLog, connect: Connect, fetches: list[Ask], topic_name: str, tmp_path: Path
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(50)))
    folder = tmp_path / "kept"

    def look() -> pl.DataFrame:
        return connect(cache=folder).stream(topic_name, decode="bytes").all().frame(raw=True)

    first = look()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    asked = len(fetches)
    assert_frame_equal(look(), first)
    assert len(fetches) == asked
    for file in folder.glob("*.arrow"):
        file.write_bytes(file.read_bytes()[:100])  # torn by a power cut
    assert_frame_equal(look(), first)
    assert len(fetches) > asked
    folder.chmod(0o755)
    with pytest.raises(ProfileError, match="others can look into it"):
        look()


def test_a_full_cache_drops_what_was_not_used_for_longest(
    cluster: KafkaLog, kafka: Broker, topic_name: str, tmp_path: Path
) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(100, size=10_000)))
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}", limits=Limits(cache=tmp_path / "c")) as log:
        assert log._cache is not None
        log._cache.limit = 300_000
        for start in range(0, 100, 10):
            found, _ = read(log, topic_name, start, start + 10)
            assert found.height == 10
            kept = sum(file.stat().st_size for file in (tmp_path / "c").iterdir())
            assert 0 < kept <= log._cache.limit
        assert read(log, topic_name)[0].height == 100


# --- how much and how fast ----------------------------------------------------------------------


def test_a_frame_of_too_many_bytes(cluster: KafkaLog, connect: Connect, topic_name: str) -> None:
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(100, size=10_000)))
    day = connect(max_read_bytes="100kB").stream(topic_name, decode="text").all()
    with pytest.raises(ReadLimitExceeded, match=r"max_read_bytes is 100,000 .*batches\(\)"):
        day.frame()
    assert sum(batch.height for batch in day.batches()) == 100


def test_a_pace_is_kept(cluster: KafkaLog, connect: Connect, topic_name: str) -> None:
    """Several fetches: each but the first waits for the ones before it to be paid for."""
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(400, size=100_000)))
    log = connect(max_rate="30MB", cache="off")
    before = time.monotonic()
    assert log.stream(topic_name, decode="bytes").all().frame().height == 400
    # 40 MB in pieces of 16 MiB at most: the last piece, at least, comes after the others' time.
    assert time.monotonic() - before > (40e6 - (16 << 20)) / 30e6 * 0.9


def test_throttling_is_said(secured: SecuredBroker, topic_name: str) -> None:
    secured.run(
        "kafka.admin.ConfigCommand",
        *("--bootstrap-server", secured.bootstrap, "--alter"),
        *("--add-config", "consumer_byte_rate=2000000"),
        *("--entity-type", "clients", "--entity-name", "slowed"),
    )
    with KafkaLog.connect(f"kafka://{secured.bootstrap}", write=True) as log:
        log.create_topic(TopicSpec(topic_name))
        log.append(topic_name, frame(numbered(600, size=100_000)))
    url, how = f"kafka://{secured.bootstrap}", {"client_id": "slowed"}
    with wb.connect(url, options=how, cache="off") as slow:
        day = slow.stream(topic_name, decode="bytes").all()
        with pytest.warns(Throttled, match=r"held this client back for \d+\.\d s so far"):
            found = day.frame()
        assert found.height == 600
        assert isinstance(slow.backend, KafkaLog)
        assert slow.backend.throttled_ms >= 1_000


def test_the_rack_is_told(kafka: Broker, fetches: list[Ask], topic_name: str) -> None:
    url, rack = f"kafka://{kafka.bootstrap}", {"client.rack": "here"}
    with KafkaLog.connect(url, write=True, options=rack) as log:
        log.create_topic(TopicSpec(topic_name))
        log.append(topic_name, frame(numbered(3)))
        assert read(log, topic_name)[0].height == 3
    assert {ask.rack for ask in fetches} == {"here"}


# --- an administrator's rules -------------------------------------------------------------------


def test_rules_hold_above_what_a_user_asks_for(
    connect: Connect, rules: Callable[[str], None]
) -> None:
    rules('max_read = 1000\nmax_rate = "1MB"\nmax_read_bytes = "1 MiB"\nwrite = false\n')
    log = connect()
    assert (log.max_read, log.max_read_bytes) == (1000, 1 << 20)
    assert connect(max_read=10).max_read == 10
    for more in ({"max_read": 1001}, {"max_rate": "2MB"}, {"max_read_bytes": "1GB"}):
        with pytest.raises(ProfileError, match=r"is more than the [\d,]+ that .*admin.toml allows"):
            connect(**more)
    for wrong in (-1, "5", True):
        with pytest.raises(ProfileError, match="max_read is a number of records, not"):
            connect(max_read=wrong)
    with pytest.raises(ReadOnly, match=r"admin\.toml lets nobody write"):
        connect(write=True)
    rules("max_reed = 1\n")
    with pytest.raises(ProfileError, match="no rule 'max_reed'"):
        connect()


def test_denied_topics_are_not_there(
    cluster: KafkaLog, connect: Connect, rules: Callable[[str], None], topic_name: str
) -> None:
    """They are not named in a hint either, and are not made."""
    cluster.create_topic(TopicSpec(topic_name))
    cluster.append(topic_name, frame(numbered(3)))
    rules(f'denied = ["{topic_name[:-2]}*"]\n')
    log = connect(write=True)
    assert topic_name not in log.topics()["topic"]
    with pytest.raises(UnknownTopic) as caught:
        log.partitions(topic_name[:-3])
    assert topic_name not in str(caught.value)
    with pytest.raises(AccessDenied, match="is denied by"):
        log.create(f"{topic_name}-new")
    assert f"{topic_name}-new" not in {info.name for info in cluster.topics()}
    for ask in (
        lambda: log.stream(topic_name),
        lambda: log.partitions(topic_name),
        lambda: log.backend.read(topic_name, 0, 0, 3),
        lambda: log.find("x", topics=topic_name),
    ):
        with pytest.raises(AccessDenied, match=rf"topic '{topic_name}' is denied by .*admin.toml"):
            ask()


SECRET = "DE02-hidden-0001"


@pytest.mark.parametrize("rung", ["fast", "poll"])
def test_masked_fields_are_in_nothing(
    connect: Connect,
    rules: Callable[[str], None],
    topic_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rung: str,
) -> None:
    log = connect(write=True)
    log.create(topic_name)
    rows = [
        {"iban": SECRET, "amount": 12, "holder": {"name": SECRET, "age": 40}, "kind": "a"},
        {"iban": None, "amount": 10**17 + 1, "holder": {"name": "y", "age": 4}, "kind": "b"},
        {"kind": "c", "lines": [{"iban": SECRET}, {"n": 1.10}]},
    ]
    log.append(topic_name, rows, key=lambda row: SECRET)
    plain = ({"value": v, "key": None} for v in (SECRET.encode(), b"[]", None))
    log.append(topic_name, plain, encode="bytes")
    rules(f'[masked]\n"{topic_name}" = ["iban", "amount", "holder.name", "lines.iban", "key"]\n')
    if rung == "poll":
        monkeypatch.setattr("workbench.log.kafka.log.open_wire", lambda settings: None)
    masked = connect(cache=tmp_path / "kept")
    with pytest.warns(Masked, match=f"hides of topic '{topic_name}': amount, holder.name, iban"):
        found = masked.stream(topic_name, decode="json").all().frame(raw=True, rest=True)
    shown = [str(found.to_dicts())]
    assert found["kind"].to_list() == ["a", "b", "c", None, None, None]
    assert found["iban"].to_list() == ["***", None, None, None, None, None]
    assert found["holder"].struct.field("age").to_list() == [40, 4, None, None, None, None]
    assert found["holder"].struct.field("name").to_list()[:2] == ["***", "***"]
    assert found["value"].to_list()[3:] == [b'"masked"', b'"masked"', None]
    assert found["decode_error"].is_not_null().to_list() == [False] * 3 + [True, True, False]
    assert b"1.1" in (found["value"][2] or b"")
    slice_ = masked.stream(topic_name, decode="text").all()
    shown.append(str(slice_.frame(raw=True).to_dicts()))
    shown.append(str(slice_.sql("SELECT * FROM slice").to_dicts()))
    sought = slice_.find(SECRET)
    assert sought.hits.is_empty()
    hidden = f"{topic_name}: amount, holder.name, iban, key, lines.iban"
    assert f"hidden, and so not searched: {hidden}" in repr(sought)
    with pytest.raises(AccessDenied, match=rf"the keys of topic '{topic_name}' are hidden"):
        slice_.key(SECRET)
    refused = r"amount, .*, iban, key.* of topic .* is hidden"
    with pytest.raises(EvidenceError, match=refused):
        slice_.seal(tmp_path / "case", purpose="tests")
    assert not (tmp_path / "case").exists()
    slice_.record(tmp_path / "recording")
    with wb.connect(tmp_path / "recording") as recording:
        shown.append(
            str(recording.stream(topic_name, decode="text").all().frame(raw=True).to_dicts())
        )
        with pytest.raises(EvidenceError, match=refused):
            recording.stream(topic_name).all().seal(tmp_path / "case", purpose="tests")
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in shown)
    assert not any(SECRET.encode() in data for data in kept)
    assert "100000000000000001" not in str(shown)
