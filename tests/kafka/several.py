"""Brokers with a part to play in faults: behind a proxy, or three of one cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.kafka import broker
from tests.kafka.broker import Broker
from tests.kafka.proxy import Proxy

NODES = (1, 2, 3)


@dataclass
class ProxiedBroker(Broker):
    """A broker that can also be reached through a proxy, which does what it is told to."""

    proxy: Proxy = field(default_factory=Proxy)

    @property
    def proxied(self) -> str:
        """The bootstrap address of those who come through the proxy."""
        return f"localhost:{self.proxy.port}"

    def _format(self, config: Path) -> None:
        self.port, inner, controller = broker._free_ports(3)
        _prepare(
            self,
            {
                "controller.quorum.voters": f"1@localhost:{controller}",
                "listener.security.protocol.map": (
                    "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"
                ),
                "listeners": (
                    f"PLAINTEXT://localhost:{self.port},PROXIED://localhost:{inner},"
                    f"CONTROLLER://localhost:{controller}"
                ),
                "advertised.listeners": (
                    f"PLAINTEXT://localhost:{self.port},PROXIED://{self.proxied}"
                ),
                "inter.broker.listener.name": "PLAINTEXT",
            },
            broker.new_id(),
        )
        self.proxy.start(inner)

    def stop(self) -> None:
        self.proxy.stop()
        super().stop()


class Cluster:
    """Three brokers that keep each other's partitions.  `stop` removes their data."""

    def __init__(self, libs: Path, folder: Path) -> None:
        self.brokers = {node: Broker(libs, folder / str(node)) for node in NODES}
        ports = broker._free_ports(2 * len(NODES))
        controllers = dict(zip(NODES, ports[len(NODES) :], strict=True))
        voters = ",".join(f"{node}@localhost:{port}" for node, port in controllers.items())
        cluster = broker.new_id()
        for (node, one), port in zip(self.brokers.items(), ports, strict=False):
            one.port = port
            _prepare(
                one,
                {
                    "node.id": str(node),
                    "controller.quorum.voters": voters,
                    "listeners": (
                        f"PLAINTEXT://localhost:{port},CONTROLLER://localhost:{controllers[node]}"
                    ),
                    # Who does not keep up is out of sync soon, and who is silent is gone soon.
                    "replica.lag.time.max.ms": "1500",
                    "broker.session.timeout.ms": "3000",
                    "broker.heartbeat.interval.ms": "500",
                    "controller.quorum.election.timeout.ms": "500",
                    "controller.quorum.fetch.timeout.ms": "1000",
                    "min.insync.replicas": "1",
                },
                cluster,
            )

    @property
    def bootstrap(self) -> str:
        """All three, so that one may be down."""
        return ",".join(one.bootstrap for one in self.brokers.values())

    def start(self) -> None:
        """Start all; none is ready without another."""
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(Broker.start, self.brokers.values()))

    def stop(self) -> None:
        for one in self.brokers.values():
            one.stop()


def _prepare(one: Broker, settings: dict[str, str], cluster: str) -> None:
    """Write a broker's configuration and format its storage."""
    one.folder.mkdir(parents=True, exist_ok=True)
    config = one.folder / "server.properties"
    whole = broker._SETTINGS | settings | {"log.dirs": str(one.folder / "data")}
    config.write_text("".join(f"{k}={v}\n" for k, v in whole.items()), encoding="utf-8")
    (one.folder / "log4j2.yaml").write_text(broker._LOGGING, encoding="utf-8")
    one.run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config))
