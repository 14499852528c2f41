"""Consumer groups, anybody's, looked at without touching them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import kafka.errors as kafka_errors
from kafka import TopicPartition
from kafka.protocol.api_message import ApiMessage

from workbench.errors import GroupError, did_you_mean
from workbench.log.kafka.client import Client
from workbench.records import GroupInfo, GroupMember

#: The groups that commit offsets: the members' own protocol, and that of KIP-848.
_CLASSIC, _NEW = "classic", "consumer"

#: A group's state and members.
_Seen = tuple[str, tuple[GroupMember, ...]]


class ConsumerGroupDescribeRequest(ApiMessage, load_json="workbench.log.kafka.messages"):
    """Asks for groups of the protocol of KIP-848, which the client has no words for."""


class ConsumerGroupDescribeResponse(ApiMessage, load_json="workbench.log.kafka.messages"):
    """The answer."""


_DescribeRequest: Any = ConsumerGroupDescribeRequest


def infos(client: Client) -> list[GroupInfo]:
    """All consumer groups, by name, with members and committed offsets.

    A few requests to each coordinator, however many groups there are.
    """
    found = listed(client)
    return _infos(client, [g for g in found.values() if g["protocol_type"] in ("consumer", "")])


def info(client: Client, name: str) -> GroupInfo:
    """One group.  Raises GroupError with the names there are."""
    known = listed(client)
    if name not in known:
        hint = did_you_mean(name, sorted(known)) if known else "it has no groups yet"
        raise GroupError(f"no group {name!r} in {client.settings.hint}", hint=hint)
    [found] = _infos(client, [known[name]])
    return found


def listed(client: Client) -> dict[str, dict[str, Any]]:
    """The groups that commit offsets as the cluster lists them, by name: not share groups."""
    found = client.call("list groups", client.admin.list_groups)
    return {
        one["group_id"]: one
        for one in found
        if (one.get("group_type") or _CLASSIC).lower() in (_CLASSIC, _NEW)
    }


def positions(client: Client, names: list[str]) -> dict[str, dict[TopicPartition, Any]]:
    """What each group has committed, with the word that was left beside it."""
    found: dict[str, dict[TopicPartition, Any]] = client.call(
        f"read positions of {_named(names)}",
        lambda: client.admin.list_group_offsets(dict.fromkeys(names)),
    )
    return found


def _infos(client: Client, found: Iterable[Mapping[str, Any]]) -> list[GroupInfo]:
    known = {one["group_id"]: one for one in found}
    if not known:
        return []
    names = sorted(known)
    described = _described(client, {name: known[name].get("group_type") for name in names})
    offsets = positions(client, names)
    return [
        GroupInfo(
            name=name,
            state=(known[name].get("group_state") or described[name][0] or "unknown").lower(),
            members=described[name][1],
            offsets={
                (tp.topic, tp.partition): at.offset
                for tp, at in sorted(offsets[name].items())
                if at.offset >= 0
            },
        )
        for name in names
    ]


def _described(
    client: Client, kinds: Mapping[str, str | None]
) -> dict[str, tuple[str, tuple[GroupMember, ...]]]:
    """State and members of each group, whichever protocol its members speak today.

    A group changes its protocol with its members, so the broker's word is taken that it is not a
    classic one, rather than that of a list that may be older.
    """
    names = sorted(kinds)
    ask = f"describe {_named(names)}"
    classic = client.call(ask, lambda: _described_as_classic(client, names))
    found = {
        name: (group.get("group_state") or "", tuple(map(_member, group["members"])))
        for name, group in classic.items()
    }
    # Brokers before 4.0 do not say so themselves.
    others = [
        name
        for name in names
        if classic[name]["error"] or (kinds[name] or _CLASSIC).lower() == _NEW
    ]
    if others:
        found |= client.call(ask, lambda: dict(_described_anew(client, others)))
    return found


def _described_as_classic(client: Client, names: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = client.admin.describe_groups(names)
    for name, group in found.items():
        error = _error(group["error"])
        if error not in (kafka_errors.NoError, kafka_errors.GroupIdNotFoundError):
            raise error(f"group {name}")
    return found


def _error(text: str | None) -> Any:
    """What the client has made a text of: `[Error 16] NotCoordinatorError: …`."""
    known = re.match(r"\[Error (-?\d+)\]", text or "[Error 0]")
    return kafka_errors.for_code(int(known[1]) if known else kafka_errors.UnknownError.errno)


def _described_anew(client: Client, names: list[str]) -> Iterator[tuple[str, _Seen]]:
    admin = client.admin
    shares: dict[int, list[str]] = defaultdict(list)
    for name, node in admin._manager.run(admin._find_coordinator_ids, names).items():
        shares[node].append(name)
    for node, some in shares.items():
        request = _DescribeRequest(group_ids=some, include_authorized_operations=False)
        for group in admin._manager.run(admin._manager.send, request, node).groups:
            error = kafka_errors.for_code(group.error_code)
            # One that went meanwhile has no members.
            if group.error_code and error is not kafka_errors.GroupIdNotFoundError:
                raise error(group.error_message or "")
            yield group.group_id, (group.group_state, tuple(map(_new_member, group.members)))


def _named(names: list[str]) -> str:
    return f"the group {names[0]!r}" if len(names) == 1 else "groups"


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


def _new_member(found: Any) -> GroupMember:
    return GroupMember(
        id=found.member_id,
        client=found.client_id,
        host=found.client_host.lstrip("/"),
        partitions=tuple(
            (one.topic_name, number)
            for one in found.assignment.topic_partitions
            for number in sorted(one.partitions)
        ),
    )
