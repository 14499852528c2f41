"""Appending to a cluster: idempotent, acknowledged by all replicas in sync.

Own Produce requests rather than the client's producer, which refuses headers without a value and
records with neither key nor value, and cannot send a batch again as the same one.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import kafka.errors as kafka_errors
import polars as pl
from kafka.protocol.producer import InitProducerIdRequest

from workbench.errors import (
    AccessDenied,
    AppendRejected,
    LogError,
    OffsetOutOfRange,
    OutOfSequence,
    UnknownTopic,
    Unreachable,
    WorkbenchError,
)
from workbench.log.kafka.client import LATEST, Client, passes, translate
from workbench.log.kafka.outgoing import (
    DELIVERY_SECONDS,
    Batch,
    Session,
    cut,
    encoded,
    produce_request,
    ranges,
)
from workbench.log.kafka.topics import largest_batch
from workbench.log.kafka.wire import Wire, open_wire
from workbench.log.kafka.written import written
from workbench.log.protocol import Producer
from workbench.records import APPEND, TopicInfo

_PAUSE_SECONDS = 0.1
#: Beyond that a topic is asked what it allows before a batch is sent; below, the sending tells.
_SURE_BYTES = 1 << 20

Offsets = dict[int, tuple[int, int]]


@dataclass(slots=True)
class _Newest:
    """A producer's newest call to append: enough to send what is missing again, as the same."""

    epoch: int
    sequence: int
    counts: Counter[int]
    session: Session | None = None
    batches: list[Batch] = field(default_factory=list)

    @property
    def missing(self) -> list[Batch]:
        return [batch for batch in self.batches if batch.base_offset is None]

    def taken(self) -> Offsets:
        """What is acknowledged, by partition."""
        ranges: Offsets = {}
        for batch in self.batches:
            if batch.base_offset is None:
                continue
            first, last = batch.base_offset, batch.base_offset + len(batch.rows)
            low, high = ranges.get(batch.partition, (first, last))
            ranges[batch.partition] = (min(low, first), max(high, last))
        return ranges


class Appender:
    """Writes to the topics of one cluster.  Thread-safe.

    Retries never write twice: a batch whose acknowledgement did not come is looked for in the log
    before it is sent again, and beside that the brokers know it by producer and sequence (KIP-98),
    as long as its records are young (see `written`).  A call that is repeated under the same
    `Producer` sends only what was not acknowledged, as the same batches; it is known for as long
    as this object lives.  Who may write but not read has the brokers' memory alone; older records
    are then not sent again, and the error says so.

    Unlike an append to the embedded log, a call is not atomic: it is cut into batches per
    partition, each of which is written whole or not at all, and readers may see the first while
    the last is on its way.  When a call fails, the error names the rows that were not
    acknowledged, by partition, and the offsets that were.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = Lock()
        self._wire: Wire | None = None
        self._sessions: dict[str, Session] = {}
        self._newest: dict[tuple[str, str], _Newest] = {}

    def append(self, info: TopicInfo, records: pl.DataFrame, producer: Producer | None) -> Offsets:
        """See `LogBackend.append`."""
        if records.schema != APPEND:
            raise AppendRejected(
                f"topic {info.name}: a batch has the columns {dict(records.schema)}",
                hint=f"they have to be {dict(APPEND)}",
            )
        counts = Counter(records["partition"].to_list())
        for number in counts:
            if number is None or not 0 <= number < info.partitions:
                raise AppendRejected(
                    f"topic {info.name} has no partition {number}",
                    hint=f"it has 0 to {info.partitions - 1}",
                )
        with self._lock:
            newest = self._call_of(info.id, counts, producer)
            if not newest.batches:
                session = self._session(producer)
                self._learn_ends(info, counts, session)
                newest.batches = list(cut(records, info, session))
                newest.session = session
            self._check_sizes(info, newest)
            self._deliver(info, newest)
            return newest.taken()

    def close(self) -> None:
        """Close the connections.  Idempotent."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _call_of(self, topic_id: str, counts: Counter[int], producer: Producer | None) -> _Newest:
        """The newest call when this is a retry of it, else a new one."""
        if producer is None:
            return _Newest(0, 0, counts)
        now = (producer.epoch, producer.sequence)
        made = _Newest(*now, counts)
        known = self._newest.get((producer.id, topic_id))
        if known is not None:
            if (known.epoch, known.sequence) == now and known.counts == counts:
                return known
            if producer.epoch <= known.epoch and now != (known.epoch, known.sequence + 1):
                raise OutOfSequence(
                    f"producer {producer.id!r} sent epoch {producer.epoch}, sequence "
                    f"{producer.sequence} after epoch {known.epoch}, sequence {known.sequence}",
                    hint="send the newest batch again unchanged, or the next one",
                )
            if known.missing:
                # What became of them is unknown, and with it the cluster's next sequence.
                self._sessions.pop(producer.id, None)
        self._newest[producer.id, topic_id] = made
        return made

    def _session(self, producer: Producer | None) -> Session:
        name = "" if producer is None else producer.id
        if name not in self._sessions:
            answer = self._ask(
                InitProducerIdRequest(
                    transactional_id=None,
                    transaction_timeout_ms=0,
                    producer_id=-1,
                    producer_epoch=-1,
                    max_version=4,
                )
            )
            self._sessions[name] = Session(answer.producer_id, answer.producer_epoch, {}, {})
        return self._sessions[name]

    def _learn_ends(self, info: TopicInfo, partitions: Iterable[int], session: Session) -> None:
        """Ask where partitions end, once: then it is known from what is acknowledged."""
        new = [number for number in partitions if (info.id, number) not in session.ends]
        if new:
            found = self._client.offsets({(info.name, number): LATEST for number in new})
            session.ends.update({(info.id, n): answer.offset for (_, n), answer in found.items()})

    def _check_sizes(self, info: TopicInfo, newest: _Newest) -> None:
        """Refuse what the topic would, before megabytes of it are sent."""
        largest = max(newest.missing, key=lambda one: len(one.data or b""), default=None)
        if largest is None or len(largest.data or b"") <= _SURE_BYTES:
            return
        limit = largest_batch(self._client, info.name)
        if limit is not None and len(largest.data or b"") > limit:
            self._sessions.clear()  # the numbers that it was given are not used
            raise self._failed(info, newest, _TooLargeError(largest, limit))

    def _deliver(self, info: TopicInfo, newest: _Newest) -> None:
        """Send what is missing: one batch at a time per partition, all partitions at once."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        while newest.missing:
            heads: dict[int, Batch] = {}
            for batch in newest.missing:
                heads.setdefault(batch.partition, batch)
            failure: Exception | None
            try:
                failure = self._send(info, newest, list(heads.values()))
            except _PASSING as error:
                failure = error
            if failure is None or self._smaller(newest, failure):
                deadline = time.monotonic() + DELIVERY_SECONDS
                continue
            may_pass = passes(failure) or isinstance(failure, _PASSING)
            if not may_pass or time.monotonic() > deadline:
                # Which sequence the cluster expects next is not known any more.
                self._sessions.clear()
                raise self._failed(info, newest, failure)
            time.sleep(_PAUSE_SECONDS)

    def _smaller(self, newest: _Newest, failure: Exception) -> bool:
        """Cut what the topic finds too large; False when that is not the trouble, or is one row."""
        if not isinstance(failure, _TooLargeError) or len(failure.batch.rows) == 1:
            return False
        batch, session = failure.batch, newest.session
        assert session is not None
        assert batch.records is not None
        at = newest.batches.index(batch)
        limit = len(batch.data or b"") // 2
        parts = encoded(
            batch.records, batch.partition, batch.rows, session, batch.producer[2], limit
        )
        newest.batches[at : at + 1] = parts
        return True

    def _send(self, info: TopicInfo, newest: _Newest, batches: list[Batch]) -> Exception | None:
        """Send one batch of each partition; note what was acknowledged, return what failed.

        What was sent before is looked for in the log, and sent again when it is not there.
        """
        [found] = self._client.describe([info.name])
        if str(found["topic_id"]) != info.id:
            return kafka_errors.UnknownTopicOrPartitionError()
        leaders = {
            p["partition_index"]: (p["leader_id"], p["leader_epoch"]) for p in found["partitions"]
        }
        wire = self._open()
        session = newest.session
        assert session is not None
        shares: dict[int, list[Batch]] = defaultdict(list)
        failure: Exception | None = None

        def acknowledged(batch: Batch, offset: int) -> None:
            session.ends[info.id, batch.partition] = batch.acknowledge(offset)

        for batch in batches:
            leader, end = leaders[batch.partition], session.ends[info.id, batch.partition]
            try:
                offset = written(self._client, wire, info, batch, end, leader)
            except _UNKNOWN as error:
                failure = error
                continue
            if offset is None:
                shares[leader[0]].append(batch)
                batch.sent = True
            else:
                acknowledged(batch, offset)
        sent = [
            (share, wire.send(produce_request(info.name, share), leader))
            for leader, share in shares.items()
        ]
        for share, future in sent:
            try:
                response = future.result(timeout=DELIVERY_SECONDS)
            except (kafka_errors.KafkaError, FutureTimeout) as error:
                failure = error
                continue
            answers = {one.index: one for one in response.responses[0].partition_responses}
            for batch in share:
                answer = answers[batch.partition]
                refused = kafka_errors.for_code(answer.error_code)
                if not answer.error_code:
                    acknowledged(batch, answer.base_offset)
                elif refused in _TOO_LARGE:
                    failure = _TooLargeError(batch)
                else:
                    failure = refused(answer.error_message or "")
        return failure

    def _failed(self, info: TopicInfo, newest: _Newest, error: Exception) -> WorkbenchError:
        """An error that names the records that were not acknowledged."""
        if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
            return UnknownTopic(info.name, (), log=self._client.settings.hint)
        lost: dict[int, list[int]] = defaultdict(list)
        for batch in newest.missing:
            lost[batch.partition] += batch.rows
        count = sum(map(len, lost.values()))
        named = "; ".join(
            f"rows {ranges(rows)} (partition {partition})" for partition, rows in lost.items()
        )
        written = ", ".join(
            f"partition {partition} [{first}, {last})"
            for partition, (first, last) in sorted(newest.taken().items())
        )
        if isinstance(error, _TooLargeError | WorkbenchError):
            why = str(error)
        else:
            why = str(translate(error, "append", self._client.settings))
        return AppendRejected(
            f"topic {info.name}: {count} of {newest.counts.total()} records are not acknowledged: "
            f"{named}: {why}; written are {written or 'none'}"
        )

    def _ask(self, request: Any) -> Any:
        def ask() -> Any:
            answer = self._open().send(request).result(timeout=DELIVERY_SECONDS)
            if answer.error_code:
                raise kafka_errors.for_code(answer.error_code)
            return answer

        return self._client.call("append", ask)

    def _open(self) -> Wire:
        if self._wire is None:
            self._wire = open_wire(self._client.settings)
            if self._wire is None:
                raise LogError("this version of kafka-python cannot append for Workbench")
        return self._wire


class _TooLargeError(Exception):
    """The topic refuses a batch for its size."""

    def __init__(self, batch: Batch, limit: int | None = None) -> None:
        allowed = "" if limit is None else f" {limit:,}"
        super().__init__(
            f"row {batch.rows[0]} takes {len(batch.data or b''):,} bytes, more than the topic "
            f"allows (max.message.bytes{allowed})"
        )
        self.batch = batch


_PASSING = (Unreachable, OffsetOutOfRange)
#: What leaves open whether a batch is in the log; other batches go on.
_UNKNOWN = (kafka_errors.KafkaError, FutureTimeout, AccessDenied, *_PASSING)
_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
