"""Why pyproject.toml lets three warnings pass: the client alone, without us, leaves sockets open.

A test that fails says that the client has mended it, and which line there can go.
"""

from __future__ import annotations

import gc
import logging
import re
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.kafka.broker import Broker, free_ports

pytestmark = pytest.mark.kafka

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def refused(_: Broker) -> None:
    """Nobody listens."""
    KafkaAdminClient(bootstrap_servers=f"localhost:{free_ports(1)[0]}", bootstrap_timeout_ms=500)


def handshake(kafka: Broker) -> None:
    """TLS, to a door without."""
    security = {"security_protocol": "SSL", "bootstrap_timeout_ms": 500}
    KafkaAdminClient(bootstrap_servers=kafka.bootstrap, **security)


def interrupted(kafka: Broker) -> None:
    """Closed while it connects."""
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    manager = client._manager
    for node in manager.cluster.brokers():
        manager.call_soon(manager.get_connection, node.node_id)
    client.close()


@pytest.fixture
def _unlogged() -> Iterator[None]:
    """Without the records of a log that pytest keeps, and with them the failures and sockets."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def filters() -> list[str]:
    options = tomllib.loads(PROJECT.read_text())["tool"]["pytest"]["ini_options"]
    return [one.split(":")[1] for one in options["filterwarnings"] if "ResourceWarning" in one]


@pytest.mark.usefixtures("_unlogged")
@pytest.mark.parametrize(("how", "number"), [(refused, 0), (handshake, 1), (interrupted, 2)])
def test_the_client_leaves_its_sockets_open(
    kafka: Broker, how: Callable[[Broker], None], number: int
) -> None:
    assert len(filters()) == 3
    said: list[str] = []
    for _ in range(30):  # whether it is still connecting when it is closed is a matter of luck
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with suppress(KafkaError):
                how(kafka)
            gc.collect()
        said += [str(one.message) for one in seen if one.category is ResourceWarning]
        if any(re.match(filters()[number], text) for text in said):
            return
    pytest.fail(f"the filter {filters()[number]!r} hides nothing of the client's: {said}")
