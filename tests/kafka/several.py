"""Brokers with a part to play in faults: behind a proxy, or three of one cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.kafka.broker import Broker, free_ports, new_id
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

    def prepare(self) -> None:
        self.port, inner, controller = free_ports(3)
        self.format(
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
            }
        )
        self.proxy.start(inner)

    def stop(self) -> None:
        self.proxy.stop()
        super().stop()


class Cluster:
    """Three brokers that keep each other's partitions.  `stop` removes their data."""

    def __init__(self, libs: Path, folder: Path) -> None:
        self.brokers = {node: Broker(libs, folder / str(node)) for node in NODES}
        ports = free_ports(2 * len(NODES))
        controllers = dict(zip(NODES, ports[len(NODES) :], strict=True))
        voters = ",".join(f"{node}@localhost:{port}" for node, port in controllers.items())
        cluster = new_id()
        for (node, one), port in zip(self.brokers.items(), ports, strict=False):
            one.port = port
            one.format(
                {
                    "node.id": str(node),
                    "broker.rack": f"rack-{node}",
                    "replica.selector.class": (
                        "org.apache.kafka.common.replica.RackAwareReplicaSelector"
                    ),
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
                cluster=cluster,
            )

    @property
    def bootstrap(self) -> str:
        """All three, so that one may be down."""
        return ",".join(one.bootstrap for one in self.brokers.values())

    def start(self) -> None:
        """Start all; none is ready without another."""
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(Broker.start, self.brokers.values()))

    def revive(self) -> None:
        """Start those that are dead."""
        for one in self.brokers.values():
            if one.process is None or one.process.poll() is not None:
                one.start()

    def stop(self) -> None:
        for one in self.brokers.values():
            one.stop()
