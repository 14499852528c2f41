"""Reading a partition of a Kafka topic, in pieces whose ranges join without holes.

Three rungs give the same pieces: raw fetches over our own transport, raw fetches over the
client's, and the client's own consumer (see `poll`).  A read ends when its position has reached the
pinned end, for no other reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress

import kafka.errors as kafka_errors

from workbench.errors import (
    AccessDenied,
    CorruptData,
    OffsetOutOfRange,
    Unreachable,
)
from workbench.log.kafka import compiled
from workbench.log.kafka.batches import Batch, Scan, scan
from workbench.log.kafka.client import Client, translate
from workbench.log.kafka.columns import decode
from workbench.log.kafka.ranges import Piece, Range, check_range, current_topic
from workbench.log.kafka.settings import PATIENCE_SECONDS
from workbench.log.kafka.wire import Answer, Ask, Wire
from workbench.records import Gap

#: The most that one fetch is to be in memory, decompressed.  A reader holds at most two: the one
#: that is being used, and the one that was asked for meanwhile; a slow consumer stops the fetching.
FETCH_BYTES = 16 << 20
#: How much the first fetch may grow when it is decompressed; then it is known.
_GUESSED_GROWTH = 8.0
_SMALLEST_FETCH = 64 << 10
_GUESSED_RECORD_BYTES = 1 << 10

#: How long a leader may lag behind an end that was pinned elsewhere.
LAG_SECONDS = 5.0

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class FetchReader:
    """The two upper rungs: own fetches over a wire."""

    def __init__(self, client: Client, wire: Wire) -> None:
        self._client = client
        self._wire = wire

    def pieces(self, wanted: Range) -> Iterator[Piece]:
        """See `Reader`."""
        compiled.expect(wanted.end - wanted.start)
        run = _Run(self._client, self._wire, wanted)
        run.check()
        return run.pieces()

    def batches(self, wanted: Range) -> Iterator[Batch]:
        """The batches of records in a range, as they lie in the log."""
        for _, found in _Run(self._client, self._wire, wanted).scans():
            yield from found.batches


class _Run:
    """One read of one partition: its leader, its pending fetch, its patience."""

    def __init__(self, client: Client, wire: Wire, wanted: Range) -> None:
        self._client = client
        self._wire = wire
        self._wanted = wanted
        self._position = wanted.start
        self._epoch = -1
        self._bytes_per_offset: float | None = None
        self._growth = _GUESSED_GROWTH
        self._answered: Answer | None = None
        #: Where this client is, until the replica nearby has not had what it was asked for.
        self._rack = client.settings.rack
        self._nearby = False
        self._leader, self._leader_epoch = self._find_leader()
        self._pending = self._ask()
        self._progress = time.monotonic()
        self._pause = _FIRST_PAUSE

    def check(self) -> None:
        """Wait for the first answer; raise when the range is not what the log holds."""
        self._answered = self._answer()

    def pieces(self) -> Iterator[Piece]:
        for start, found in self.scans():
            yield self._piece(found, start)

    def scans(self) -> Iterator[tuple[int, Scan]]:
        """What each fetch covers, and from which offset on."""
        wanted = self._wanted
        empty = 0
        while self._position < wanted.end:
            answer = self._answered or self._answer()
            self._answered = None
            found = self._scan(answer)
            if found.next == self._position:
                # Nothing at or after the position, though the log goes on.  Compaction may have
                # emptied it, which two answers say; otherwise it is a broker that is late.
                empty += not answer.throttle_ms
                late = time.monotonic() - self._progress < LAG_SECONDS
                if empty < 2 or (late and not wanted.compacted):
                    self._wait()
                    self._pending = self._ask()
                    continue
                found.holes.append((self._position, wanted.end, wanted.hole))
                found.next = wanted.end
            empty = 0
            start, self._position = self._position, found.next
            if found.epoch >= 0:
                self._epoch = found.epoch
            self._note_progress(len(answer.records), found.next - start)
            if found.batches:
                self._growth = max(found.size / len(answer.records), 1.0)
            if self._position < wanted.end:
                self._pending = self._ask()
            self._check_topic()
            yield start, found

    def _scan(self, answer: Answer) -> Scan:
        wanted = self._wanted
        try:
            return scan(
                answer.records,
                self._position,
                wanted.end,
                answer.aborted,
                committed=wanted.isolation == "read_committed",
                hole=wanted.hole,
            )
        except CorruptData as error:
            raise CorruptData(f"{wanted.place}: {error}") from None

    def _piece(self, found: Scan, start: int) -> Piece:
        wanted = self._wanted
        try:
            decoded = decode(found.batches, wanted.partition, start, found.next)
        except CorruptData as error:
            raise CorruptData(f"{wanted.place}: {error}") from None
        # Only compaction takes records out of a batch.
        holes = [
            *found.holes,
            *((a, b, "compacted") for a, b in decoded.missing(start, found.next)),
        ]
        return Piece(
            start,
            found.next,
            decoded.frame,
            tuple(Gap(wanted.topic, wanted.partition, *hole) for hole in sorted(holes)),
        )

    def _ask(self) -> Future[Answer]:
        wanted = self._wanted
        guess = self._bytes_per_offset or _GUESSED_RECORD_BYTES
        size = int((wanted.end - self._position) * guess * 1.1)
        return self._wire.fetch(
            Ask(
                wanted.topic,
                wanted.partition,
                self._position,
                min(max(size, _SMALLEST_FETCH), int(FETCH_BYTES / self._growth)),
                wanted.isolation,
                self._leader,
                self._leader_epoch,
                self._epoch,
                wait_ms=100,
                rack=self._rack,
            )
        )

    def _answer(self) -> Answer:
        """The pending fetch's answer, through failures that pass."""
        while True:
            try:
                answer = self._pending.result(timeout=PATIENCE_SECONDS)
            except FutureTimeout:
                raise self._gave_up("nothing came for a fetch") from None
            except kafka_errors.KafkaError as error:
                self._again(error)
                continue
            self._client.throttling.note(answer.throttle_ms)
            if answer.throttle_ms:
                self._progress = time.monotonic()  # it answers, in its own time
            failure = self._failure(answer)
            if failure is None and answer.preferred >= 0 and not self._nearby:
                # A replica nearer to us has it (KIP-392); what it does not have, the leader does.
                self._leader, self._nearby = answer.preferred, True
                self._pending = self._ask()
                continue
            if failure is None:
                self._client.pace.spend(len(answer.records))
                return answer
            self._again(failure)

    def _failure(self, answer: Answer) -> Exception | None:
        """None for an answer to use, an error that passes; raises one that does not."""
        wanted = self._wanted
        if answer.error:
            error = kafka_errors.for_code(answer.error)
            if error is kafka_errors.OffsetOutOfRangeError:
                self._check_range(*self._ends())
                return kafka_errors.OffsetOutOfRangeError()
            if error is kafka_errors.TopicAuthorizationFailedError:
                raise AccessDenied(
                    f"{self._client.settings.hint} does not let {self._client.settings.who} read "
                    f"{wanted.topic}",
                    hint="it needs READ on the topic",
                )
            if error in (kafka_errors.CorruptRecordError, kafka_errors.UnknownError):
                raise CorruptData(f"{wanted.place}: the broker cannot read offset {self._position}")
            failure: Exception = error()
            return failure
        if answer.diverged is not None:
            raise OffsetOutOfRange(
                f"{wanted.place}: the log was cut back to offset {answer.diverged} while it was "
                "read (an unclean election)",
                hint="records that were read from there on are not the log's any more",
            )
        readable = (
            answer.last_stable if wanted.isolation == "read_committed" else answer.high_watermark
        )
        if readable < wanted.end:
            # A replica learns of the end after its leader: what it has until then is as good.
            if self._nearby and len(answer.records):
                return None
            # A new leader may learn of the end a little later; otherwise it is no end of this log.
            if time.monotonic() - self._progress < LAG_SECONDS and self._ends_reach():
                return kafka_errors.OffsetNotAvailableError()
            self._check_range(answer.log_start, answer.high_watermark, readable)
        return None

    def _ends(self) -> tuple[int, int, int]:
        wanted = self._wanted
        place = (wanted.topic, wanted.partition)
        low, high, stable = self._client.ends([place])[place]
        return low, high, stable if wanted.isolation == "read_committed" else high

    def _ends_reach(self) -> bool:
        low, _, readable = self._ends()
        return low <= self._position and readable >= self._wanted.end

    def _check_range(self, low: int, high: int, readable: int) -> None:
        self._check_topic()  # another topic of that name has other offsets
        check_range(self._wanted, self._position, low, high, readable)

    def _again(self, error: Exception) -> None:
        """Pause, look for the leader, and ask once more; or give up."""
        if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
            raise translate(error, "read", self._client.settings)
        if time.monotonic() - self._progress > PATIENCE_SECONDS:
            raise self._gave_up(type(error).__name__)
        if self._nearby:
            # The leader would send us there again.
            self._rack, self._nearby = "", False
        self._wait()
        with suppress(Unreachable):  # still down: the next fetch fails too, until patience ends
            self._leader, self._leader_epoch = self._find_leader()
        self._pending = self._ask()

    def _wait(self) -> None:
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _gave_up(self, why: str) -> Unreachable:
        wanted = self._wanted
        waited = time.monotonic() - self._progress
        return Unreachable(
            f"{wanted.place}: no progress at offset {self._position} for {waited:.0f} s ({why})",
            hint=f"is {self._client.settings.hint} up, and has the partition a leader?",
        )

    def _note_progress(self, size: int, offsets: int) -> None:
        self._progress = time.monotonic()
        self._pause = _FIRST_PAUSE
        if offsets:
            self._bytes_per_offset = max(size / offsets, 1.0)

    def _find_leader(self) -> tuple[int, int]:
        found = current_topic(self._client, self._wanted)
        part = next(
            p for p in found["partitions"] if p["partition_index"] == self._wanted.partition
        )
        return part["leader_id"], part.get("leader_epoch", -1)

    def _check_topic(self) -> None:
        """That what was just read came from the topic that was asked for."""
        while True:
            try:
                current_topic(self._client, self._wanted)
                return
            except Unreachable:
                if time.monotonic() - self._progress > PATIENCE_SECONDS:
                    raise
                self._wait()
