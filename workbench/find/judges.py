"""Who judges records: by a text, a pattern, a field, or a condition."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import polars as pl

from workbench.errors import DefinitionError
from workbench.find.found import COLUMNS
from workbench.records import COORDINATES, Chunk
from workbench.source.slice import SliceSource


class Judge(Protocol):
    """Judges the records of a chunk.  For several threads at once."""

    def __call__(self, part: SliceSource, chunk: Chunk) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The records that match, and those that cannot be judged, as `COLUMNS`."""


class Text:
    """Bytes are the whole raw key, or occur in the raw value or in a header's value."""

    def __init__(self, needle: bytes) -> None:
        self._needle = needle

    def __call__(self, part: SliceSource, chunk: Chunk) -> tuple[pl.DataFrame, pl.DataFrame]:
        wanted = pl.lit(self._needle, dtype=pl.Binary)
        in_header = pl.col("headers").list.eval(
            pl.element().struct.field("value").bin.contains(wanted).fill_null(False)
        )
        where = {
            "key": pl.col("key") == wanted,
            "value": pl.col("value").bin.contains(wanted),
            "header": in_header.list.any(),
        }
        records = part.as_bytes().decode(chunk, raw=True)
        # One at a time: where a condition is on one column, Polars reads the others for matches.
        held = [
            records.filter(found.fill_null(False)).select("offset", where=pl.lit(name)).collect()
            for name, found in where.items()
        ]
        judged = pl.concat(held).unique("offset", keep="first", maintain_order=True)
        return _outcomes(chunk, judged.with_columns(error=pl.lit(None, dtype=pl.String)))


class Pattern:
    """A regular expression is found in the raw key, the raw value, or a header's value."""

    def __init__(self, pattern: re.Pattern[str] | re.Pattern[bytes]) -> None:
        text = pattern.pattern
        self._pattern = re.compile(
            text if isinstance(text, bytes) else text.encode(), pattern.flags & ~re.UNICODE
        )

    def __call__(self, part: SliceSource, chunk: Chunk) -> tuple[pl.DataFrame, pl.DataFrame]:
        frame = part.as_bytes().decode(chunk, raw=True).collect()
        found = [self._where(*row) for row in frame.select("key", "value", "headers").iter_rows()]
        marked = frame.with_columns(
            where=pl.Series(found, dtype=pl.String), error=pl.lit(None, dtype=pl.String)
        )
        return _shown(marked.filter(pl.col("where").is_not_null())), COLUMNS.to_frame()

    def _where(
        self, key: bytes | None, value: bytes | None, headers: list[dict[str, Any]]
    ) -> str | None:
        search = self._pattern.search
        if key is not None and search(key):
            return "key"
        if value is not None and search(value):
            return "value"
        held = (header["value"] for header in headers or ())
        return "header" if any(one is not None and search(one) for one in held) else None


class Field:
    """A decoded field equals what a text says; what does not decode cannot be judged."""

    def __init__(self, part: SliceSource, field: str, needle: bytes) -> None:
        schema, (topic,) = part.schema, part.address.topics
        if field not in schema:
            raise DefinitionError(
                f"topic {topic!r} has no field {field!r}", hint=f"it has {', '.join(schema)}"
            )
        if schema[field].is_nested():
            raise DefinitionError(
                f"field {field!r} of {topic!r} is {schema[field]}, which no text equals",
                hint="search without by=, or by a condition: where=",
            )
        self._field = field
        self._in_payload = field not in COORDINATES
        self._wanted = _literal(needle, schema[field])

    def __call__(self, part: SliceSource, chunk: Chunk) -> tuple[pl.DataFrame, pl.DataFrame]:
        found = (pl.col(self._field) == self._wanted).fill_null(False)
        # Where a record is, when, and under which key is known of those that do not decode, too.
        error = pl.when(~found & self._in_payload).then("decode_error")
        judged = part.decode(chunk).filter(found | error.is_not_null())
        where = pl.lit(self._field)
        return _outcomes(chunk, judged.select("offset", where=where, error=error).collect())


class Condition:
    """A condition in SQL is true; where it is null and the record does not decode, who knows.

    `known` are the columns of everything that is searched: those that a record's topic does not
    have are null for it.
    """

    def __init__(self, source: SliceSource, where: str, known: Mapping[str, pl.DataType]) -> None:
        own = source.schema
        taken = {name.casefold() for name in own}
        others = {name: dtype for name, dtype in known.items() if name.casefold() not in taken}
        self._schema = pl.Schema({**own, **others})
        self._columns = _columns(where, self._schema)
        self._sql = (
            f"SELECT record_offset, NULL AS error FROM slice WHERE ({where}\n) UNION ALL "
            f"SELECT record_offset, decode_error FROM slice WHERE ({where}\n) IS NULL "
            "AND decode_error IS NOT NULL"
        )
        # What is wrong with it is said before anything is read.
        self._asked(pl.DataFrame(schema=self._schema))

    def __call__(self, part: SliceSource, chunk: Chunk) -> tuple[pl.DataFrame, pl.DataFrame]:
        columns = [pl.LazyFrame(schema=self._schema), part.decode(chunk)]
        records = pl.concat(columns, how="diagonal").select(self._columns).collect()
        return _outcomes(chunk, self._asked(records).with_columns(where=pl.lit("condition")))

    def _asked(self, records: pl.DataFrame) -> pl.DataFrame:
        from workbench.source.sql import query

        frame = records.with_columns(record_offset="offset")
        return query(self._sql, {"slice": frame}).rename({"record_offset": "offset"})


def _columns(where: str, schema: pl.Schema) -> list[str]:
    """The columns that a condition needs.

    Raises DefinitionError for what is no condition on one record alone.
    """
    import duckdb

    from workbench.source.sql import check_names

    check_names(schema)
    trees = []
    for text in (f"SELECT 1 FROM slice WHERE {where}\n", f"SELECT 1 FROM slice WHERE ({where}\n)"):
        found = duckdb.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0]
        trees.append(json.loads(found))
        if trees[-1]["error"]:
            raise DefinitionError(
                f"{where!r} is no condition: {trees[-1]['error_message']}",
                hint='such as "amount > 1000"',
            )
    nodes = list(_nodes(trees[-1]))
    if any(node.get("class") == "SUBQUERY" for node in nodes):
        raise DefinitionError(
            f"{where!r} asks for more than the record that it judges", hint="use sql()"
        )
    names = [[n.casefold() for n in node.get("column_names", ())] for node in nodes]
    named = {name for path in names for name in path}
    # A star, or the table's name for the whole row.
    whole = any(node.get("class") == "STAR" for node in nodes) or ["slice"] in names
    always = ("offset", "decode_error")
    return [name for name in schema if whole or name in always or name.casefold() in named]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON tree."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)


def _outcomes(chunk: Chunk, judged: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The records at offsets that match, and at those with an error, as they are shown.

    `judged` says of each `where` it matches, or the `error`.
    """
    if judged.is_empty():
        return COLUMNS.to_frame(), COLUMNS.to_frame()
    near = pl.col("offset").is_in(judged["offset"].implode())
    raw = chunk.raw.filter(near).with_columns(topic=pl.lit(chunk.topic)).collect()
    shown = _shown(
        raw.join(judged, on="offset", maintain_order="left").with_columns(
            where=pl.when(pl.col("error").is_null()).then("where")
        )
    )
    failed = pl.col("error").is_not_null()
    return shown.filter(~failed), shown.filter(failed)


def _shown(records: pl.DataFrame) -> pl.DataFrame:
    """The columns of a result; bytes that are no text are shown as escapes."""

    def text(name: str) -> pl.Series:
        shown = [None if b is None else b.decode(errors="backslashreplace") for b in records[name]]
        return pl.Series(name, shown, dtype=pl.String)

    columns = records.with_columns(text("key"), text("value"), pl.col("topic").cast(pl.String))
    return columns.select(COLUMNS.names()).cast(COLUMNS)


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
    elif dtype == pl.Time:
        value = _time(text)
    elif dtype.is_temporal():
        value = _moment(text)
        if value is not None and dtype == pl.Date:
            value = None if value.timetz() != time(tzinfo=UTC) else value.date()
        elif value is not None and isinstance(dtype, pl.Datetime):
            zone = dtype.time_zone
            value = value.astimezone(ZoneInfo(zone)) if zone else value.replace(tzinfo=None)
    else:
        value = _number(text, dtype)
    return pl.lit(value, dtype=dtype)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.removesuffix(" UTC"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _time(text: str) -> time | None:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is None else None


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
