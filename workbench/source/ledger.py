"""The completeness ledger: every offset of a slice accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import polars as pl

from workbench.address import Address
from workbench.decode.codebook import SCHEMA_ID
from workbench.errors import DefinitionError, did_you_mean
from workbench.positions import Position
from workbench.records import Gap
from workbench.source.columns import frame_schema
from workbench.source.display import html_table
from workbench.source.holes import Holes
from workbench.source.pieces import cut_rows
from workbench.source.slice import SliceSource, unknown_fields
from workbench.source.times import literal
from workbench.words import counted

#: How many offsets are accounted for at a time.
WINDOW_ROWS = 500_000

#: Of a record, beside its columns: the bytes of its key, and whether the filters keep it.
_KEY, _KEEP = "__key", "__keep"


@dataclass(frozen=True)
class PartitionLedger:
    """What was found in `[start, end)` of one partition.

    `records` counts the records at these offsets, `matches` those that pass the slice's filters,
    `unjudged` those of which that cannot be said, and which the slice therefore leaves out: they
    have no timestamp to be inside a time range, or name no schema.
    `late` counts records stamped before an earlier offset's timestamp.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: int
    matches: int
    unjudged: int
    late: int
    undecodable: int
    tombstones: int
    gaps: tuple[Gap, ...]

    @property
    def missing(self) -> int:
        """Offsets without a record."""
        return sum(gap.end - gap.start for gap in self.gaps)

    @property
    def unexplained(self) -> int:
        """Offsets that are missing for no known reason."""
        return sum(gap.end - gap.start for gap in self.gaps if gap.reason == "unexplained")


@dataclass(frozen=True)
class Ledger:
    """Exactly what was scanned, and what is missing, with reasons.

    `complete` is true when records and explained gaps together are exactly the offsets
    `[start, end)` of each partition: the word is used for nothing else.  `held_back` is what lay
    behind the slice in open transactions when it was looked at: its fate was not known yet.
    """

    address: Address
    partitions: tuple[PartitionLedger, ...]
    unknown_fields: dict[str, int]
    duplicates: pl.DataFrame | None = None
    held_back: Address | None = None

    @property
    def records(self) -> int:
        """Records scanned."""
        return sum(p.records for p in self.partitions)

    @property
    def matches(self) -> int:
        """Records that pass the slice's filters."""
        return sum(p.matches for p in self.partitions)

    @property
    def unjudged(self) -> int:
        """Records that the slice's filters can say nothing of, and leave out."""
        return sum(p.unjudged for p in self.partitions)

    @property
    def undecodable(self) -> int:
        """Records that did not decode; they are in the frame, with their error."""
        return sum(p.undecodable for p in self.partitions)

    @property
    def late(self) -> int:
        """Records stamped before an earlier offset of their partition."""
        return sum(p.late for p in self.partitions)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Every missing range with its reason."""
        return tuple(gap for p in self.partitions for gap in p.gaps)

    @property
    def complete(self) -> bool:
        """Whether records and explained gaps are exactly the range."""
        return all(
            p.records + p.missing == p.end - p.start and not p.unexplained for p in self.partitions
        )

    @property
    def statement(self) -> str:
        """One sentence for a report."""
        span = sum(p.end - p.start for p in self.partitions)
        ranges = self.address.describe_ranges()
        word = "complete" if self.complete else "NOT complete"
        reasons = Counter[str]()
        for gap in self.gaps:
            reasons[gap.reason] += gap.end - gap.start
        listed = ", ".join(f"{n:,} {reason}" for reason, n in sorted(reasons.items()))
        plural = "" if reasons.total() == 1 else "s"
        missing = f"{listed} offset{plural} missing" if listed else "no offset missing"
        held = f"{counted(self.records, 'record')} in {counted(span, 'offset')}"
        text = f"{word}: {ranges}: {held}, {missing}"
        filters = [f"{self.matches:,} match the filter"] if self.matches != self.records else []
        filters += [f"{self.unjudged:,} the filter cannot judge"] if self.unjudged else []
        if self.address.times is not None and self.address.times.late_ms is not None:
            filters.append(f"late records looked for up to {self.address.times.late_ms} ms")
        filters += [f"{self.late:,} late"] if self.late else []
        filters += [f"{self.undecodable:,} did not decode"] if self.undecodable else []
        if self.unknown_fields:
            known = ", ".join(f"{name} ({n:,})" for name, n in self.unknown_fields.items())
            filters.append(f"fields outside the schema: {known}")
        if self.held_back is not None:
            filters.append(
                f"open transaction: {self.held_back.describe_ranges()} cannot be read yet"
            )
        if self.duplicates is not None:
            ids = self.duplicates.height
            filters.append(f"{ids:,} business id{'s' * (ids != 1)} seen more than once")
        return "; ".join([text, *filters])

    def frame(self) -> pl.DataFrame:
        """A row per partition: its range, what was found in it and what was not."""
        return pl.DataFrame(
            [
                {
                    "topic": p.topic,
                    "partition": p.partition,
                    "start": p.start,
                    "end": p.end,
                    "records": p.records,
                    "matches": p.matches,
                    "unjudged": p.unjudged,
                    "missing": p.missing,
                    "unexplained": p.unexplained,
                    "late": p.late,
                    "undecodable": p.undecodable,
                    "tombstones": p.tombstones,
                }
                for p in self.partitions
            ],
            schema={
                "topic": pl.String,
                "partition": pl.Int32,
                **dict.fromkeys(
                    (
                        "start",
                        "end",
                        "records",
                        "matches",
                        "unjudged",
                        "missing",
                        "unexplained",
                        "late",
                        "undecodable",
                        "tombstones",
                    ),
                    pl.Int64,
                ),
            },
        )

    def gap_frame(self) -> pl.DataFrame:
        """A row per missing range: topic, partition, start, end, reason."""
        return pl.DataFrame(
            [(g.topic, g.partition, g.start, g.end, g.reason) for g in self.gaps],
            schema={
                "topic": pl.String,
                "partition": pl.Int32,
                "start": pl.Int64,
                "end": pl.Int64,
                "reason": pl.String,
            },
            orient="row",
        )

    def __repr__(self) -> str:
        return self.statement

    def _repr_html_(self) -> str:
        return html_table(self.frame(), caption=self.statement)


def account(source: SliceSource, *, duplicates_by: str | Mapping[str, str] | None = None) -> Ledger:
    """Read a slice once, in bounded memory, and account for every offset of it.

    `duplicates_by` names a business id (one field of the topics that have it, or a field per
    topic); ids seen at more than one offset are listed, never dropped.  Raises DefinitionError for
    a field or topic that is not there.
    """
    everything = source.narrow(source.address.unfiltered())
    partitions: dict[tuple[str, int], _Account] = {
        tp: _Account(*tp, source.start[tp], end) for tp, end in source.end.items()
    }
    unknown: Counter[str] = Counter()
    ids: list[pl.DataFrame] = []
    id_fields = _id_fields(source, duplicates_by)
    for chunk in everything.chunks():
        entry = partitions[chunk.topic, chunk.partition]
        entry.holes.explain(chunk.gaps)
        for window in cut_rows(chunk, WINDOW_ROWS):
            frame = everything.decode(window, rest=True, marks=True)
            id_field = id_fields.get(chunk.topic)
            wanted = ["offset", "timestamp", "decode_error", "_rest", "_tombstone"]
            wanted += [id_field] if id_field else []
            wanted += [SCHEMA_ID] if source.address.schema_ids is not None else []
            records = frame.select(*dict.fromkeys(wanted)).collect()
            if source.address.keys is not None:
                # The bytes: a key that is no text is shown with other characters.
                keys = window.raw.select(pl.col("key").alias(_KEY)).collect()
                records = records.hstack(keys)
            entry.add(records, *_outcomes(records, source.address))
            unknown.update(unknown_fields(records["_rest"]))
            if id_field:
                ids.append(
                    records.select(
                        pl.lit(chunk.topic).alias("topic"),
                        pl.lit(chunk.partition, dtype=pl.Int32).alias("partition"),
                        "offset",
                        _id(id_field, frame_schema(source.address.decoding, [chunk.topic])),
                    ).drop_nulls("id")
                )
    return Ledger(
        address=source.address,
        partitions=tuple(entry.close() for entry in partitions.values()),
        unknown_fields=dict(sorted(unknown.items())),
        duplicates=_duplicates(ids) if id_fields else None,
        held_back=_held_back(source),
    )


class _Account:
    """The running account of one partition."""

    def __init__(self, topic: str, partition: int, start: int, end: int) -> None:
        self.topic, self.partition, self.start, self.end = topic, partition, start, end
        self.holes = Holes(topic, partition, start, end)
        self._records = self._matches = self._unjudged = self._late = 0
        self._undecodable = self._tombstones = 0
        self._latest: int | None = None

    def add(self, records: pl.DataFrame, matches: int, unjudged: int) -> None:
        if records.is_empty():
            return
        self._records += records.height
        self._matches += matches
        self._unjudged += unjudged
        self._tombstones += int(records["_tombstone"].sum())
        self._undecodable += records.height - records["decode_error"].null_count()
        stamps = records["timestamp"].dt.epoch("ms")
        highest = stamps.cum_max().forward_fill().shift(1)
        if self._latest is not None:
            highest = highest.fill_null(self._latest).clip(lower_bound=self._latest)
        self._late += int((stamps < highest).sum())
        self._latest = max(
            (
                known
                for known in (self._latest, cast(int | None, stamps.max()))
                if known is not None
            ),
            default=None,
        )
        self.holes.see(records["offset"])

    def close(self) -> PartitionLedger:
        return PartitionLedger(
            self.topic,
            self.partition,
            self.start,
            self.end,
            self._records,
            self._matches,
            self._unjudged,
            self._late,
            self._undecodable,
            self._tombstones,
            self.holes.gaps(),
        )


def _held_back(source: SliceSource) -> Address | None:
    """What lies from the slice's end on in transactions that are still open."""
    if source.address.isolation != "read_committed":
        return None
    open_ = {
        (p.topic, p.partition): (p.last_stable, p.end)
        for topic in source.address.topics
        for p in source.backend.partitions(topic)
        if source.end.get((p.topic, p.partition)) == p.last_stable < p.end
    }
    if not open_:
        return None
    return replace(
        source.address,
        start=Position({tp: low for tp, (low, _) in open_.items()}),
        end=Position({tp: high for tp, (_, high) in open_.items()}),
    )


def _outcomes(records: pl.DataFrame, address: Address) -> tuple[int, int]:
    """How many records pass the filters, and of how many nobody can say."""
    keep = pl.lit(True)
    if address.times is not None:
        if address.times.start_ms is not None:
            keep &= pl.col("timestamp") >= literal(address.times.start_ms)
        if address.times.end_ms is not None:
            keep &= pl.col("timestamp") < literal(address.times.end_ms)
    if address.keys is not None:
        keys = pl.Series(address.keys, dtype=pl.Binary)
        keep &= pl.col(_KEY).is_in(keys.implode()).fill_null(False)  # no key is another key
    if address.schema_ids is not None:
        keep &= pl.col(SCHEMA_ID).is_in(address.schema_ids)
    judged = records.with_columns(keep.alias(_KEEP))[_KEEP]
    return int(judged.sum()), judged.null_count()


def _id_fields(
    source: SliceSource, duplicates_by: str | Mapping[str, str] | None
) -> dict[str, str]:
    if duplicates_by is None:
        return {}
    if not isinstance(duplicates_by, str | Mapping):
        raise DefinitionError(
            f"duplicates_by= names a field, not {duplicates_by!r}", hint='such as "payment_id"'
        )
    columns = {t: frame_schema(source.address.decoding, [t]) for t in source.address.topics}
    if isinstance(duplicates_by, str):
        named = {topic: duplicates_by for topic, known in columns.items() if duplicates_by in known}
        if not named:
            raise DefinitionError(
                f"no field {duplicates_by!r} in {' or '.join(map(repr, columns))}",
                hint=did_you_mean(duplicates_by, source.schema),
            )
        duplicates_by = named
    for topic, field in duplicates_by.items():
        if topic not in columns:
            raise DefinitionError(
                f"a business id is named for {topic!r}, which is not in the slice",
                hint=f"it has {', '.join(columns)}",
            )
        if field not in columns[topic]:
            raise DefinitionError(
                f"no field {field!r} in {topic!r}", hint=did_you_mean(field, columns[topic])
            )
        if columns[topic][field].is_nested():
            raise DefinitionError(
                f"field {field!r} of {topic!r} is {columns[topic][field]}, which is no business id",
                hint="name a field of one value",
            )
    return dict(duplicates_by)


def _id(field: str, schema: pl.Schema) -> pl.Expr:
    """A business id as text; bytes in hexadecimal digits."""
    held = pl.col(field)
    text = held.bin.encode("hex") if schema[field] == pl.Binary else held.cast(pl.String)
    return text.alias("id")


def _duplicates(ids: list[pl.DataFrame]) -> pl.DataFrame:
    """Ids seen more than once: topic, id, times, and where (partition:offset)."""
    if not ids:
        return pl.DataFrame(
            schema={"topic": pl.String, "id": pl.String, "times": pl.UInt32, "where": pl.List(str)}
        )
    where = pl.format("{}:{}", "partition", "offset")
    return (
        pl.concat(ids)
        .group_by("topic", "id", maintain_order=True)
        .agg(pl.len().alias("times"), where.alias("where"))
        .filter(pl.col("times") > 1)
    )
