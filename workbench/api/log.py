"""Log: a durable, replayable log of topics, as a person types on it."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from html import escape
from pathlib import Path
from typing import Any, Self

import polars as pl

from workbench.address import KeyForm
from workbench.api.group import Group, ends_of, look_at
from workbench.api.names import matching
from workbench.api.rows import (
    DETAIL_COLUMNS,
    END_COLUMNS,
    SETTING_COLUMNS,
    TOPIC_COLUMNS,
    ends,
    in_a_line,
    settings,
    topic_row,
)
from workbench.api.slice import Slice
from workbench.api.stream import Stream, schemas_by_topic
from workbench.decode import DECODERS, Codebook
from workbench.decode.functions import name_of
from workbench.decode.writing import encoder, key_encoder
from workbench.errors import LogError, SchemaError
from workbench.find import Found, Sought, fields, find
from workbench.log.protocol import LogBackend, Producer, TopicSpec
from workbench.records import Isolation
from workbench.schema import Schema
from workbench.sink.append import Appended, Producers, append
from workbench.sink.rows import HeadersOf, KeyOf, Rows, TimeOf
from workbench.source.display import bundle, html_table
from workbench.source.progress import telling
from workbench.source.stream import Asked, StreamSource
from workbench.source.times import When, parse_duration
from workbench.table import State


class Log:
    """Topics of records, durable and replayable: on an embedded log, a recording or a cluster.

    Made by `workbench.connect`.  Reading never changes what other consumers see.  Thread-safe;
    use it as a context manager, or call `close`, to release files and threads.
    """

    def __init__(
        self,
        backend: LogBackend,
        *,
        tz: tzinfo,
        max_read: int | None,
        max_read_bytes: int | None = None,
        codebook: Codebook | None = None,
    ) -> None:
        self._backend = backend
        self._tz = tz
        self._max_read = max_read
        self._max_read_bytes = max_read_bytes
        self._codebook = codebook or Codebook()
        self._producers = Producers()

    @property
    def backend(self) -> LogBackend:
        """The log without its face."""
        return self._backend

    @property
    def tz(self) -> tzinfo:
        """The zone of times without one."""
        return self._tz

    @property
    def max_read(self) -> int | None:
        """The most records that one frame may hold."""
        return self._max_read

    @property
    def max_read_bytes(self) -> int | None:
        """The most memory that one frame may take, in bytes."""
        return self._max_read_bytes

    @property
    def codebook(self) -> Codebook:
        """Where the schemas are that records name."""
        return self._codebook

    @property
    def id(self) -> str:
        """The log's own identity, part of every address."""
        return self._backend.id

    def topics(self, pattern: str = "*", *, details: bool = False) -> pl.DataFrame:
        """A row per topic, from metadata alone.

        Columns: topic, partitions, schema, id; with `details=True`, which costs a few more
        requests, also retention_ms (null: forever), cleanup_policy, offsets (an upper bound of
        the records), bytes, first and last timestamp.  What cannot be known, or this user may not
        ask for, is null; where the cleanup policy is, so is the retention.
        """
        infos = [t for t in self._backend.topics() if fnmatch.fnmatchcase(t.name, pattern)]
        if not details:
            return pl.DataFrame([topic_row(info) for info in infos], schema=TOPIC_COLUMNS)
        found = self._backend.details([info.name for info in infos])
        return pl.DataFrame(
            [{**topic_row(info), **settings(info), **ends(parts)} for info, parts in found],
            schema={**TOPIC_COLUMNS, **SETTING_COLUMNS, **DETAIL_COLUMNS},
        )

    def partitions(self, topic: str) -> pl.DataFrame:
        """A row per partition: partition, start, end, offsets, bytes, first and last timestamp."""
        self._backend.topic(topic)  # one that is not there is an error
        [(_, parts)] = self._backend.details([topic])
        return pl.DataFrame(
            [{"partition": p.partition, **ends([p])} for p in parts],
            schema={"partition": pl.Int32, **END_COLUMNS, **DETAIL_COLUMNS},
        )

    def groups(self) -> pl.DataFrame:
        """A row per consumer group: group, state, members, lag (a distance in offsets).

        Looking touches none of them.
        """
        infos = self._backend.groups()
        latest = ends_of(self._backend, infos)
        rows = [
            (one.name, one.state, len(info.members), one.lag["lag"].sum())
            for info in infos
            for one in [look_at(info, latest)]
        ]
        columns = {"group": pl.String, "state": pl.String, "members": pl.Int64, "lag": pl.Int64}
        return pl.DataFrame(rows, schema=columns, orient="row")

    def group(self, name: str) -> Group:
        """One consumer group: members, position, lag.  Raises GroupError when there is none."""
        info = self._backend.group(name)
        return look_at(info, ends_of(self._backend, [info]))

    def stream(
        self,
        topics: str | Sequence[str],
        *,
        decode: str | Callable[..., Any] = "auto",
        decode_key: KeyForm = "text",
        schema: Mapping[str, Any] | None = None,
        time: str | None = None,
        isolation: Isolation = "read_committed",
    ) -> Stream:
        """One or several topics as a stream of decoded records.

        Parameters
        ----------
        topics
            A topic or several; a pattern such as `"order*"` names all that match.
        decode
            `"auto"`: by a sample, once; `stream.decided` says what and why.  Or `"json"`,
            `"text"`, `"bytes"`, `"avro"`, `"protobuf"`, `"jsonschema"`, `"debezium"`,
            `"cloudevents"`; `"protobuf:shop.Order"` reads values without a frame as that message;
            or a function of a Binary Series that gives a frame as long, or of the
            bytes of a value that gives a dict.
        decode_key
            `"text"` or `"bytes"`; it never depends on the data.
        schema
            Field to type, or topic to such a schema.  Without one the topic's own holds, else one
            is inferred from a sample and pinned.
        time
            The field that holds event time, for monitors and trails.

        Raises
        ------
        UnknownTopic
            For a topic that is not there; the message suggests the nearest.
        """
        if not (callable(decode) or decode in DECODERS or str(decode).startswith("protobuf:")):
            raise SchemaError(f"no decoder {decode!r}", hint=f"there are {', '.join(DECODERS)}")
        names = matching(self._backend, topics)
        given = schemas_by_topic(schema, names)
        asked = Asked(
            value=name_of(decode) if callable(decode) else decode,
            key=decode_key,
            schemas=tuple((name, Schema(one)) for name, one in given.items()),
            time=time,
        )
        limits = (self._max_read, self._max_read_bytes)
        codebook = self._codebook
        if callable(decode):
            codebook = replace(codebook, functions={name_of(decode): decode})
        source = StreamSource(self._backend, names, asked, isolation, self._tz, *limits, codebook)
        return Stream(source.checked())

    def find(
        self,
        text: Sought | None = None,
        *,
        topics: str | Sequence[str] = "*",
        start: When = "earliest",
        end: When = "now",
        by: str | Mapping[str, str] | None = None,
        where: str | None = None,
    ) -> Found:
        """Search across topics; every record is a match, no match, or an error.

        A record matches when its raw key equals the text, or the text occurs in its raw value or
        a header.  `by={"orders": "id"}` compares a decoded field of that topic instead.  `text`
        may be a pattern, `re.compile(…)`, for raw records.  `where` is a condition on the decoded
        columns instead, such as `"amount > 1000"`; each topic is decoded by itself, and columns
        that it does not have are null.
        """
        names = matching(self._backend, topics, some=False)
        sought = fields(names, by)
        slices = []
        for name in names:
            decode = "bytes" if where is None and name not in sought else "auto"
            slices.append(self.stream(name, decode=decode).between(start, end).source)
        return find(slices, text, by=sought, where=where)

    def sql(
        self, query: str, **relations: Slice | pl.DataFrame | pl.LazyFrame | Any
    ) -> pl.DataFrame:
        """Run a DuckDB query over slices, states and frames by the names given."""
        from workbench.source.sql import query as run

        return run(query, {name: _relation(one) for name, one in relations.items()})

    def create(
        self,
        topic: str,
        *,
        partitions: int = 1,
        retention: str | None = None,
        retention_bytes: int | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Stream:
        """Make a topic and return it as a stream.

        `retention` is a duration such as `"7d"`; None keeps records forever.
        Raises TopicExists, InvalidTopicName, ReadOnly.
        """
        self._backend.create_topic(
            TopicSpec(
                topic,
                partitions=partitions,
                retention_ms=None if retention is None else parse_duration(retention),
                retention_bytes=retention_bytes,
                schema=None if schema is None else Schema(schema),
            )
        )
        return self.stream(topic)

    def append(
        self,
        topic: str,
        rows: Rows | Mapping[str, Any],
        *,
        key: KeyOf | None = None,
        timestamp: TimeOf | None = None,
        headers: HeadersOf | None = None,
        partition: str | None = None,
        encode: str | Callable[[Any], bytes] = "json",
        register: Mapping[str, Any] | str | None = None,
        encode_key: str | Callable[[Any], bytes] = "text",
        register_key: Mapping[str, Any] | str | None = None,
        batch_rows: int = 10_000,
        producer: Producer | None = None,
    ) -> Appended:
        """Append rows; when it returns they are durable.

        Parameters
        ----------
        rows
            A DataFrame, one dict, or any iterable of dicts, read in bounded memory.
        key
            The record key: a column, or a function of the row that gives text, bytes, an integer
            or None.  One key always lands in one partition, the one that Kafka would choose.
        timestamp
            A column or a function that gives a datetime, ISO text or milliseconds; without it
            the log stamps.
        headers
            `[(name, bytes or None), …]` for each record, or a function of the row.
        partition
            A column that names the partition instead of the key.
        encode
            `"json"`: the row becomes a JSON object (None in place of a row: a tombstone).
            `"bytes"`: rows hold `value`, and if wanted `key`, `headers`, `timestamp`,
            `partition`, taken as they are.  `"text"`: a row is a string, or has one as `value`.
            `"avro"`, `"protobuf"`, `"jsonschema"`: by the newest schema that the registry has for
            the topic; `"protobuf:shop.Order"` names a message.  `"debezium"`: the envelope of a
            change, in JSON or as `"debezium+avro"` says.  `"cloudevents"`: structured, or with
            their attributes in headers, `"cloudevents:binary"`.  A function of the row gives bytes.
        register
            A schema that is made the topic's newest first; nothing is registered unasked.  One that
            refers to others: `{"schema": text, "references": [{"name", "subject", "version"}]}`.
        encode_key, register_key
            The same for what `key` names: `"avro"`, `"protobuf"`, `"jsonschema"`, `"json"`, or a
            function; by the schema of the subject `topic-key`.
        batch_rows
            Records per commit; each commit is atomic.
        producer
            Who appends, to send the newest batch again without writing it twice.

        Raises
        ------
        AppendRejected
            For a row that cannot be a record; the message says how many before it are written.
        ReadOnly, UnknownTopic, StorageFull, LogBusy, OutOfSequence
            As they say.
        """
        how = {
            "key": key,
            "timestamp": timestamp,
            "headers": headers,
            "partition": partition,
            "encode": encoder(encode, self._codebook, topic, register),
            "encode_key": key_encoder(encode_key, self._codebook, topic, register_key),
            "batch_rows": batch_rows,
            "tz": self._tz,
        }
        listed: Rows = [rows] if isinstance(rows, Mapping) else rows
        if producer is not None:
            return append(self._backend, topic, listed, producer, **how)[0]
        return self._producers.append(self._backend, topic, listed, **how)

    def record(
        self, into: str | Path, topics: str | Sequence[str] = "*", *, follow: bool = False
    ) -> Appended:
        """Record topics into a folder: same offsets, timestamps, keys, headers, gaps.

        A recording that was interrupted goes on where it stopped.  With `follow=True` it goes on
        until it is interrupted.  When each record was received is `recorded_at` in its raw frame.
        """
        from workbench.sink.record import follow_and_record, record

        names = matching(self._backend, topics)
        streams = [self.stream(name, decode="bytes", decode_key="bytes").source for name in names]
        if follow:
            return follow_and_record(streams, into)
        return record([stream.slice(stream.start(), stream.end()) for stream in streams], into)

    def maintain(self) -> None:
        """Seal what was appended into segments and apply retention, now.

        Appending processes do this by themselves in the background; at the end of a bulk load it
        makes the first reads fast.  What the background is at work on is waited for, with a
        progress bar when it takes long.  Does nothing on a cluster.
        """
        with telling("records") as tell:
            self._backend.maintain(tell)

    def close(self) -> None:
        """Release files and threads.  Idempotent."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return in_a_line(self._backend)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle("log", self, Log._repr_html_)

    def _repr_html_(self) -> str:
        try:
            return html_table(self.topics(details=True), caption=repr(self))
        except LogError:
            return escape(repr(self))


def _relation(one: Any) -> Any:
    """What DuckDB is given for a slice, a state, or a frame."""
    if isinstance(one, Slice):
        return one.source
    return one.frame if isinstance(one, State) else one
