"""Whether a batch whose acknowledgement did not come is in the log.

Brokers know a batch that is sent again by its producer and sequence number (KIP-98), but forget a
producer by the times of its records: one whose newest record is stamped more than a day ago
(`producer.id.expiration.ms`) is not there any more after an unclean start, nor after a look at
them every ten minutes, and then any number is taken.  So for records of long ago the brokers'
memory is not enough, and a client looks before it sends again.

What is left: a broker that outlives a connection may write what came over it after the look.  It
then knows the batch, unless its look at producers falls between the two.
"""

from __future__ import annotations

import time
from typing import Any

import kafka.errors as kafka_errors
from kafka.protocol.consumer import OffsetForLeaderEpochRequest

from workbench.errors import AccessDenied
from workbench.log.kafka.batches import HEADER, Header
from workbench.log.kafka.client import EARLIEST, Client
from workbench.log.kafka.outgoing import DELIVERY_SECONDS, Batch
from workbench.log.kafka.ranges import Range
from workbench.log.kafka.reader import FetchReader
from workbench.log.kafka.wire import Wire
from workbench.records import TopicInfo

#: Producers of records that are not older are known to brokers, as these usually are set up.
_KNOWN_MS = 12 * 3_600_000


def written(
    client: Client,
    wire: Wire,
    info: TopicInfo,
    batch: Batch,
    start: int,
    leader: tuple[int, int],
) -> int | None:
    """The offset of a batch's first record in the log at or after `start`, or None.

    `leader` is the partition's leader and its epoch.  None is for a batch that was not sent yet,
    or is not there, or, where the user may not read, is so young that the brokers know.

    Raises OffsetOutOfRange as long as the log's last records are not on all replicas in sync, for
    these may be cut off; AccessDenied for older records of who may not read; and what a read does.
    """
    if not batch.sent:
        return None
    place = (info.name, batch.partition)
    low = client.offsets({place: EARLIEST})[place].offset
    start, end = max(start, low), _log_end(wire, place, leader)
    if end <= start:
        return None
    wanted = Range(info.name, info.id, batch.partition, start, end, "read_uncommitted", None)
    try:
        for found in FetchReader(client, wire).batches(wanted):
            if found.producer == batch.producer:
                return found.base_offset
    except AccessDenied as denied:
        newest_ms = Header(*HEADER.unpack_from(batch.data or b"")).max_timestamp
        if newest_ms < time.time() * 1000 - _KNOWN_MS:
            raise AccessDenied(f"whether they were written cannot be seen: {denied}") from None
    return None


def _log_end(wire: Wire, place: tuple[str, int], leader: tuple[int, int]) -> int:
    """Where the leader's log ends, beyond what is on all replicas."""
    topic, partition = place
    node, epoch = leader
    asked = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
    one = asked.OffsetForLeaderPartition(
        partition=partition, current_leader_epoch=epoch, leader_epoch=epoch
    )
    request = OffsetForLeaderEpochRequest(
        replica_id=-1, topics=[asked(topic=topic, partitions=[one])]
    )
    answer: Any = wire.send(request, node).result(timeout=DELIVERY_SECONDS)
    found = answer.topics[0].partitions[0]
    if found.error_code:
        raise kafka_errors.for_code(found.error_code)
    end: int = found.end_offset
    if end < 0:
        raise kafka_errors.OffsetNotAvailableError("the leader does not know its epoch")
    return end
