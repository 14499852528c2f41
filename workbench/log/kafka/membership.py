"""Consumer groups of our own: joined, shared with other processes, left."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import Any

import kafka.errors as kafka_errors
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import MemberToRemove
from kafka.structs import MemberState

from workbench.errors import GroupError, GroupInUse, LeaseLost, LogError
from workbench.log.kafka.client import Client, translate
from workbench.log.kafka.groups import info, listed, positions
from workbench.log.kafka.settings import CONNECT_SECONDS
from workbench.positions import Position

#: How long a process may be silent before it loses its partitions, in seconds.
LEASE_SECONDS = 10.0
#: How long a loop body may keep the others of its group waiting, in seconds.
BODY_SECONDS = 300.0
#: How long joining may take: the other members' bodies, and the leases of the dead, in seconds.
JOIN_SECONDS = BODY_SECONDS + 3 * LEASE_SECONDS
#: How soon a partition that is added to a topic is given to a member, in seconds.
LOOK_SECONDS = 60.0
_ANSWER_MS = int(CONNECT_SECONDS * 1000)


def join(
    client: Client, group: str, start: Position, *, join_existing: bool | None
) -> KafkaMembership:
    """Join a group; see `LogBackend.join`.

    Whose a group is, is told by its members' client id, and by the same word beside each position
    that was committed here.
    """
    if not join_existing:
        mine = client.settings.client_id if join_existing is None else None
        if group in listed(client):
            _refuse_foreign(client, group, mine)
    return KafkaMembership(client, group, start)


def _refuse_foreign(client: Client, group: str, mine: str | None) -> None:
    """Raise GroupInUse for a group with members or positions that are not those of `mine`."""
    members = [m for m in info(client, group).members if m.client != mine]
    committed = positions(client, [group])[group].values()
    foreign = [at for at in committed if at.offset >= 0 and at.metadata != mine]
    if members or foreign:
        raise GroupInUse(
            f"group {group!r} of {client.settings.hint} has {len(members)} members and positions "
            f"in {len(foreign)} partitions" + ("" if mine is None else f" that are not {mine}'s"),
            hint="choose another name, or say join_existing=True",
        )


class KafkaMembership:
    """One member of a Kafka consumer group; see `Membership`.  For one thread.

    The client's coordinator joins, beats and commits; its consumer never fetches, since records
    are read as slices.  A rebalance is gone through in one call and never given up halfway: the
    client forgets a join that a poll has timed out of, and the other members would wait for it.

    A rebalance waits for each member's loop body, `BODY_SECONDS` at most; who takes longer loses
    its partitions, and its batch comes again.
    """

    def __init__(self, client: Client, group: str, start: Position) -> None:
        self._client = client
        self._group = group
        self._start = start
        consumer: Any = client.call(
            f"join the group {group!r}",
            lambda: KafkaConsumer(
                **client.settings.client(),
                group_id=group,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                session_timeout_ms=int(LEASE_SECONDS * 1000),
                heartbeat_interval_ms=int(LEASE_SECONDS * 100),
                max_poll_interval_ms=int(BODY_SECONDS * 1000),
                metadata_max_age_ms=int(LOOK_SECONDS * 1000),
            ),
        )
        self._consumer = consumer
        self._coordinator = consumer._coordinator
        self._left = False
        topics = sorted(start.by_topic())
        #: What the caller does not want; a partition that is added later is not one of these.
        self._left_out = {
            (topic["name"], part["partition_index"])
            for topic in client.describe(topics)
            for part in topic["partitions"]
        } - set(start)
        consumer.subscribe(topics)
        # Metadata that comes while the group forms would make its leader start all over.
        client.call("describe topics", consumer.topics)

    def assignment(self) -> Position:
        """What this member holds now; see `Membership.assignment`."""
        self._settle()
        mine = [
            p for p in self._consumer.assignment() if (p.topic, p.partition) not in self._left_out
        ]
        found = self._client.call(
            f"read positions of the group {self._group!r}",
            lambda: self._coordinator.fetch_committed_offsets(mine, timeout_ms=_ANSWER_MS),
        )
        return Position(
            {
                (p.topic, p.partition): (
                    found[p].offset if p in found else self._start.get((p.topic, p.partition), 0)
                )
                for p in mine
            }
        )

    def commit(self, position: Position) -> None:
        """Make the position durable; see `Membership.commit`."""
        held = {(p.topic, p.partition) for p in self._consumer.assignment()}
        lost = sorted(set(position) - held)
        if lost:
            raise self._lost(", ".join(f"{topic} {partition}" for topic, partition in lost))
        offsets = {
            TopicPartition(*place): OffsetAndMetadata(offset, self._client.settings.client_id, -1)
            for place, offset in position.items()
        }
        try:
            self._consumer.commit(offsets, timeout_ms=_ANSWER_MS)
        except (
            kafka_errors.CommitFailedError,
            kafka_errors.IllegalGenerationError,
            kafka_errors.UnknownMemberIdError,
            kafka_errors.RebalanceInProgressError,
        ):
            raise self._lost("the partitions") from None
        except kafka_errors.KafkaError as error:
            raise translate(
                error, f"commit a position of the group {self._group!r}", self._client.settings
            ) from None

    def leave(self) -> None:
        """Give the partitions back; see `Membership.leave`."""
        if self._left:
            return
        self._left = True
        known = self._consumer.group_metadata()
        # Who was interrupted in a rebalance has asked to join: until that is answered the broker
        # hears nothing else over this connection, and the others wait for who is gone.
        joining = known.state is MemberState.REBALANCING
        self._consumer.close(autocommit=False, timeout_ms=0 if joining else _ANSWER_MS)
        if joining and known.member_id:
            with suppress(LogError):
                self._client.call(
                    f"leave the group {self._group!r}",
                    lambda: self._client.admin.remove_group_members(
                        self._group, [MemberToRemove(member_id=known.member_id)]
                    ),
                )

    def _settle(self) -> None:
        """Take part in the group's life until this member knows what it holds."""
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            left_ms = max(deadline - time.monotonic(), 0) * 1000
            stay = partial(self._coordinator.poll, timeout_ms=left_ms)
            settled = self._client.call(f"take part in the group {self._group!r}", stay)
            if settled and not self._coordinator.need_rejoin():
                return
            if time.monotonic() >= deadline:
                raise GroupError(
                    f"group {self._group!r}: nothing was assigned within {JOIN_SECONDS:.0f} s",
                    hint="another member may be stuck; log.group(name).members shows them",
                )

    def _lost(self, what: str) -> LeaseLost:
        return LeaseLost(
            f"group {self._group}: {what} went to another member; nothing is committed",
            hint=f"those records come again; a loop body may take {BODY_SECONDS:.0f} s at most",
        )
