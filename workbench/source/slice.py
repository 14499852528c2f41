"""A bounded, pinned read of one or more topics: what every consumer is given."""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from workbench.address import Address, Decoding
from workbench.decode import Codebook
from workbench.decode.codebook import SCHEMA_ID
from workbench.errors import (
    AccessDenied,
    InvalidRange,
    ReadLimitExceeded,
    SchemaError,
    TopicChanged,
    UnknownFields,
)
from workbench.log.protocol import LogBackend
from workbench.positions import Position
from workbench.records import Chunk
from workbench.source.columns import decode_chunk, frame_schema, is_text
from workbench.source.pieces import cut_rows, few_records, joined, together
from workbench.source.progress import progress

if TYPE_CHECKING:
    from workbench.source.ledger import Ledger

#: How many records a batch holds at most, where the caller does not say.
BATCH_ROWS = 200_000

#: So few keys are looked up in an index, if their records there are no more than so many.
FEW_KEYS, INDEXED_ROWS = 16, 1_000_000


@dataclass(frozen=True)
class SliceSource:
    """Offsets `[start, end)` per partition of one log, with filters and decoding.

    Immutable and cheap: nothing is read until asked.  Safe to share between threads.  Reading
    the same slice twice gives the same frame, or an error that says what has expired.
    """

    backend: LogBackend
    address: Address
    max_read: int | None = None
    max_read_bytes: int | None = None
    codebook: Codebook = field(default_factory=Codebook, repr=False)

    @property
    def schema(self) -> pl.Schema:
        """Columns and types of `lazy()`, without reading."""
        return frame_schema(self.address.decoding, self.address.topics)

    @property
    def start(self) -> Position:
        """The first offset per partition."""
        return self.address.start

    @property
    def end(self) -> Position:
        """One past the last offset per partition."""
        return self.address.end

    def lazy(self, *, raw: bool = False, rest: bool = False, marks: bool = False) -> pl.LazyFrame:
        """The decoded records as a LazyFrame, ordered by topic, partition, offset.

        Projections, and filters on partition, offset, timestamp and key, reach the stored
        segments.  On a cluster nothing is read until the frame is collected, and filters on
        partition and offset, and from which time on, decide what is; see `left_by` in `scan`.
        `decode_error` is always there.  `raw=True` adds `value`, `headers`, `timestamp_type`,
        `leader_epoch`, `recorded_at`; `rest=True` adds `_rest`, the fields that the schema does
        not know, as JSON text; `marks=True` adds `_tombstone`, whether the value is null.
        """
        if self.backend.kind == "kafka":
            from workbench.source.scan import scan

            return scan(self, raw=raw, rest=rest, marks=marks)
        schema = frame_schema(
            self.address.decoding, self.address.topics, raw=raw, rest=rest, marks=marks
        )
        frames = [
            self.decode(chunk, raw=raw, rest=rest, marks=marks)
            for chunk in joined(self.looked_up(raw=raw))
        ]
        if not frames:
            return pl.LazyFrame(schema=schema)
        # All topics have been checked to agree, so what a topic lacks is filled with nulls.
        return pl.concat(frames, how="diagonal").select(schema.names())

    def batches(
        self, *, rows: int = BATCH_ROWS, raw: bool = False, rest: bool = False
    ) -> Iterator[pl.DataFrame]:
        """The records in frames of at most `rows`, in order, in bounded memory.

        Frames without a record are not handed out.  Raises InvalidRange for less than one row.
        """
        if rows < 1:
            raise InvalidRange(f"a batch holds at least one record, not {rows}")
        schema = frame_schema(self.address.decoding, self.address.topics, raw=raw, rest=rest)
        for chunk in self.looked_up(raw=raw):
            for window in cut_rows(chunk, rows):
                frame = self.decode(window, raw=raw, rest=rest).collect()
                if frame.height:
                    yield _fill(frame, schema)

    def frame(self, *, raw: bool = False, rest: bool = False) -> pl.DataFrame:
        """The decoded records in one DataFrame, with a progress bar when it takes long.

        `decode_error` is there when a record did not decode, and with `raw=True` `recorded_at`
        when one was recorded.  Warns (UnknownFields) when records carry fields that the schema
        does not know and `rest=True` does not ask for them.  Raises ReadLimitExceeded when the
        slice holds more than `max_read` records or `max_read_bytes` in memory, OffsetOutOfRange
        when its start has expired.
        """
        most = self.address.most_records
        if self.max_read is not None and most > self.max_read and not self.address.filtered:
            raise self._too_large(f"up to {most:,} records", f"max_read is {self.max_read:,}")
        schema = frame_schema(self.address.decoding, self.address.topics, raw=raw, rest=True)
        # These are in the frame only where a record has something there.
        seldom = ["decode_error", *(["recorded_at"] if raw else [])]

        def use(chunk: Chunk) -> pl.DataFrame:
            """What is large is decoded where it has come, what is small with others later."""
            few = few_records(chunk)
            return decoded(chunk) if few is None else few

        def decoded(chunk: Chunk) -> pl.DataFrame:
            frame = self.decode(chunk, raw=raw, rest=True).collect(engine="in-memory")
            # What holds nothing takes room all the same.
            columns = (*seldom, "_rest")
            empty = [name for name in columns if frame[name].null_count() == frame.height]
            # Columns are cut alike, literals too: otherwise Polars copies the whole frame later.
            return pl.DataFrame([one.rechunk() for one in frame.drop(empty).get_columns()])

        held, size = 0, 0.0

        def counted(frame: pl.DataFrame) -> pl.DataFrame:
            nonlocal held, size
            held += frame.height
            if self.max_read is not None and held > self.max_read:
                amount = f"more than {self.max_read:,} records"
                raise self._too_large(amount, f"max_read is {self.max_read:,}")
            size += frame.estimated_size()
            if self.max_read_bytes is not None and size > self.max_read_bytes:
                limit = f"{self.max_read_bytes:,}"
                raise self._too_large(f"more than {limit} bytes", f"max_read_bytes is {limit}")
            return frame

        pieces: dict[tuple[int, int], tuple[Chunk, pl.DataFrame]] = {}
        parts = enumerate(self._ranges())
        places = {(topic, partition): n for n, (topic, partition, _, _) in parts}
        with progress(most, "offsets") as bar, self._used(use, raw=raw) as used:
            for chunk, made in used:
                place = places[chunk.topic, chunk.partition], chunk.start
                pieces[place] = chunk, made if _is_raw(made) else counted(made)
                bar.update(chunk.end - chunk.start)
        read = [pl.DataFrame(schema=schema)]
        in_order = (pieces.pop(place) for place in sorted(pieces))
        for raw_ones, run in groupby(in_order, lambda piece: _is_raw(piece[1])):
            if raw_ones:
                read += [counted(decoded(chunk)) for chunk in together(run)]
            else:
                read += [made for _, made in run]
        if not rest:
            warn_of_unknown_fields(pl.concat(f["_rest"] for f in read if "_rest" in f.columns))
            del schema["_rest"]
        for name in seldom:
            if not any(f.height and name in f.columns for f in read):
                del schema[name]
        return pl.concat(_fill(frame, schema) for frame in read)

    def cut(self, *, start: Position | None = None, end: Position | None = None) -> SliceSource:
        """The same filters and decoding over other offsets."""
        # An empty position is one, and not the same as none.
        first = self.start if start is None else start
        last = self.end if end is None else end
        return replace(self, address=self.address.with_range(first, last))

    def by_topic(self) -> dict[str, SliceSource]:
        """The same slice as one per topic."""
        ends = self.end.by_topic()
        return {
            topic: self.narrow(
                replace(
                    self.address,
                    topic_ids=((topic, topic_id),),
                    start=Position({(topic, p): self.start[topic, p] for p in ends[topic]}),
                    end=Position({(topic, p): end for p, end in ends[topic].items()}),
                )
            )
            for topic, topic_id in self.address.topic_ids
            if topic in ends
        }

    def with_keys(self, keys: tuple[bytes, ...]) -> SliceSource:
        """The records with one of these keys; of the keys filtered by already, those in both.

        Raises AccessDenied where an administrator hides the keys.
        """
        for topic in self.address.topics:
            if "key" in self.backend.topic(topic).masked:
                raise AccessDenied(
                    f"the keys of topic {topic!r} are hidden: none of its records could match"
                )
        held = self.address.keys
        kept = keys if held is None else tuple(key for key in keys if key in held)
        return self.narrow(replace(self.address, keys=kept))

    def with_schemas(self, ids: tuple[int, ...]) -> SliceSource:
        """The records whose values name one of these schemas.

        Raises SchemaError where values name none: their decoding is not by a registry's frame.
        """
        if SCHEMA_ID not in self.schema:
            raise SchemaError(
                f"the values of {', '.join(self.address.topics)} name no schemas "
                f"(they are decoded as {self.address.decoding.value})",
                hint="a slice is cut by schema where it has a column schema_id",
            )
        held = self.address.schema_ids
        kept = ids if held is None else tuple(one for one in ids if one in held)
        return self.narrow(replace(self.address, schema_ids=kept))

    def as_bytes(self) -> SliceSource:
        """The same records with nothing decoded: for copies, searches and hashes."""
        decoding = Decoding(value="bytes", key="bytes")
        return replace(self, address=replace(self.address, decoding=decoding))

    def narrow(self, address: Address) -> SliceSource:
        """Another address of the same log."""
        return replace(self, address=address)

    def chunks(self) -> Iterator[Chunk]:
        """What the log hands out for the ranges, in order, after checking the topics' ids."""
        yield from self.backend.read_all(self._ranges(), self.address.isolation)

    def looked_up(self, *, raw: bool = False) -> Iterator[Chunk]:
        """The chunks to be decoded: of a few keys no more than their records.

        That is where an index has them; it has no raw bytes.
        """
        keys = None if raw else self._few_keys()
        if keys is None:
            return self.chunks()
        from workbench.source.keyed import by_key

        return by_key().chunks(self, keys, INDEXED_ROWS)

    @contextmanager
    def _used(
        self, use: Callable[[Chunk], pl.DataFrame], *, raw: bool
    ) -> Iterator[Iterator[tuple[Chunk, pl.DataFrame]]]:
        """The chunks with what is made of each, in any order."""
        keys = None if raw else self._few_keys()
        if keys is None:
            yield self.backend.read_each(self._ranges(), use, self.address.isolation)
            return
        from workbench.source.keyed import by_key

        with by_key().looking(self, keys, INDEXED_ROWS) as chunks:
            yield ((chunk, use(chunk)) for chunk in chunks)

    def _few_keys(self) -> pl.Series | None:
        """The keys that are kept, where there are few and the log may have an index of them."""
        keys = self.address.keys
        if keys is None or len(keys) > FEW_KEYS or self.backend.kind != "embedded":
            return None
        if self.schema["key"] != pl.String:
            return None
        texts = [key.decode() for key in keys if is_text(key)]
        return pl.Series(texts, dtype=pl.String) if texts else None

    def _ranges(self) -> list[tuple[str, int, int, int]]:
        """What is to be read of which partition, after checking the topics' ids."""
        self.check_topics()
        starts = self.address.start
        return [
            (topic, partition, starts[topic, partition], end)
            for (topic, partition), end in self.address.end.items()
            if starts[topic, partition] < end
        ]

    def ledger(self, *, duplicates_by: str | Mapping[str, str] | None = None) -> Ledger:
        """Read the slice once and account for every offset of it."""
        from workbench.source.ledger import account

        return account(self, duplicates_by=duplicates_by)

    def check_topics(self) -> None:
        """Raise TopicChanged when a topic of that name is not the one that was addressed."""
        for name, topic_id in self.address.topic_ids:
            found = self.backend.topic(name).id
            if found != topic_id:
                raise TopicChanged(
                    f"topic {name!r} in {self.backend.hint} has the id {found}, the address says "
                    f"{topic_id}",
                    hint="it was deleted and made again, so the offsets mean other records; an "
                    "older recording may still hold them",
                )

    def decode(
        self, chunk: Chunk, *, raw: bool = False, rest: bool = False, marks: bool = False
    ) -> pl.LazyFrame:
        """One chunk of this slice as decoded, filtered columns."""
        return decode_chunk(
            chunk,
            self.address.decoding,
            self.codebook,
            times=self.address.times,
            keys=self.address.keys,
            schema_ids=self.address.schema_ids,
            raw=raw,
            rest=rest,
            marks=marks,
        )

    def _too_large(self, amount: str, limit: str) -> ReadLimitExceeded:
        return ReadLimitExceeded(
            f"the slice of {', '.join(self.address.topics)} holds {amount}, {limit}",
            hint="use lazy() or sql() to compute over it, batches() to walk through it, "
            "sample(n) to look at it, or connect with a larger limit",
        )


def _is_raw(frame: pl.DataFrame) -> bool:
    """Whether these are records as they were read: what is decoded says its topic."""
    return "topic" not in frame.columns


def _fill(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame of one topic as a frame of all topics: columns it lacks are null."""
    missing = [pl.lit(None, dtype=t).alias(n) for n, t in schema.items() if n not in frame.columns]
    return (frame.with_columns(missing) if missing else frame).select(schema.names())


def warn_of_unknown_fields(rest: pl.Series) -> None:
    """Say which fields of these records are not in their frame, at the line of whoever asked."""
    counts = unknown_fields(rest)
    if counts:
        listing = ", ".join(f"{name} ({n:,})" for name, n in counts.items())
        warnings.warn(
            UnknownFields(
                f"fields outside the schema are not in this frame: {listing}",
                "rest=True adds them as _rest",
            ),
            stacklevel=callers_level(),
        )


def callers_level() -> int:
    """The level of the first frame outside of this package: what the person wrote."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("workbench."):
        level, frame = level + 1, frame.f_back
    return level


def unknown_fields(rest: pl.Series) -> dict[str, int]:
    """How many records carry each field that the schema does not know, by name."""
    counts: Counter[str] = Counter()
    for text in rest.drop_nulls():
        counts.update(json.loads(text).keys())
    return dict(sorted(counts.items()))
