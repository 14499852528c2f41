"""Questions to the cluster: one connection pool, errors in our words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import kafka.errors as kafka_errors
from kafka import KafkaAdminClient, TopicPartition
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from workbench.errors import AccessDenied, LogError, Unreachable
from workbench.log.kafka.limits import Limits
from workbench.log.kafka.pace import Pace, Throttling
from workbench.log.kafka.security import untrusted
from workbench.log.kafka.settings import CONNECT_SECONDS, PATIENCE_SECONDS, Settings
from workbench.records import Isolation

# The client talks about each failed connection; what matters comes as an error of ours.
logging.getLogger("kafka").addHandler(logging.NullHandler())

EARLIEST = -2
LATEST = -1

Place = tuple[str, int]

_Answer = TypeVar("_Answer")

_REFUSED = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
)
_NO_ANSWER = (
    kafka_errors.KafkaTimeoutError,
    kafka_errors.KafkaConnectionError,
    kafka_errors.NodeNotReadyError,
    kafka_errors.Cancelled,
    kafka_errors.RequestTimedOutError,
)


_PAUSE_SECONDS = 0.1


class Client:
    """The cluster's metadata, offsets and groups.  Thread-safe."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self.settings = settings
        self.limits = limits
        self.pace = Pace(self.limits.max_rate)
        self.throttling = Throttling(settings.hint)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="workbench-kafka")
        #: Who has never answered is given up sooner than who has.
        self._patience = CONNECT_SECONDS
        self.admin: Any = None
        self.admin = self.call("connect", lambda: _connected(settings))
        try:
            self.id: str = self.call("connect", self.admin.describe_cluster)["cluster_id"]
        except BaseException:
            self.close()
            raise
        self._patience = PATIENCE_SECONDS

    def call(self, what: str, ask: Callable[[], _Answer]) -> _Answer:
        """Ask, through failures that pass, with the client's errors turned into ours.

        Raises AccessDenied, Unreachable, or LogError for what nobody expected.
        """
        began = time.monotonic()
        while True:
            try:
                return ask()
            except kafka_errors.KafkaError as error:
                waited = time.monotonic() - began
                if self.admin and isinstance(error, kafka_errors.UnknownBrokerIdError):
                    # It joined after the newest look, and the next one may be minutes away.
                    self.admin._manager.cluster.request_update()
                if not passes(error) or waited > self._patience:
                    elsewhere = self._elsewhere()
                    raise translate(error, what, self.settings, waited, elsewhere) from None
                if isinstance(error, kafka_errors.UnknownBrokerIdError):
                    # It joined after the newest look, and the next one may be minutes away.
                    self.admin._manager.cluster.request_update()
            time.sleep(_PAUSE_SECONDS)

    def _elsewhere(self) -> str:
        """Where the cluster says that its brokers are; "" where that is where they are asked."""
        if self.admin is None:
            return ""
        brokers = self.admin._manager.cluster.brokers()
        places = {f"{one.host}:{one.port}" for one in brokers}
        return "" if places & set(self.settings.servers) else ", ".join(sorted(places))

    def describe(self, topics: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Metadata of these topics, or of all; never creates one."""
        names = None if topics is None else list(topics)
        found: list[dict[str, Any]] = self.call(
            "describe topics", lambda: self.admin.describe_topics(names)
        )
        return found

    def names(self) -> list[str]:
        """The topics that may be looked at, for a hint: neither Kafka's own nor denied ones."""
        return [
            topic["name"]
            for topic in self.describe()
            if not topic["is_internal"] and self.limits.allows(topic["name"])
        ]

    def offsets(
        self, wanted: Mapping[Place, int], isolation: Isolation = "read_uncommitted"
    ) -> dict[Place, Any]:
        """ListOffsets: per partition what a timestamp, EARLIEST or LATEST stands for."""
        specs = {TopicPartition(*place): at for place, at in wanted.items()}
        if not specs:
            return {}
        found = self.call(
            "list offsets",
            lambda: self.admin.list_partition_offsets(specs, isolation_level=isolation),
        )
        return {(tp.topic, tp.partition): answer for tp, answer in found.items()}

    def ends(self, places: Iterable[Place]) -> dict[Place, tuple[int, int, int]]:
        """Per partition log start, high watermark and last stable offset, asked for at once."""
        listed = list(places)
        asked = [
            self._pool.submit(self.offsets, dict.fromkeys(listed, at), isolation)
            for at, isolation in _ENDS
        ]
        low, high, stable = (answer.result() for answer in asked)
        # The three answers are not of one instant: a position never lies behind a later one.
        return {
            place: (
                low[place].offset,
                max(high[place].offset, low[place].offset),
                min(
                    max(stable[place].offset, low[place].offset),
                    max(high[place].offset, low[place].offset),
                ),
            )
            for place in listed
        }

    def close(self) -> None:
        """Close connections and threads.  Idempotent."""
        self._pool.shutdown(wait=False)
        self.admin.close()


_ENDS: tuple[tuple[int, Isolation], ...] = (
    (EARLIEST, "read_uncommitted"),
    (LATEST, "read_uncommitted"),
    (LATEST, "read_committed"),
)


class _FirstContact:
    """The client's connections; a refusal while connecting is an error at once.

    The client goes on trying until its time is up: it would say that nobody answers, and a
    cluster that counts failed logins might lock the user out.
    """

    async def _connect(self: Any, node: Any, conn: Any, **how: Any) -> None:
        await super()._connect(node, conn, **how)  # type: ignore[misc]
        error = conn.init_future.exception
        if error is None or not self.cluster.is_bootstrap(node.node_id):
            return
        refusal = untrusted(error, f"{node.host}:{node.port}")
        if refusal is not None or not getattr(error, "retriable", False):
            self._auth_failures[node.node_id] = refusal or error


def _manager_type() -> Any:
    """Over our transports where they work: the client's drop what a broker says as it closes."""
    try:
        from workbench.log.kafka.transport import FastManager as Base
    except (ImportError, AttributeError):
        Base = KafkaConnectionManager  # type: ignore[misc,assignment]  # noqa: N806
    return type("_Manager", (_FirstContact, Base), {})


def _connected(settings: Settings) -> Any:
    """The client's administration; what it has opened is closed when no broker answers."""
    opened: list[Any] = []

    def remembered(**config: Any) -> Any:
        net = NetworkSelector(**config)
        manager = _manager_type()(net, **config)
        opened.append(KafkaNetClient(net=net, manager=manager, **config))
        return opened[0]

    try:
        return KafkaAdminClient(
            **settings.client(receive_message_max_bytes=1 << 30, kafka_client=remembered)
        )
    except BaseException:
        for client in opened:
            client.close()
            client._net.stop()
        raise


def passes(error: BaseException) -> bool:
    """Whether asking again may help: restarts, elections, coordinators that are loading.

    And a broker that has just joined, which the client would give up.
    """
    gone = isinstance(error, kafka_errors.UnknownTopicOrPartitionError)
    new = isinstance(error, kafka_errors.UnknownBrokerIdError)
    return new or (bool(getattr(error, "retriable", False)) and not gone)


def translate(
    error: BaseException,
    what: str,
    settings: Settings,
    waited: float | None = None,
    elsewhere: str = "",
) -> LogError:
    """One of the client's errors as one of ours, without settings in the text.

    `waited` is how long the cluster was given to answer, in seconds; `elsewhere` the addresses of
    its brokers where these are others than were given.
    """
    if isinstance(error, _REFUSED):
        return AccessDenied(
            f"{settings.hint} refuses {settings.who}: {type(error).__name__}",
            hint="check user, password and sasl_mechanism",
        )
    if isinstance(error, kafka_errors.IllegalSaslStateError):
        return AccessDenied(
            f"{settings.hint} takes no login where it was asked",
            hint="check the port, and security_protocol",
        )
    if isinstance(error, kafka_errors.AuthorizationError):
        return AccessDenied(
            f"{settings.hint} does not let {settings.who} {what}: {type(error).__name__}",
            hint="ask for the permission",
        )
    if isinstance(error, _NO_ANSWER):
        patience = "" if waited is None else f", waited {waited:.0f} s"
        if elsewhere:
            return Unreachable(
                f"{settings.hint} says that its brokers are at {elsewhere}, and nobody answers "
                f"there (asked to {what}{patience})",
                hint="what it advertises (advertised.listeners) has to be reached from here too",
            )
        return Unreachable(
            f"{settings.hint} does not answer (asked to {what}{patience})",
            hint="check host and port, and security_protocol",
        )
    if isinstance(error, kafka_errors.InvalidReceiveError):
        return Unreachable(
            f"{settings.hint} answers, but not as Kafka does",
            hint="check host, port and security_protocol: a port for TLS or HTTP does that",
        )
    return LogError(f"{settings.hint} could not {what}: {type(error).__name__}: {error}")
