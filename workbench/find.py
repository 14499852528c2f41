"""Search across topics: match, no match, or error, each counted and addressed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import polars as pl

from workbench.address import Address
from workbench.errors import DefinitionError
from workbench.positions import Position
from workbench.source.columns import beside_raw, payload_columns
from workbench.source.progress import progress
from workbench.source.slice import SliceSource

#: What is looked for: a text, bytes, or a pattern of either.
Sought = str | bytes | re.Pattern[str] | re.Pattern[bytes]

_COLUMNS = pl.Schema(
    {
        "topic": pl.String(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp": pl.Datetime("ms", "UTC"),
        "where": pl.String(),
        "key": pl.String(),
        "value": pl.String(),
        "error": pl.String(),
    }
)


@dataclass(frozen=True)
class Found:
    """What a search found, how many records it judged, and how far it got.

    `complete` is false when the search was interrupted: `scanned` is then the position up to
    which every record was judged.
    """

    sought: str
    addresses: tuple[Address, ...]
    hits: pl.DataFrame
    errors: pl.DataFrame
    unmatched: int
    scanned: Position
    complete: bool

    @property
    def counts(self) -> dict[str, int]:
        """Records by outcome: match, no_match, error."""
        return {
            "match": self.hits.height,
            "no_match": self.unmatched,
            "error": self.errors.height,
        }

    def frame(self) -> pl.DataFrame:
        """A row per match: topic, partition, offset, timestamp, where, key, value.

        `where` is `key`, `value`, `header`, or the name of the field that was compared.
        """
        return self.hits.drop("error")

    def address(self, row: int) -> Address:
        """The address of the one record behind a row of `frame()`."""
        hit = self.hits.row(row, named=True)
        tp = (hit["topic"], hit["partition"])
        base = next(address for address in self.addresses if tp in address.end)
        return replace(
            base,
            topic_ids=tuple(pair for pair in base.topic_ids if pair[0] == tp[0]),
            start=Position({tp: hit["offset"]}),
            end=Position({tp: hit["offset"] + 1}),
            times=None,
            keys=None,
        )

    def __repr__(self) -> str:
        c = self.counts
        state = "" if self.complete else f"  INTERRUPTED at {self.scanned.describe()}"
        return (
            f"Found {self.sought!r}: {c['match']:,} match, {c['no_match']:,} do not, "
            f"{c['error']:,} could not be judged{state}\n{self.frame()}"
        )

    def _repr_html_(self) -> str:
        from html import escape

        head = escape(repr(self).split("\n", 1)[0])
        return f"<p>{head}</p>{self.frame()._repr_html_()}"


def find(
    slices: Sequence[SliceSource], sought: Sought, *, by: Mapping[str, str] | None = None
) -> Found:
    """Judge every record of the slices.

    A record matches when its raw key equals the text, or the text occurs in its raw value or in a
    header's value.  Where `by` names a field for its topic, that decoded field must equal what the
    text says instead: 10, 10.0 and 10.00 are one number, 12:00Z and 13:00+01:00 one time (without
    an offset it is UTC).  A record that does not decode can then not be judged, and is an error.
    A pattern (`re.compile(…)`) matches where it is found in the raw key, value, or a header's
    value; it is one of bytes, and a pattern of text is taken as its UTF-8.

    An interrupt (Ctrl-C) returns what was found so far.  Raises DefinitionError for a field that
    the topic does not have.
    """
    fields = dict(by or {})
    if isinstance(sought, re.Pattern) and fields:
        raise DefinitionError(
            "a pattern is for raw records, and by= compares a field",
            hint="leave out by=, or filter lazy()",
        )
    pattern = _as_bytes(sought) if isinstance(sought, re.Pattern) else None
    needle = b"" if isinstance(sought, re.Pattern) else _encoded(sought)
    if not needle and not fields and pattern is None:
        raise DefinitionError("there is nothing to find: the text is empty")
    _check(slices, fields)
    hits: list[pl.DataFrame] = []
    errors: list[pl.DataFrame] = []
    judged = 0
    scanned = Position({tp: at for s in slices for tp, at in s.start.items()})
    complete = True
    total = sum(s.address.most_records for s in slices)
    try:
        with progress(total, "records") as bar:
            for source in slices:
                for topic, part in source.by_topic().items():
                    field = fields.get(topic)
                    judge: Callable[[pl.DataFrame, bytes], pl.DataFrame] = _judge_bytes
                    if pattern is not None:
                        judge = partial(_judge_pattern, pattern=pattern)
                    if field is not None:
                        columns = payload_columns(part.address.decoding, topic)
                        column = beside_raw(columns).get(field, field)
                        judge = partial(_judge_field, field=field, column=column)
                    for frame in (part if field else part.as_bytes()).batches(raw=True):
                        marked = judge(frame, needle)
                        hits.append(_shown(marked.filter(pl.col("where").is_not_null())))
                        errors.append(_shown(marked.filter(pl.col("error").is_not_null())))
                        judged += frame.height
                        partition, offset = frame.select("partition", "offset").row(-1)
                        scanned = scanned.merge({(topic, partition): offset + 1})
                        bar.update(frame.height)
                scanned = scanned.merge(source.end)
    except KeyboardInterrupt:
        complete = False
    found = pl.concat([pl.DataFrame(schema=_COLUMNS), *hits])
    failed = pl.concat([pl.DataFrame(schema=_COLUMNS), *errors])
    return Found(
        sought=sought if isinstance(sought, str) else repr(sought),
        addresses=tuple(source.address for source in slices),
        hits=found,
        errors=failed,
        unmatched=judged - found.height - failed.height,
        scanned=scanned,
        complete=complete,
    )


def _check(slices: Sequence[SliceSource], fields: Mapping[str, str]) -> None:
    known = {topic: part for s in slices for topic, part in s.by_topic().items()}
    for topic, field in fields.items():
        if topic not in known:
            raise DefinitionError(
                f"by= names the topic {topic!r}, which is not searched",
                hint=f"searched are {', '.join(known)}",
            )
        schema = known[topic].schema
        if field not in schema:
            raise DefinitionError(
                f"topic {topic!r} has no field {field!r}", hint=f"it has {', '.join(schema)}"
            )
        if schema[field].is_nested():
            raise DefinitionError(
                f"field {field!r} of {topic!r} is {schema[field]}, which no text equals",
                hint="search without by=, or filter lazy()",
            )


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _as_bytes(pattern: re.Pattern[Any]) -> re.Pattern[bytes]:
    if isinstance(pattern.pattern, bytes):
        return pattern
    return re.compile(pattern.pattern.encode(), pattern.flags & ~re.UNICODE)


def _judge_pattern(
    frame: pl.DataFrame, needle: bytes, *, pattern: re.Pattern[bytes]
) -> pl.DataFrame:
    """Mark where a pattern is found: in the key, in the value, in a header's value."""

    def where(key: bytes | None, value: bytes | None, headers: list[dict[str, Any]]) -> str | None:
        if key is not None and pattern.search(key):
            return "key"
        if value is not None and pattern.search(value):
            return "value"
        held = (header["value"] for header in headers or ())
        return "header" if any(one is not None and pattern.search(one) for one in held) else None

    found = [where(*row) for row in frame.select("key", "value", "headers").iter_rows()]
    return frame.with_columns(
        where=pl.Series(found, dtype=pl.String), error=pl.lit(None, dtype=pl.String)
    )


def _judge_bytes(frame: pl.DataFrame, needle: bytes) -> pl.DataFrame:
    """Mark where the bytes occur: the whole key, inside the value, inside a header's value."""
    wanted = pl.lit(needle, dtype=pl.Binary)
    in_header = pl.col("headers").list.eval(
        pl.element().struct.field("value").bin.contains(wanted).fill_null(False)
    )
    return frame.with_columns(
        where=pl.when(pl.col("key") == wanted)
        .then(pl.lit("key"))
        .when(pl.col("value").bin.contains(wanted).fill_null(False))
        .then(pl.lit("value"))
        .when(in_header.list.any().fill_null(False))
        .then(pl.lit("header")),
        error=pl.lit(None, dtype=pl.String),
    )


def _judge_field(frame: pl.DataFrame, needle: bytes, *, field: str, column: str) -> pl.DataFrame:
    """Mark where a decoded field equals the text; what does not decode cannot be judged.

    `column` is the field's name beside the raw columns.
    """
    equal = pl.col(column) == _literal(needle, frame.schema[column])
    found = pl.when(equal.fill_null(False)).then(pl.lit(field))
    return frame.with_columns(
        where=found, error=pl.when(found.is_null()).then(pl.col("decode_error"))
    )


def _literal(needle: bytes, dtype: pl.DataType) -> pl.Expr:
    """The text as a value of a field's type; null, which nothing equals, where it is none."""
    if dtype == pl.Binary:
        return pl.lit(needle, dtype=pl.Binary)
    text = needle.decode(errors="replace")
    value: Any = None
    if isinstance(dtype, pl.String | pl.Categorical):
        value = text
    elif dtype == pl.Boolean:
        value = {"true": True, "false": False}.get(text.lower())
    elif dtype.is_temporal():
        value = _moment(text)
        if value is not None and dtype == pl.Date:
            value = None if value.timetz() != time(tzinfo=UTC) else value.date()
    else:
        value = _number(text, dtype)
    return pl.lit(value, dtype=dtype)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.removesuffix(" UTC"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(text: str, dtype: pl.DataType) -> int | float | Decimal | None:
    """The number of a type that a text says exactly."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > 400:
        return None
    if dtype == pl.Float64:
        return float(number)
    whole = f"{number:f}" if isinstance(dtype, pl.Decimal) else f"{number:.0f}"
    value = pl.Series([whole]).cast(dtype, strict=False)[0]
    return value if value == number else None


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a result; bytes that are not text are shown with replacements."""

    def text(name: str) -> pl.Expr:
        if frame.schema[name] == pl.String:
            return pl.col(name)
        return pl.Series(
            name,
            [None if b is None else b.decode(errors="backslashreplace") for b in frame[name]],
            dtype=pl.String,
        )  # type: ignore[return-value]

    return frame.with_columns(
        pl.col("topic").cast(pl.String), key=text("key"), value=text("value")
    ).select(_COLUMNS.names())
