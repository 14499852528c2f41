"""What the Kafka tests share: logs on the session's broker."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.net.manager import KafkaConnectionManager

from tests.kafka.broker import Broker
from tests.kafka.secured import SecuredBroker
from workbench.log.kafka import KafkaLog
from workbench.log.kafka.poll import PollReader
from workbench.log.kafka.reader import FetchReader
from workbench.log.kafka.transport import FastManager
from workbench.log.kafka.wire import Ask, Wire


@pytest.fixture(scope="module")
def cluster(kafka: Broker) -> Iterator[KafkaLog]:
    """The broker, open for writing."""
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        yield log


@pytest.fixture(scope="session")
def secured(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker with locks, of our own."""
    broker = SecuredBroker(kafka.libs, tmp_path_factory.mktemp("secured") / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def topic_name() -> str:
    """A name that no other test uses."""
    return f"topic-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def admin(kafka: Broker) -> Iterator[KafkaAdminClient]:
    """Kafka's own administration, for what a log has no words for."""
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    yield client
    client.close()


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[Ask]:
    """Every fetch that is sent."""
    sent: list[Ask] = []
    fetch = Wire.fetch

    def counted(self: Wire, ask: Ask) -> object:
        sent.append(ask)
        return fetch(self, ask)

    monkeypatch.setattr(Wire, "fetch", counted)
    return sent


RUNGS = ("fast", "stock", "poll")


@pytest.fixture(scope="module", params=RUNGS)
def rung(request: pytest.FixtureRequest, kafka: Broker) -> Iterator[KafkaLog]:
    """The broker, read over each rung in turn."""
    with KafkaLog.connect(f"kafka://{kafka.bootstrap}", write=True) as log:
        put_on_rung(log, request.param)
        yield log


def put_on_rung(log: KafkaLog, name: str) -> None:
    """Make a log read over one rung, as it would where the ones above it do not work."""
    if name == "poll":
        log._reader = PollReader(log._client)
        return
    manager = FastManager if name == "fast" else KafkaConnectionManager
    log._wire = Wire(log._settings, manager)
    log._reader = FetchReader(log._client, log._wire)


Patience = Callable[[Callable[[], object]], None]


@pytest.fixture
def eventually() -> Patience:
    """Wait for something that the broker does in its own time."""

    def wait(done: Callable[[], object], seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)

    return wait
