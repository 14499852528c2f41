"""The search: several chunks at a time, in order, interrupted without loss."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import takewhile

import polars as pl

from workbench.errors import DefinitionError
from workbench.find.found import COLUMNS, Found
from workbench.find.judges import Condition, Field, Judge, Pattern, Text
from workbench.positions import Position
from workbench.records import Chunk
from workbench.source.progress import progress
from workbench.source.slice import SliceSource

#: What is looked for: a text, bytes, or a pattern of either.
Sought = str | bytes | re.Pattern[str] | re.Pattern[bytes]

#: How many records are kept of each outcome, and about how many bytes of them.
MOST_ROWS, MOST_BYTES = 100_000, 512 << 20

#: How many chunks are searched at once; the engines take several threads for each.
_MOST_THREADS = min(4, os.cpu_count() or 1)


class _Room:
    """For how much of what is found there is room: a text may be in every record of a log."""

    def __init__(self) -> None:
        self._rows, self._bytes = MOST_ROWS, MOST_BYTES

    def take(self, found: pl.DataFrame) -> pl.DataFrame:
        """What of the next ones is kept."""
        kept = found.head(self._rows) if self._bytes > 0 else found.clear()
        self._rows -= kept.height
        self._bytes -= int(kept.estimated_size())
        return kept


class _Judged:
    """What a chunk gave, without the chunk: all of them are as large as what is searched."""

    def __init__(self, chunk: Chunk, records: int, hits: pl.DataFrame, errors: pl.DataFrame):
        self.place = chunk.topic, chunk.partition
        self.start, self.end = chunk.start, chunk.end
        self.records, self.hits, self.errors = records, hits, errors
        self.matched, self.failed = hits.height, errors.height
        self._is_cut = False

    def cut(self, room: tuple[_Room, _Room]) -> None:
        """Keep what there is room for, in the order of chunks; once."""
        if not self._is_cut:
            self._is_cut = True
            self.hits, self.errors = room[0].take(self.hits), room[1].take(self.errors)


def find(
    slices: Sequence[SliceSource],
    sought: Sought | None = None,
    *,
    by: str | Mapping[str, str] | None = None,
    where: str | None = None,
) -> Found:
    """Judge every record of the slices.

    A record matches when its raw key equals the text, or the text occurs in its raw value or in a
    header's value.  Where `by` names a field, of each topic or by topic, that decoded field must
    equal what the text says instead: 10, 10.0 and 10.00 are one number, 12:00Z and 13:00+01:00 one
    time (without an offset it is UTC).  A record that does not decode can then not be judged, and
    is an error, unless the field is one of its coordinates.
    A pattern (`re.compile(…)`) matches where it is found in the raw key, value, or a header's
    value; it is one of bytes, and a pattern of text is taken as its UTF-8.

    Instead of a text, `where` is a condition in DuckDB's SQL over the columns of the slice, such
    as `"amount > 1000"`.  It is judged record by record: a record matches where it is true, and
    is an error where it is null because the record does not decode.  Columns that its topic does
    not have, but another one that is searched, are null.

    Several chunks are searched at once.  An interrupt (Ctrl-C) returns what was found so far.  Of
    the records that match, and of those that cannot be judged, the first 100,000 are kept (fewer,
    where they are large); all are counted.
    Raises DefinitionError for a field that the topic does not have, and for what is no condition.
    """
    topics = [topic for one in slices for topic in one.address.topics]
    judges = _judges(slices, sought, fields(topics, by), where)
    work = ((part, judge, chunk) for part, judge in judges for chunk in part.chunks())
    searched = Position({tp: at for s in slices for tp, at in s.start.items()})
    begun: list[Future[_Judged]] = []
    judged: list[_Judged] = []
    room = _Room(), _Room()
    complete = False
    pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="workbench-find")
    try:
        with suppress(KeyboardInterrupt):
            _run(pool, work, begun, room, sum(s.address.most_records for s in slices))
            complete = True
        # In order, up to the first that had not begun, or that Polars itself has interrupted.
        with suppress(KeyboardInterrupt):
            for future in takewhile(lambda future: not future.cancel(), begun):
                future.result().cut(room)
                judged.append(future.result())
    finally:
        pool.shutdown(cancel_futures=True)
    complete = complete and len(judged) == len(begun)
    if complete:
        searched = searched.merge({tp: at for s in slices for tp, at in s.end.items()})
    places = {one.place: one.end for one in judged}
    hits = pl.concat([pl.DataFrame(schema=COLUMNS), *(one.hits for one in judged)])
    errors = pl.concat([pl.DataFrame(schema=COLUMNS), *(one.errors for one in judged)])
    return Found(
        sought=where or (sought if isinstance(sought, str) else repr(sought)),
        addresses=tuple(source.address for source in slices),
        hits=hits,
        errors=errors,
        matched=sum(one.matched for one in judged),
        unmatched=sum(one.records - one.matched - one.failed for one in judged),
        failed=sum(one.failed for one in judged),
        searched=searched.merge(places),
        complete=complete,
        hidden=_hidden(slices),
    )


def _hidden(slices: Sequence[SliceSource]) -> tuple[str, ...]:
    masked = {t: one.backend.topic(t).masked for one in slices for t in one.address.topics}
    return tuple(f"{topic}: {', '.join(fields)}" for topic, fields in masked.items() if fields)


def fields(topics: Iterable[str], by: str | Mapping[str, str] | None) -> Mapping[str, str]:
    """The field of each topic that is compared.  Raises DefinitionError."""
    if by is None or isinstance(by, str):
        return dict.fromkeys(topics, by) if by else {}
    if not isinstance(by, Mapping) or not all(isinstance(n, str) for n in (*by, *by.values())):
        raise DefinitionError(
            f"by= names a field, not {by!r}", hint='such as by="id", or by={"orders": "id"}'
        )
    return by


def _judges(
    slices: Sequence[SliceSource],
    sought: Sought | None,
    fields: Mapping[str, str],
    where: str | None,
) -> list[tuple[SliceSource, Judge]]:
    """What is searched, and who judges it.  Raises DefinitionError."""
    if sought is not None and not isinstance(sought, str | bytes | re.Pattern):
        raise DefinitionError(
            f"what is looked for is a text, bytes or a pattern, not {sought!r}",
            hint='a number is looked for as a text, such as "4711"',
        )
    if where is not None:
        if not isinstance(where, str):
            raise DefinitionError(
                f"where= is a condition in SQL, not a {type(where).__name__}",
                hint='such as where="amount > 1000"; frame().filter(…) takes expressions',
            )
        if sought is not None or fields:
            raise DefinitionError(
                "a search is for a text or by a condition",
                hint="leave out where=, or give nothing but where=",
            )
        known: dict[str, tuple[str, pl.DataType]] = {}  # SQL does not tell ID from id
        for source in slices:
            for name, dtype in source.schema.items():
                known.setdefault(name.casefold(), (name, dtype))
        return [(source, Condition(source, where, dict(known.values()))) for source in slices]
    if isinstance(sought, re.Pattern):
        if fields:
            raise DefinitionError(
                "a pattern is for raw records, and by= compares a field",
                hint="leave out by=, or use where=\"regexp_matches(field, '…')\"",
            )
        pattern = Pattern(sought)
        return [(source, pattern) for source in slices]
    needle = sought.encode() if isinstance(sought, str) else sought or b""
    if not needle and not fields:
        raise DefinitionError("there is nothing to find: the text is empty")
    parts = [(topic, part) for source in slices for topic, part in source.by_topic().items()]
    topics = [topic for topic, _ in parts]
    unknown = next((topic for topic in fields if topic not in topics), None)
    if unknown is not None:
        raise DefinitionError(
            f"by= names the topic {unknown!r}, which is not searched",
            hint=f"searched are {', '.join(topics)}",
        )
    return [
        (part, Field(part, fields[topic], needle) if topic in fields else Text(needle))
        for topic, part in parts
    ]


def _run(
    pool: ThreadPoolExecutor,
    work: Iterable[tuple[SliceSource, Judge, Chunk]],
    begun: list[Future[_Judged]],
    room: tuple[_Room, _Room],
    total: int,
) -> None:
    """Begin each chunk in order, and wait for all of them; few at a time are under way."""
    with progress(total, "offsets") as bar:
        for part, judge, chunk in work:
            begun.append(pool.submit(_judge, part, judge, chunk))
            if len(begun) > _MOST_THREADS:
                done = begun[-1 - _MOST_THREADS].result()
                done.cut(room)
                bar.update(done.end - done.start)
        for future in begun[-_MOST_THREADS:]:
            future.result().cut(room)


def _judge(part: SliceSource, judge: Judge, chunk: Chunk) -> _Judged:
    hits, errors = judge(part, chunk)
    records = chunk.rows
    if records is None or part.address.filtered:
        kept = part.as_bytes().decode(chunk).select(pl.len())
        records = kept.collect().item()
    return _Judged(chunk, records, hits, errors)
