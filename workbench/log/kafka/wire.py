"""Raw fetches: the client's connections, our own Fetch requests.

Uses names of kafka-python that it does not promise to keep.  They are looked up here and in
`transport`, once, when the first bulk read begins; where one is missing, `open_wire` says so once
and reading goes on a step slower (see `reader`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import kafka.errors as kafka_errors

from workbench.log.kafka.batches import Aborted
from workbench.log.kafka.settings import CONNECT_SECONDS, Settings
from workbench.records import Isolation

#: The newest version that still names topics; it tells divergence (KIP-595) and fences epochs.
FETCH_VERSION = 12

#: What a fetch is answered with that names no partition: the client has used up its quota.
NO_ANSWER: int = kafka_errors.ThrottlingQuotaExceededError.errno

_LEVEL = {"read_uncommitted": 0, "read_committed": 1}

#: A response may be this large: a batch beyond the asked size still comes, as one piece.
MAX_FRAME_BYTES = (1 << 31) - 1


class Ask(NamedTuple):
    """One fetch of one partition."""

    topic: str
    partition: int
    offset: int
    max_bytes: int
    isolation: Isolation
    leader: int
    leader_epoch: int
    last_epoch: int = -1
    wait_ms: int = 0
    min_bytes: int = 1
    rack: str = ""


class Answer(NamedTuple):
    """What a broker says to it.  `records` is whole batches, the last one maybe cut off.

    `diverged` is the offset from which the records that were read before are not the log's any
    more, or None.  `preferred` is a replica nearer to the asker's rack (KIP-392), or -1.
    """

    error: int
    high_watermark: int
    last_stable: int
    log_start: int
    aborted: tuple[Aborted, ...]
    diverged: int | None
    throttle_ms: int
    records: memoryview
    preferred: int = -1


class Wire:
    """Connections for fetches, apart from those for questions.  Thread-safe."""

    def __init__(self, settings: Settings, manager_type: type[Any]) -> None:
        from kafka.net.compat import KafkaNetClient
        from kafka.net.selector import NetworkSelector

        config = settings.client(
            receive_message_max_bytes=MAX_FRAME_BYTES, metadata_max_age_ms=60_000
        )
        net = NetworkSelector(**config)
        self._manager = manager_type(net, **config)
        self._client = KafkaNetClient(net=net, manager=self._manager, **config)
        self._net = net
        net.start()
        try:
            self._manager.bootstrap(int(CONNECT_SECONDS * 1000))
        except BaseException:
            self.close()
            raise

    def fetch(self, ask: Ask) -> Future[Answer]:
        """Send a fetch; the future is done on the client's own thread."""
        return self._send(_request(ask), ask.leader, _answer)

    def send(self, request: Any, node: int | None = None) -> Future[Any]:
        """Send any other request, to one broker or to the least busy one."""
        return self._send(request, node, lambda response: response)

    def _send(self, request: Any, node: int | None, read: Callable[[Any], Any]) -> Future[Any]:
        done: Future[Any] = Future()

        def answered(response: Any) -> None:
            try:
                done.set_result(read(response))
            except Exception as error:  # else the caller would wait for ever
                done.set_exception(error)

        def failed(error: Exception) -> None:
            if isinstance(error, kafka_errors.UnknownBrokerIdError):
                # It joined after the newest look, and the next one may be a minute away.
                self._manager.cluster.request_update()
            done.set_exception(error)

        sent = self._manager.call_soon(self._manager.send, request, node)
        sent.add_callback(answered)
        sent.add_errback(failed)
        return done

    def close(self) -> None:
        """Close the connections.  Idempotent."""
        self._client.close()
        self._net.stop()


def open_wire(settings: Settings) -> Wire | None:
    """The fastest wire that this version of kafka-python allows, or None; warns when slower."""
    try:
        from kafka.net.manager import KafkaConnectionManager
        from kafka.protocol.consumer import FetchRequest

        _ = FetchRequest.FetchTopic.FetchPartition
    except (ImportError, AttributeError) as error:
        _slower("through the client's own consumer", error)
        return None
    try:
        from workbench.log.kafka.transport import FastManager
    except (ImportError, AttributeError) as error:
        _slower("over the client's own transport", error)
        return Wire(settings, KafkaConnectionManager)
    return Wire(settings, FastManager)


def _slower(how: str, error: Exception) -> None:
    warnings.warn(
        f"this version of kafka-python has changed inside ({error}): reading {how}, which is "
        "slower but as correct",
        RuntimeWarning,
        stacklevel=4,
    )


def _request(ask: Ask) -> Any:
    from kafka.protocol.consumer import FetchRequest

    topic = FetchRequest.FetchTopic
    return FetchRequest(
        max_wait_ms=ask.wait_ms,
        min_bytes=ask.min_bytes,
        max_bytes=ask.max_bytes,
        isolation_level=_LEVEL[ask.isolation],
        session_id=0,
        session_epoch=-1,
        topics=[
            topic(
                topic=ask.topic,
                partitions=[
                    topic.FetchPartition(
                        partition=ask.partition,
                        current_leader_epoch=ask.leader_epoch,
                        fetch_offset=ask.offset,
                        last_fetched_epoch=ask.last_epoch,
                        log_start_offset=-1,
                        partition_max_bytes=ask.max_bytes,
                    )
                ],
            )
        ],
        forgotten_topics_data=[],
        rack_id=ask.rack,
        min_version=4,
        max_version=FETCH_VERSION,
    )


def _answer(response: Any) -> Answer:
    """The one partition of a response, whichever transport it came over."""
    if isinstance(response, Answer):
        return response
    if response.error_code or not response.responses:
        return refusal(response.error_code or NO_ANSWER, response.throttle_time_ms)
    found = response.responses[0].partitions[0]
    diverging = getattr(found, "diverging_epoch", None)
    return Answer(
        found.error_code,
        found.high_watermark,
        found.last_stable_offset,
        found.log_start_offset,
        tuple((one.producer_id, one.first_offset) for one in found.aborted_transactions or ()),
        None if diverging is None or diverging.end_offset < 0 else diverging.end_offset,
        response.throttle_time_ms,
        memoryview(found.records or b""),
        getattr(found, "preferred_read_replica", -1),
    )


def refusal(error: int, throttle_ms: int) -> Answer:
    """An answer without records."""
    return Answer(error, -1, -1, -1, (), None, throttle_ms, memoryview(b""))
