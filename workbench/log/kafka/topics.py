"""Topics of a cluster as facts: ids, partitions, retention, from metadata alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import kafka.errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.protocol.metadata import MetadataRequest

from workbench.errors import (
    AccessDenied,
    InvalidTopicName,
    LogError,
    TopicError,
    TopicExists,
    UnknownTopic,
)
from workbench.log.kafka.client import Client, Place, translate
from workbench.log.protocol import TopicSpec
from workbench.records import PartitionInfo, TimestampType, TopicInfo

_LARGEST = "max.message.bytes"
_CONFIGS = (
    "retention.ms",
    "retention.bytes",
    "cleanup.policy",
    "message.timestamp.type",
    _LARGEST,
)
_FOREVER = -1
_CREATE_MS = 30_000
_PAUSE_SECONDS = 0.05
#: What ListOffsets takes for "the record with the latest timestamp" (KIP-734).
_NEWEST = -3


def infos(client: Client) -> list[TopicInfo]:
    """All topics but Kafka's own, by name, in one request: without their settings."""
    found = [t for t in client.describe() if not t["is_internal"] and not t["error_code"]]
    return sorted((_info(topic, {}) for topic in found), key=lambda info: info.name)


def info(client: Client, name: str) -> TopicInfo:
    """One topic.  Raises UnknownTopic, AccessDenied."""
    [found] = client.describe([name])
    error = kafka_errors.for_code(found["error_code"])
    if error in (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.InvalidTopicError):
        raise UnknownTopic(name, client.names(), log=client.settings.hint)
    if error is kafka_errors.TopicAuthorizationFailedError:
        raise AccessDenied(
            f"{client.settings.hint} does not let {client.settings.who} see {name}",
            hint="it needs DESCRIBE on the topic, and READ to read it",
        )
    return _info(found, _configs(client, [name]).get(name, {}))


def largest_batch(client: Client, name: str) -> int | None:
    """How many bytes a topic lets a batch of records have; None where it does not say."""
    found = _configs(client, [name]).get(name, {}).get(_LARGEST, {}).get("value")
    return None if found is None else int(found)


def details(client: Client, names: Sequence[str]) -> list[tuple[TopicInfo, list[PartitionInfo]]]:
    """Settings, ends, sizes and times of topics: a handful of requests, however many they are.

    What this user may not see, or the broker cannot say, is None.  The time of a partition's first
    record stands for its oldest; its newest is exact.
    """
    described = sorted(client.describe(names), key=lambda topic: str(topic["name"]))
    found = [t for t in described if not t["error_code"]]
    configs = _configs(client, [t["name"] for t in found])
    # A partition without a leader has no ends to ask for.
    places = [
        (t["name"], part["partition_index"])
        for t in found
        for part in t["partitions"]
        if part["leader_id"] >= 0
    ]
    sizes, ends = _sizes(client, [t["name"] for t in found]), client.ends(places)
    first, last = (_times(client, places, at) for at in (0, _NEWEST))
    by_topic: dict[str, list[PartitionInfo]] = {t["name"]: [] for t in found}
    for place in sorted(places):
        by_topic[place[0]].append(
            PartitionInfo(
                *place,
                *ends[place],
                bytes=sizes.get(place),
                min_timestamp_ms=first.get(place),
                max_timestamp_ms=last.get(place),
            )
        )
    return [(_info(t, configs.get(t["name"], {})), by_topic[t["name"]]) for t in found]


def create(client: Client, spec: TopicSpec) -> None:
    """Make a topic.  Raises TopicExists, InvalidTopicName, AccessDenied, TopicError."""
    configs = {
        "retention.ms": _FOREVER if spec.retention_ms is None else spec.retention_ms,
        "retention.bytes": _FOREVER if spec.retention_bytes is None else spec.retention_bytes,
        "message.timestamp.type": (
            "LogAppendTime" if spec.timestamp_type == "append" else "CreateTime"
        ),
    }
    wanted = {
        spec.name: {
            "num_partitions": spec.partitions,
            "configs": {name: str(value) for name, value in configs.items()},
        }
    }
    answer = client.call(
        "create topics",
        lambda: client.admin.create_topics(wanted, timeout_ms=_CREATE_MS, raise_errors=False),
    )
    [made] = answer["topics"]
    error = kafka_errors.for_code(made["error_code"])
    if error is kafka_errors.TopicAlreadyExistsError:
        raise TopicExists(
            f"topic {spec.name!r} is there already in {client.settings.hint}",
            hint=f"log.stream({spec.name!r}) is the one that is there",
        )
    if error is kafka_errors.InvalidTopicError:
        raise InvalidTopicName(f"{spec.name!r} cannot be a topic: {made['error_message']}")
    if error is kafka_errors.TopicAuthorizationFailedError:
        raise translate(error(), f"create {spec.name}", client.settings)
    if error is not kafka_errors.NoError:
        raise TopicError(f"topic {spec.name!r} was not made: {made['error_message']}")
    client.call("create topics", lambda: client.admin.wait_for_topics([spec.name]))
    _wait_for_brokers(client, spec.name)


def _wait_for_brokers(client: Client, name: str) -> None:
    """Wait until all brokers know a new topic: any of them may get the next question."""
    asked = MetadataRequest(
        topics=[MetadataRequest.MetadataRequestTopic(name=name)], allow_auto_topic_creation=False
    )
    manager = client.admin._manager
    deadline = time.monotonic() + _CREATE_MS / 1000
    for broker in manager.cluster.brokers():
        with suppress(kafka_errors.KafkaError):  # Who does not answer gets no questions either.
            while manager.run(manager.send, asked, broker.node_id).topics[0].error_code:
                if time.monotonic() > deadline:
                    return
                time.sleep(_PAUSE_SECONDS)


def _configs(client: Client, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Settings per topic; nothing for the ones that this user may not see."""
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, configs=dict.fromkeys(_CONFIGS))
        for name in names
    ]
    if not resources:
        return {}
    try:
        found = client.call(
            "describe topics",
            lambda: client.admin.describe_configs(resources, config_filter="all"),
        )
    except AccessDenied:
        return {}
    configs: dict[str, dict[str, Any]] = found.get("topic", {})
    return configs


def _sizes(client: Client, names: Sequence[str]) -> dict[Place, int]:
    """Bytes per partition: the largest replica's.  Nothing where this user may not ask."""
    try:
        found = client.call("see sizes", lambda: client.admin.describe_log_dirs(list(names)))
    except LogError:
        return {}
    sizes: dict[Place, int] = {}
    for folder in (folder for broker in found for folder in broker["log_dirs"]):
        for topic in folder["topics"]:
            for part in topic["partitions"]:
                place = topic["name"], part["partition_index"]
                sizes[place] = max(sizes.get(place, 0), part["partition_size"])
    return sizes


def _times(client: Client, places: Sequence[Place], at: int) -> dict[Place, int]:
    """The timestamps that a look-up finds; nothing from a broker that does not know it."""
    try:
        found = client.offsets(dict.fromkeys(places, at))
    except LogError:
        return {}
    return {place: answer.timestamp for place, answer in found.items() if answer.timestamp >= 0}


def _info(found: dict[str, Any], configs: dict[str, Any]) -> TopicInfo:
    def limit(name: str) -> int | None:
        value = configs.get(name, {}).get("value")
        return None if value is None or int(value) < 0 else int(value)

    policy = configs.get("cleanup.policy", {}).get("value")
    stamped = configs.get("message.timestamp.type", {}).get("value")
    kind: TimestampType = "append" if stamped == "LogAppendTime" else "create"
    return TopicInfo(
        name=found["name"],
        id=str(found["topic_id"]),
        partitions=len(found["partitions"]),
        retention_ms=limit("retention.ms"),
        retention_bytes=limit("retention.bytes"),
        cleanup_policy=policy or "unknown",
        timestamp_type=kind,
    )
