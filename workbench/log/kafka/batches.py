"""From the bytes of a fetch to the record batches that a reader may see, and why others are not.

The format is Kafka's record batch, magic 2 (KIP-98); older formats are handed to the client's own
decoder.  The rules are those of Kafka's consumer: control batches are never records, and under
read_committed a transaction's records are dropped from its first offset to its abort marker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

import numpy as np
from kafka.errors import KafkaError
from kafka.record import MemoryRecords

from workbench.errors import CorruptData
from workbench.log.kafka.codecs import Arena, Buffer, checksum
from workbench.records import GapReason

HEADER = Struct(">qiibIhiqqqhii")
_PREFIX = Struct(">qiib")  # what all formats begin with: offset, length, …, magic
OVERHEAD = 12  # offset and length, which the length does not count
CRC_FROM = 21  # what follows the checksum is what it covers

_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20

#: A producer's aborted transaction in a fetched range: producer id and first offset.
Aborted = tuple[int, int]


class Header(NamedTuple):
    """A batch's header, as it lies in the bytes."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_delta


class Batch(NamedTuple):
    """One batch of records to be decoded: they are `data[start:end]`, decompressed.

    Of an older format, that is the whole message set.  Neighbours share `data`.
    """

    data: Buffer
    start: int
    end: int
    base_offset: int
    last_offset: int
    first_timestamp: int
    max_timestamp: int
    append_time: bool
    leader_epoch: int
    records: int
    magic: int
    #: Id, epoch and first sequence number of an idempotent producer, else -1.
    producer: tuple[int, int, int]


@dataclass(slots=True)
class Scan:
    """What the batches of one fetch cover: from the asked offset up to `next`.

    `holes` are the offsets that no batch to decode covers, with the reason; what is missing
    within a batch shows when it is decoded.
    """

    next: int
    epoch: int = -1
    batches: list[Batch] = field(default_factory=list)
    holes: list[tuple[int, int, GapReason]] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many records the batches hold."""
        return sum(batch.records for batch in self.batches)

    @property
    def size(self) -> int:
        """How many bytes they take, decompressed."""
        return sum(batch.end - batch.start for batch in self.batches)


def scan(
    data: memoryview,
    start: int,
    end: int,
    aborted: Sequence[Aborted],
    *,
    committed: bool,
    hole: GapReason,
) -> Scan:
    """Walk over the batches of one fetch that was asked for at `start`, up to `end`.

    `hole` is what an offset that no batch holds is put down to.  Raises CorruptData for a
    checksum that does not match.
    """
    found = Scan(start)
    pending = sorted(aborted, key=lambda one: one[1])
    dropping: set[int] = set()
    whole = np.frombuffer(data, np.uint8)
    arena = Arena()
    for header, at in _headers(data):
        body = data[at : at + OVERHEAD + header.length]
        base, last = header.base_offset, header.last_offset
        if last < start:
            continue
        if base >= end:
            # Nothing below the end is left, whether or not there was a record at end - 1.
            _note(found, end, hole)
            break
        if header.magic == 2 and checksum(body[CRC_FROM:]) != header.crc:
            raise CorruptData(f"the batch at offset {base} does not match its checksum")
        while pending and pending[0][1] <= last:
            dropping.add(pending.pop(0)[0])
        _note(found, base, hole)
        found.epoch = header.leader_epoch
        upto = min(last + 1, end)
        if header.attributes & _CONTROL:
            # Compaction leaves a producer's last batch without its records: what a marker said is
            # then of no transaction that is left.
            if header.records and _is_abort(body):
                dropping.discard(header.producer_id)
            _note(found, upto, "control")
        elif committed and header.attributes & _TRANSACTIONAL and header.producer_id in dropping:
            _note(found, upto, "aborted")
        elif not header.records:
            _note(found, upto, "compacted")
        else:
            codec = header.attributes & _CODEC if header.magic == 2 else 0
            skipped = HEADER.size if header.magic == 2 else 0
            place = (
                arena.decompress(codec, body[skipped:])
                if codec
                else (whole, at + skipped, at + len(body))
            )
            found.batches.append(_batch(header, place))
            found.next = upto
        if found.next >= end:
            break
    return found


def _batch(header: Header, place: tuple[Buffer, int, int]) -> Batch:
    return Batch(
        *place,
        header.base_offset,
        header.last_offset,
        header.first_timestamp,
        header.max_timestamp,
        bool(header.attributes & _APPEND_TIME),
        header.leader_epoch,
        header.records,
        header.magic,
        (header.producer_id, header.producer_epoch, header.base_sequence),
    )


def _note(found: Scan, upto: int, reason: GapReason) -> None:
    """Account for the offsets up to `upto`, if there are any, as missing."""
    if upto > found.next:
        found.holes.append((found.next, upto, reason))
        found.next = upto


def _headers(data: memoryview) -> Iterator[tuple[Header, int]]:
    """Header and place of each whole batch; the last one of a fetch may be cut off."""
    at = 0
    while at + _PREFIX.size <= len(data):
        offset, length, _, magic = _PREFIX.unpack_from(data, at)
        length += OVERHEAD
        if length < _PREFIX.size or (magic == 2 and length < HEADER.size):
            raise CorruptData(f"the batch at offset {offset} says it is {length} bytes long")
        if at + length > len(data):
            return
        if magic == 2:
            yield Header(*HEADER.unpack_from(data, at)), at
        else:
            yield _old(data[at : at + length], magic), at
        at += length


def _old(body: memoryview, magic: int) -> Header:
    """A header for a message set of magic 0 or 1, by way of the client's own decoder."""
    try:
        inside = MemoryRecords(bytes(body)).next_batch()
        if not inside.validate_crc():
            raise CorruptData(f"the batch up to offset {inside.next_offset - 1} is corrupt")
        records = [(record.offset, record.timestamp) for record in inside]
    except KafkaError as error:
        raise CorruptData(f"a batch of magic {magic} does not decode: {error}") from error
    first = records[0][0]
    times = [-1 if at is None else at for _, at in records]
    return Header(
        base_offset=first,
        length=len(body) - OVERHEAD,
        leader_epoch=-1,
        magic=magic,
        crc=0,
        attributes=0,
        last_delta=records[-1][0] - first,
        first_timestamp=times[0],
        max_timestamp=max(times),
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        records=len(records),
    )


def _is_abort(body: memoryview) -> bool:
    """Whether a control batch ends its transaction with an abort: key (version, type 0)."""
    at = HEADER.size
    at = _skip_varint(body, at) + 1  # length, attributes
    at = _skip_varint(body, _skip_varint(body, at))  # timestamp and offset delta
    at = _skip_varint(body, at)  # the key's length
    return bytes(body[at + 2 : at + 4]) == b"\x00\x00"


def _skip_varint(body: memoryview, at: int) -> int:
    while body[at] & 0x80:
        at += 1
    return at + 1
