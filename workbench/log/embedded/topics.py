"""Topics and partitions: names, facts, creation."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import apsw

from workbench.errors import AppendRejected, InvalidTopicName, TopicExists, UnknownTopic
from workbench.log.embedded.catalog import Catalog, fetch
from workbench.log.protocol import TopicSpec
from workbench.records import PartitionInfo, TimestampType, TopicInfo
from workbench.schema import Schema

#: When the hot tail of a partition becomes a segment: rows, or bytes.
SEGMENT_ROWS = 250_000
SEGMENT_BYTES = 64 << 20

MOST_PARTITIONS = 100_000

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_FACTS = (
    "SELECT name, uuid, partitions, retention_ms, retention_bytes, timestamp_type, schema, "
    "source_log, (SELECT value FROM meta WHERE meta.name = 'masked:' || topic.name) FROM topic"
)
_PARTITIONS = """
SELECT p.partition, p.log_start, p.next_off, p.hot_bytes + ifnull(s.bytes, 0),
    min(ifnull(p.hot_min_ts, s.min_ts), ifnull(s.min_ts, p.hot_min_ts)),
    max(ifnull(p.hot_max_ts, s.max_ts), ifnull(s.max_ts, p.hot_max_ts))
FROM part p LEFT JOIN (
    SELECT pid, sum(bytes) AS bytes, min(min_ts) AS min_ts, max(max_ts) AS max_ts
    FROM segment WHERE deleted_ms IS NULL AND pid IN (SELECT pid FROM part WHERE tid = ?1)
    GROUP BY pid
) s USING (pid)
WHERE p.tid = ?1 ORDER BY p.partition
"""


@dataclass(frozen=True, slots=True)
class Topic:
    """What never changes about a topic, kept by every process that uses it."""

    tid: int
    name: str
    numbers: dict[int, int]  # the partitions' own, by pid
    pids: tuple[int, ...]
    timestamp_type: TimestampType
    segment_rows: int
    segment_bytes: int
    expires: bool

    @property
    def partitions(self) -> int:
        """How many there are."""
        return len(self.pids)

    def segments(self, rows: int, size: int) -> float:
        """How many segments some records fill."""
        return max(rows / self.segment_rows, size / self.segment_bytes)


def check_name(name: str) -> None:
    """Raise `InvalidTopicName` for a name that breaks Kafka's rules, or is reserved."""
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise InvalidTopicName(
            f"{name[:260]!r} cannot name a topic",
            hint="1 to 249 letters, digits, dots, underscores and hyphens, not '.' or '..'",
        )
    if name.startswith("__"):
        raise InvalidTopicName(f"{name!r} is reserved", hint="names do not start with '__'")


def find(catalog: Catalog, name: str) -> Topic:
    """One topic.  Raises `UnknownTopic`."""
    rows = catalog.rows(
        "SELECT tid, name, pid, timestamp_type, segment_rows, segment_bytes, "
        "ifnull(retention_ms, retention_bytes) IS NOT NULL FROM topic JOIN part USING (tid) "
        "WHERE name = ? ORDER BY partition",
        (name,),
    )
    if not rows:
        raise unknown(catalog, name)
    tid, known, _, *facts = rows[0]
    pids = tuple(row[2] for row in rows)
    return Topic(tid, known, {pid: number for number, pid in enumerate(pids)}, pids, *facts)


def unknown(catalog: Catalog, name: str) -> UnknownTopic:
    """The error that lists what there is."""
    known = [known for (known,) in catalog.rows("SELECT name FROM topic")]
    return UnknownTopic(name, known, log=str(catalog.root))


def infos(catalog: Catalog) -> list[TopicInfo]:
    """All topics, by name."""
    return [_info(row) for row in catalog.rows(f"{_FACTS} ORDER BY name")]


def info(catalog: Catalog, name: str) -> TopicInfo:
    """One topic.  Raises `UnknownTopic`."""
    rows = catalog.rows(f"{_FACTS} WHERE name = ?", (name,))
    if not rows:
        raise unknown(catalog, name)
    return _info(rows[0])


def partitions(catalog: Catalog, topic: Topic) -> list[PartitionInfo]:
    """The ends of every partition, in one query however many there are."""
    return [
        PartitionInfo(topic.name, number, start, end, end, size, oldest, newest)
        for number, start, end, size, oldest, newest in catalog.rows(_PARTITIONS, (topic.tid,))
    ]


def create(
    catalog: Catalog,
    spec: TopicSpec,
    segment_rows: int = SEGMENT_ROWS,
    segment_bytes: int = SEGMENT_BYTES,
) -> TopicInfo:
    """Make a topic.  Raises `TopicExists`, `InvalidTopicName`, `ReadOnly`."""
    check_name(spec.name)
    if not 1 <= spec.partitions <= MOST_PARTITIONS:
        raise AppendRejected(
            f"topic {spec.name} cannot have {spec.partitions} partitions",
            hint=f"1 to {MOST_PARTITIONS:,}",
        )
    with catalog.write() as connection:
        if fetch(connection, "SELECT 1 FROM topic WHERE name = ?", (spec.name,)):
            raise TopicExists(
                f"{catalog.root} has a topic {spec.name!r} already",
                hint=f"log.stream({spec.name!r}) is the one that is there",
            )
        connection.execute(
            "INSERT INTO topic (name, uuid, partitions, retention_ms, retention_bytes, "
            "timestamp_type, schema, source_log, segment_rows, segment_bytes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                spec.name,
                spec.topic_id or str(uuid.uuid4()),
                spec.partitions,
                spec.retention_ms,
                spec.retention_bytes,
                spec.timestamp_type,
                None if spec.schema is None else spec.schema.to_json(),
                spec.source_log,
                segment_rows,
                segment_bytes,
            ),
        )
        tid = connection.last_insert_rowid()
        mark_masked(connection, spec)
        connection.executemany(
            "INSERT INTO part (tid, partition) VALUES (?, ?)",
            [(tid, number) for number in range(spec.partitions)],
        )
    return info(catalog, spec.name)


def mark_masked(connection: apsw.Connection, spec: TopicSpec) -> None:
    """Keep which fields were hidden when the topic was recorded, now or before."""
    name = f"masked:{spec.name}"
    known = fetch(connection, "SELECT value FROM meta WHERE name = ?", (name,))
    fields = {*spec.masked, *(json.loads(known[0][0]) if known else ())}
    if fields:
        text = json.dumps(sorted(fields))
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, text))


def pin_schema(catalog: Catalog, name: str, schema: Schema) -> bool:
    """Keep a schema with a topic that has none; True when the topic has this one then."""
    with catalog.write() as connection:
        connection.execute(
            "UPDATE topic SET schema = ? WHERE name = ? AND schema IS NULL",
            (schema.to_json(), name),
        )
    return info(catalog, name).schema == schema


# Every append asks for its topic.
_schema = lru_cache(Schema.from_json)


def _info(row: tuple[Any, ...]) -> TopicInfo:
    name, topic_id, count, retention_ms, retention_bytes, timestamp_type, schema, source, hid = row
    return TopicInfo(
        name=name,
        id=topic_id,
        partitions=count,
        retention_ms=retention_ms,
        retention_bytes=retention_bytes,
        timestamp_type=cast(TimestampType, timestamp_type),
        schema=None if schema is None else _schema(schema),
        source_log=source,
        masked=tuple(json.loads(hid)) if hid else (),
    )
