"""Consumer groups: anybody's, looked at without touching them; our own, joined."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import kafka.errors as kafka_errors
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition

from workbench.errors import GroupError, GroupInUse, LeaseLost, LogError, did_you_mean
from workbench.log.kafka.client import Client, translate
from workbench.positions import Position
from workbench.records import GroupInfo, GroupMember

#: How long joining may take, other members' rebalance included, in seconds.
JOIN_SECONDS = 60.0
#: How long a member may be silent before it loses its partitions, in seconds.
LEASE_SECONDS = 10.0
_POLL_MS = 100


def infos(client: Client) -> list[GroupInfo]:
    """All consumer groups, by name, with members and committed offsets."""
    listed = client.call("list groups", client.admin.list_groups)
    states = {
        group["group_id"]: group.get("group_state") or ""
        for group in listed
        if group.get("protocol_type") in ("consumer", "")
    }
    return [_info(client, name, state) for name, state in sorted(states.items())]


def info(client: Client, name: str) -> GroupInfo:
    """One group.  Raises GroupError with the names there are."""
    listed = client.call("list groups", client.admin.list_groups)
    known = {group["group_id"]: group for group in listed}
    if name not in known:
        hint = did_you_mean(name, sorted(known)) if known else "it has no groups yet"
        raise GroupError(f"no group {name!r} in {client.settings.hint}", hint=hint)
    return _info(client, name, known[name].get("group_state") or "")


def join(client: Client, group: str, start: Position, *, join_existing: bool) -> KafkaMembership:
    """Join a group; see `LogBackend.join`."""
    if not join_existing:
        known = {g["group_id"] for g in client.call("list groups", client.admin.list_groups)}
        if group in known:
            found = info(client, group)
            if found.members or found.offsets:
                raise GroupInUse(
                    f"group {group!r} has {len(found.members)} members and positions in "
                    f"{len(found.offsets)} partitions",
                    hint="choose another name, or say join_existing=True",
                )
    return KafkaMembership(client, group, start)


class KafkaMembership:
    """One member of a Kafka consumer group; see `Membership`.  For one thread.

    The client's consumer keeps the membership alive and takes part in rebalances; it fetches
    nothing, since records are read as slices.
    """

    def __init__(self, client: Client, group: str, start: Position) -> None:
        self._client = client
        self._group = group
        self._start = start
        consumer: Any = client.call(
            "join a group",
            lambda: KafkaConsumer(
                **client.settings.client(),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                session_timeout_ms=int(LEASE_SECONDS * 1000),
                heartbeat_interval_ms=1000,
            ),
        )
        self._consumer = consumer
        self._left = False
        self._joined = _Joined(self._consumer)
        topics = sorted(start.by_topic())
        # Members share out what they know of: a topic that is not known yet goes to nobody.
        client.call(
            "describe topics", lambda: [consumer.partitions_for_topic(topic) for topic in topics]
        )
        consumer.subscribe(topics, listener=self._joined)

    def assignment(self) -> Position:
        """What this member holds now; see `Membership.assignment`."""
        deadline = time.monotonic() + JOIN_SECONDS
        self._poll(0)
        while not self._joined.settled:
            if time.monotonic() > deadline:
                raise GroupError(
                    f"group {self._group!r}: nothing was assigned within {JOIN_SECONDS:.0f} s",
                    hint="another member may be stuck; log.group(name) shows them",
                )
            self._poll(_POLL_MS)
        mine = [p for p in self._consumer.assignment() if (p.topic, p.partition) in self._start]
        return Position({(p.topic, p.partition): self._committed(p) for p in mine})

    def commit(self, position: Position) -> None:
        """Make the position durable; see `Membership.commit`."""
        held = {(p.topic, p.partition) for p in self._consumer.assignment()}
        lost = sorted(set(position) - held)
        if lost:
            raise self._lost(", ".join(f"{topic} {partition}" for topic, partition in lost))
        offsets = {
            TopicPartition(*place): OffsetAndMetadata(offset, "", -1)
            for place, offset in position.items()
        }
        try:
            self._consumer.commit(offsets)
        except (
            kafka_errors.CommitFailedError,
            kafka_errors.IllegalGenerationError,
            kafka_errors.UnknownMemberIdError,
            kafka_errors.RebalanceInProgressError,
        ):
            raise self._lost("the partitions") from None
        except kafka_errors.KafkaError as error:
            raise translate(error, "commit a position", self._client.settings) from None

    def leave(self) -> None:
        """Give the partitions back; see `Membership.leave`."""
        if self._left:
            return
        self._left = True
        # Who leaves in the midst of a rebalance is waited for by the others: let it end first.
        deadline = time.monotonic() + LEASE_SECONDS
        with suppress(LogError):
            self._poll(_POLL_MS)
            while not self._joined.settled and time.monotonic() < deadline:
                self._poll(_POLL_MS)
        self._consumer.close(autocommit=False)

    def _committed(self, place: TopicPartition) -> int:
        found = self._client.call("read positions", lambda: self._consumer.committed(place))
        return self._start[place.topic, place.partition] if found is None else int(found)

    def _poll(self, timeout_ms: int) -> None:
        """Let the consumer take part in the group's life; what it holds stays paused."""
        self._client.call("stay in a group", lambda: self._consumer.poll(timeout_ms=timeout_ms))

    def _lost(self, what: str) -> LeaseLost:
        return LeaseLost(
            f"group {self._group}: {what} went to another member; nothing is committed",
            hint="ask for the assignment again; those records come again elsewhere",
        )


class _Joined(ConsumerRebalanceListener):
    """Knows whether the member has an assignment, and pauses it, so that nothing is fetched."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.settled = False

    def on_partitions_revoked(self, revoked: Any) -> None:
        self.settled = False

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._consumer.pause(*assigned)
        self.settled = True


def _info(client: Client, name: str, state: str) -> GroupInfo:
    described = client.call("describe groups", lambda: client.admin.describe_groups([name]))[name]
    offsets = client.call("read positions", lambda: client.admin.list_group_offsets([name]))[name]
    members = () if described["error"] else tuple(map(_member, described["members"]))
    return GroupInfo(
        name=name,
        state=(state or described.get("group_state") or "unknown").lower(),
        members=members,
        offsets={
            (tp.topic, tp.partition): at.offset
            for tp, at in sorted(offsets.items())
            if at.offset >= 0
        },
    )


def _member(found: dict[str, Any]) -> GroupMember:
    assigned = found.get("member_assignment") or {}
    parts = assigned.get("assigned_partitions", []) if isinstance(assigned, dict) else []
    return GroupMember(
        id=found["member_id"],
        client=found["client_id"],
        host=found["client_host"].lstrip("/"),
        partitions=tuple(
            (one["topic"], number) for one in parts for number in sorted(one["partitions"])
        ),
    )
