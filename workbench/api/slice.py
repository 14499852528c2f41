"""Slice: a pinned range of a stream, as a person types on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.address import Address
from workbench.api import reporting
from workbench.errors import DefinitionError
from workbench.find import Found, Sought, find
from workbench.monitor import Monitor
from workbench.sink.append import Appended
from workbench.sink.copy import copy
from workbench.source import display
from workbench.source.ledger import Ledger
from workbench.source.slice import BATCH_ROWS, SliceSource
from workbench.source.times import When, describe_span
from workbench.table import Table, enrich
from workbench.trail import Trail

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from workbench.api.log import Log
    from workbench.evidence.seal import Sealed
    from workbench.player import Player


class Slice:
    """Offsets `[start, end)` per partition of one log, with an optional time and key filter.

    Made by a `Stream` (`tx.between(…)`, `tx.all()`) or from an address (`open_slice`).  Times
    became offsets once, when the slice was made; nothing is read until a method asks.  The repr
    is the recipe and states only what is known without reading.  Immutable; thread-safe.
    """

    def __init__(self, source: SliceSource, *, tz: tzinfo) -> None:
        self._source = source
        self._tz = tz

    @property
    def address(self) -> Address:
        """The exact slice as pure data: `address.to_json()` goes into a file or a report."""
        return self._source.address

    @property
    def log(self) -> Log:
        """The log it is a slice of: for its other topics, and for tables of the whole stream."""
        from workbench.api.log import Log

        return Log(
            self._source.backend,
            tz=self._tz,
            max_read=self._source.max_read,
            max_read_bytes=self._source.max_read_bytes,
            codebook=self._source.codebook,
        )

    def key(self, key: str | bytes | Sequence[str | bytes]) -> Slice:
        """Keep the records of one key or several; keys are compared as bytes."""
        keys = [key] if isinstance(key, str | bytes) or not isinstance(key, Iterable) else list(key)
        wanted = tuple(one.encode() if isinstance(one, str) else one for one in keys)
        if not all(isinstance(one, bytes) for one in wanted):
            raise DefinitionError(
                f"a key is a text or bytes, not {key!r}", hint='such as "A-1042", or a list of them'
            )
        return Slice(self._source.with_keys(wanted), tz=self._tz)

    def where(self, *, schema: int | Sequence[int]) -> Slice:
        """Keep the records whose values name one schema of the registry, or one of several.

        Raises SchemaError where values name no schemas, DefinitionError for what is no id.
        """
        ids = (schema,) if isinstance(schema, int) else schema
        if not isinstance(ids, Sequence) or not all(isinstance(one, int) for one in ids):
            raise DefinitionError(f"schemas are known by their ids, not by {schema!r}")
        return Slice(self._source.with_schemas(tuple(ids)), tz=self._tz)

    def frame(self, *, raw: bool = False, rest: bool = False) -> pl.DataFrame:
        """The records as one DataFrame, ordered by topic, partition, offset.

        Columns: `topic` Categorical, `partition` Int32, `offset` Int64, `timestamp`
        Datetime("ms", "UTC"), `key` String (Binary with `decode_key="bytes"`), then the decoded
        fields, then `decode_error` String when a record did not decode.

        Parameters
        ----------
        raw
            Add `value`, `headers`, `timestamp_type` and `leader_epoch`, and of a recording
            `recorded_at`: when the recorder received each record.
        rest
            Add `_rest`: the fields that the schema does not know, as JSON text.

        Raises
        ------
        ReadLimitExceeded
            When the slice holds more than the connection's `max_read` records.
        OffsetOutOfRange
            When the start of the slice has expired.
        TopicChanged
            When the topic was deleted and made again.
        CorruptData
            When stored bytes do not match their checksum.
        """
        return self._source.frame(raw=raw, rest=rest)

    def lazy(self, *, raw: bool = False, rest: bool = False) -> pl.LazyFrame:
        """The same as a LazyFrame, whatever its size; `decode_error` is always there.

        Projections, and filters on partition, offset, timestamp and key, reach the log; other
        filters are applied exactly.  A cluster is read when the frame is collected: the partitions
        and offsets that filters on them leave, from the first record that is young enough.

        Two filters read no less of a cluster.  One on how young records may be: times do not
        ascend with offsets, those that brokers stamp not surely either, so any later record may
        be older; `between` has a rule for where to stop, `late=`.  And one on keys: who wrote a
        record chose its partition, and partitions may have been added since.
        """
        return self._source.lazy(raw=raw, rest=rest)

    def batches(
        self, rows: int = BATCH_ROWS, *, raw: bool = False, rest: bool = False
    ) -> Iterator[pl.DataFrame]:
        """The records in frames of at most `rows`, in bounded memory, in order."""
        return self._source.batches(rows=rows, raw=raw, rest=rest)

    def sql(self, query: str, *, raw: bool = False) -> pl.DataFrame:
        """Run a DuckDB query in which this slice is the relation `slice`.

        `offset` is there as `record_offset` too, since OFFSET is a keyword.  `raw=True` adds the
        columns `value`, `headers`, `timestamp_type`, `leader_epoch` and `recorded_at`.

        On a cluster the query reads the slice in batches, all of it: its own conditions do not
        limit what is.  `log.sql("…", part=day.lazy().filter(…))` reads what a filter leaves.
        """
        from workbench.source.sql import query as run

        return run(query, {"slice": self._source}, raw=raw)

    def find(
        self,
        text: Sought | None = None,
        *,
        by: str | Mapping[str, str] | None = None,
        where: str | None = None,
    ) -> Found:
        """Search the raw keys, values and headers of this slice, one decoded field, or by SQL.

        `text` may be a pattern, `re.compile(…)`, for raw records.  `by` is a field, or one for each
        topic.  `where` is a condition on the decoded columns instead, such as `"amount > 1000"`.
        Every record is a match, no match, or an error, which could not be judged since it does not
        decode.  Ctrl-C returns what was found so far; `searched` says up to where.
        """
        return find([self._source], text, by=by, where=where)

    def completeness(self, *, duplicates_by: str | Mapping[str, str] | None = None) -> Ledger:
        """Read the slice once and account for every offset of it: see `Ledger`."""
        return self._source.ledger(duplicates_by=duplicates_by)

    def enrich(
        self, table: Table, *, on: str | Sequence[str], as_of: When = "record"
    ) -> pl.DataFrame:
        """The records, each with the row of a table that was true when it was stamped.

        `tx.all().enrich(accounts, on="account")`; see `workbench.table.enrich`.
        """
        return enrich(self._source, table, on=on, as_of=as_of)

    def trail(self, entity: Any, *, by: str = "key", **options: Any) -> Trail:
        """Every event of one entity, with what it changed, and what may be missing.

        `table` gives the rows before and after each event, `actor` names the columns that say who
        did it, `duplicates_by` a business id, `time` the column that orders.  All of it:
        `help(workbench.trail.Trail)`.
        """
        return Trail(self._source, entity, by=by, **options)

    def monitor(self, *, window: str, every: str | None = None, **definition: Any) -> Monitor:
        """Windowed metrics and alerts over this slice.

        `by` is a column or columns to group by in each window, `alerts` maps names to conditions on
        the rows, `late` says how far times may step back, `on_late` what becomes of late records,
        `time` which column decides, `idle` when a quiet partition holds nothing open.  Every other
        name is a metric, a Polars expression: `volume=pl.col("amount").sum()`.  All of it:
        `help(workbench.monitor.Monitor)`.
        """
        return Monitor(self._source, window=window, every=every, **definition)

    def play(self, *, speed: float | None = 1.0) -> Player:
        """Play the records again, at `speed` times the recorded pace: see `Player`.

        `speed=None` plays as fast as possible.
        """
        from workbench.player import Player

        return Player(self._source, speed=speed, tz=self._tz)

    def copy_to(self, log: Log, *, speed: float | None = None) -> Appended:
        """Append these records to the same topics of another log.

        Keeps timestamps, keys, values, headers and partitions.  `speed=None` copies at full
        speed, `1` at the recorded pace, `60` sixty times as fast.
        """
        return copy(self._source, log.backend, speed=speed)

    def record(self, into: str | Path) -> Appended:
        """Record this slice into a folder: same offsets, timestamps, keys, headers, gaps.

        A recording that was interrupted goes on where it stopped.
        """
        from workbench.sink.record import record

        return record([self._source], into)

    def seal(
        self,
        path: str | Path,
        *,
        purpose: str,
        salted: bool = False,
        sign: str | Path | Ed25519PrivateKey | None = None,
        partial: bool = False,
        results: bool | Mapping[str, pl.DataFrame | str | Path] = True,
    ) -> Sealed:
        """Seal this slice into a bag of evidence that anybody can check, also without Workbench.

        What is sealed is the whole offset range: every record, and every gap with its reason.  A
        time or key filter is written beside it, and what it matches is enclosed as Parquet, CSV and
        HTML.  The bag is there when it is whole; an interrupted seal leaves nothing that verifies.

        Parameters
        ----------
        path
            The folder of the bag; nothing may be there.
        purpose
            Why; it is the first link of the chain of custody.
        salted
            Hash each record with 32 random bytes, so that some can be disclosed without the
            others (`disclose`).  Without salts, whoever seals the same range gets the same
            statement.
        sign
            An Ed25519 private key, or its PEM file: the statement is signed.
        partial
            Seal what is left where the start has expired, and say so, in place of an error.
        results
            Enclose what the filter matches, decoded; False leaves it out.  With it, frames and
            files by the names they are to have, `{"balances": state.frame, "case.html": path}`:
            what came of these records, which can be had again from the opened bag.

        Raises
        ------
        EvidenceError
            When something is at the path, or the key cannot be used.
        OffsetOutOfRange
            When the start has expired, or expires while it is read.
        LogBusy
            When another process is making a bag there.
        """
        from workbench.evidence.seal import seal

        return seal(
            self._source,
            path,
            purpose=purpose,
            salted=salted,
            sign=sign,
            partial=partial,
            results=results,
        )

    def report(
        self,
        notebook: str | Path,
        out: str | Path = "reports",
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a notebook on this slice; leave the executed notebook and an HTML file in `out`.

        Raises ReportError when the notebook fails (the partial output is left) or takes no
        parameter of a name that is given.
        """
        return reporting.run(notebook, out, address=self.address, parameters=parameters)

    @property
    def source(self) -> SliceSource:
        """What consumers are given: this slice without its face."""
        return self._source

    def __repr__(self) -> str:
        address = self.address
        text = f"Slice {address.describe_ranges()}  {self._known()}"
        span = self._span()
        keys = self._keys()
        ids = self.address.schema_ids
        schemas = "" if ids is None else f"schema {', '.join(map(str, ids))}"
        return "  ".join(part for part in (text, span, keys, schemas) if part)

    def _repr_html_(self) -> str:
        facts = {
            "log": f"{self.address.hint} ({self.address.log_id})",
            "offsets": self.address.describe_ranges(),
            "times": self._span(),
            "keys": self._keys(),
            "schemas": ", ".join(map(str, self.address.schema_ids or ())),
            "records": self._known(),
        }
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{escape(fact)}</td></tr>"
            for name, fact in facts.items()
            if fact
        )
        return f"<table>{display.html_caption('Slice')}{rows}</table>"

    def _known(self) -> str:
        most = self.address.most_records
        return f"<= {most} offsets, not read" if most else "no offsets, so nothing to read"

    def _span(self) -> str:
        times = self.address.times
        if times is None:
            return ""
        text = describe_span(times.start_ms, times.end_ms, self._tz)
        return text if times.late_ms is None else f"{text}, lateness <= {times.late_ms // 1000} s"

    def _keys(self) -> str:
        keys = self.address.keys
        if keys is None:
            return ""
        shown = ", ".join(key.decode(errors="backslashreplace") for key in keys[:3])
        return f"key {shown}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


# Who chooses records in a view gets the slice of them.
display.register("slice", lambda source: Slice(source, tz=UTC))
