"""From rows as people have them to records as a log appends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from itertools import islice
from typing import Any, Literal, get_args

import polars as pl

from workbench.decode import encode_rows
from workbench.errors import AppendRejected, InvalidRange, RowRejected
from workbench.records import APPEND, HEADERS, TIMESTAMP
from workbench.source.times import parse_instant

Row = Mapping[str, Any]
Rows = pl.DataFrame | Iterable[Row | None]
Header = tuple[str, bytes | None]
KeyOf = str | Callable[[Any], Any]
TimeOf = str | Callable[[Any], datetime | str | int | None]
HeadersOf = Sequence[Header] | Callable[[Any], Sequence[Header]]
Encoding = Literal["json", "bytes"]
#: Makes a Binary column of some rows, or the columns value and headers.
Encoder = Callable[[Any], pl.Series | pl.DataFrame]

#: How many rows one commit holds where the caller does not say.
BATCH_ROWS = 10_000


def records(
    rows: Rows,
    partitions: int,
    *,
    key: KeyOf | None = None,
    timestamp: TimeOf | None = None,
    headers: HeadersOf | None = None,
    partition: str | None = None,
    encode: Encoding | Encoder = "json",
    encode_key: Encoder | None = None,
    batch_rows: int = BATCH_ROWS,
    tz: tzinfo = UTC,
) -> Iterator[pl.DataFrame]:
    """Batches of the schema `APPEND`, in the order of the rows.

    With `encode="json"` a row becomes a JSON object and None becomes a null value (a tombstone).
    With `encode="bytes"` rows have the columns `value` and, if there are, `key`, `headers`,
    `timestamp`, `partition`, which are taken as they are.  Else `encode` makes the values, and
    where it likes headers beside those that are given; `encode_key` does so for keys.  Naive times
    are in `tz`.

    Raises AppendRejected for a row that cannot be a record, naming the row.
    """
    from workbench.sink.partitioner import partition_for  # brings NumPy

    if not callable(encode) and encode not in get_args(Encoding):
        raise AppendRejected(
            f"there is no encoding {encode!r}", hint=f"there are {', '.join(get_args(Encoding))}"
        )
    for number, batch in enumerate(_batches(rows, batch_rows)):
        made = _Batch(batch, tz=tz)
        try:
            if encode == "bytes":
                columns = made.as_they_are()
            else:
                written = encode(batch) if callable(encode) else encode_rows(batch)
                keyed = made.keys(key) if encode_key is None else made.encoded(key, encode_key)
                columns = {
                    "key": keyed if isinstance(keyed, pl.Series) else keyed["value"],
                    "value": written if isinstance(written, pl.Series) else written["value"],
                    "timestamp": made.timestamps(timestamp),
                    "headers": made.headers(headers, keyed, written),
                    "partition": made.column(partition, pl.Int32()),
                }
        except RowRejected as error:
            row = number * batch_rows + error.row
            raise RowRejected(row, error.what, hint=error.hint) from error
        keys = columns["key"].to_list()
        chosen = partition_for(keys, partitions, keyless=number % partitions)
        given = columns["partition"]
        if given.null_count() < len(given):
            _check_partitions(given, partitions)
            chosen = given.zip_with(given.is_not_null(), chosen)
        columns["partition"] = chosen
        yield pl.DataFrame([columns[name].alias(name) for name in APPEND.names()])


def _check_partitions(given: pl.Series, partitions: int) -> None:
    outside = given.filter((given < 0) | (given >= partitions))
    if len(outside):
        raise AppendRejected(
            f"there is no partition {outside[0]}",
            hint=f"the topic has {partitions}, counted from 0",
        )


class _Batch:
    """Some rows, and the columns that are taken from them."""

    def __init__(self, rows: pl.DataFrame | list[Row | None], *, tz: tzinfo) -> None:
        self._rows = rows
        self._tz = tz

    def column(self, name: str | None, dtype: pl.DataType) -> pl.Series:
        """A named column, or nulls where no name is given."""
        if name is None:
            return _null(dtype).new_from_index(0, len(self._rows))
        values = self._named(name)
        try:
            return values.cast(dtype)
        except pl.exceptions.PolarsError as error:
            raise AppendRejected(f"column {name!r} cannot be {dtype}: {error}") from error

    def keys(self, key: KeyOf | None) -> pl.Series:
        """Record keys as bytes: text in UTF-8, integers in decimal digits."""
        if key is None:
            return self.column(None, pl.Binary())
        values = self._named(key) if isinstance(key, str) else self._computed(key)
        if values.dtype.is_integer():
            values = values.cast(pl.String)
        if values.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
            values = values.cast(pl.String).cast(pl.Binary)
        if values.dtype != pl.Binary:
            raise AppendRejected(
                f"a key is text, bytes or an integer, not {values.dtype}",
                hint="give key= a column of one of these, or a function that returns one",
            )
        return values

    def encoded(self, key: KeyOf | None, encode: Encoder) -> pl.Series | pl.DataFrame:
        """Record keys as `encode` writes them, with headers if it likes; None stays null."""
        if key is None:
            raise AppendRejected("encode_key= writes keys, and key= does not say which")
        rows = self._each()
        if isinstance(key, str):
            self._named(key)
            keys = [row[key] for row in rows if row is not None]
        else:
            keys = [key(row) for row in rows]
        return encode(keys)

    def timestamps(self, timestamp: TimeOf | None) -> pl.Series:
        """Record timestamps; null where the log is to stamp."""
        if timestamp is None:
            return self.column(None, TIMESTAMP)
        values = self._named(timestamp) if isinstance(timestamp, str) else self._computed(timestamp)
        match values.dtype:
            case pl.Datetime(time_zone=None):
                return values.dt.replace_time_zone(str(self._tz)).cast(TIMESTAMP)
            case pl.Datetime():
                return values.dt.convert_time_zone("UTC").cast(TIMESTAMP)
            case pl.Null():
                return values.cast(TIMESTAMP)
            case pl.String():
                return pl.Series(
                    [None if text is None else self._instant(text) for text in values],
                    dtype=pl.Int64,
                ).cast(TIMESTAMP)
            case dtype if dtype.is_integer():
                return values.cast(pl.Int64).cast(TIMESTAMP)
        raise AppendRejected(
            f"a timestamp is a datetime, ISO text or integer milliseconds, not {values.dtype}"
        )

    def headers(self, headers: HeadersOf | None, *written: pl.Series | pl.DataFrame) -> pl.Series:
        """Record headers: the same ones for each record, or computed per row; then the formats'."""
        more = [one["headers"] for one in written if isinstance(one, pl.DataFrame)]
        if more:
            given = self.headers(headers).fill_null(pl.Series([[]], dtype=HEADERS))
            both = pl.concat_list(map(pl.lit, [given, *more]))
            return pl.select(both.cast(HEADERS)).to_series()
        if headers is None:
            return self.column(None, HEADERS)
        listed = (
            [_headers(headers(row)) for row in self._each()]
            if callable(headers)
            else [_headers(headers)] * len(self._rows)
        )
        return pl.Series(listed, dtype=HEADERS)

    def as_they_are(self) -> dict[str, pl.Series]:
        """Rows that hold bytes: value, and what else a record has."""
        rows = self._rows
        frame = (
            rows
            if isinstance(rows, pl.DataFrame)
            else pl.DataFrame(
                [_known(row or {}) for row in rows],
                schema_overrides={n: APPEND[n] for n in ("key", "value", "headers")},
                infer_schema_length=None,  # a key may come late
            )
        )
        if "value" not in frame.columns:
            raise AppendRejected(
                f"rows of bytes need a column 'value', they have {', '.join(frame.columns)}"
            )
        return {
            name: frame[name].cast(dtype) if name in frame.columns else self.column(None, dtype)
            for name, dtype in APPEND.items()
        }

    def _named(self, name: str) -> pl.Series:
        if isinstance(self._rows, pl.DataFrame):
            if name not in self._rows.columns:
                raise AppendRejected(
                    f"no column {name!r}", hint=f"there are {', '.join(self._rows.columns)}"
                )
            return self._rows[name]
        for at, row in enumerate(self._each()):
            if row is None or name not in row:
                there = "is a tombstone" if row is None else f"has {', '.join(map(str, row))}"
                raise RowRejected(
                    at,
                    f" has no field {name!r}: it {there}",
                    hint="a function of the row can give a key or a timestamp for any row",
                )
        return self._computed(lambda row: row[name])

    def _computed(self, function: Callable[[Any], Any]) -> pl.Series:
        values = []
        for at, row in enumerate(self._each()):
            try:
                values.append(function(row))
            except (KeyError, TypeError) as error:
                raise RowRejected(at, f" gives no key or timestamp: {error!r}") from error
        try:
            return pl.Series(values)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise RowRejected(
                0, f" and the next {len(values) - 1} mix types in a key or timestamp: {error}"
            ) from error

    def _each(self) -> Iterable[Row | None]:
        rows = self._rows
        return rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows

    def _instant(self, text: str) -> int:
        try:
            return parse_instant(text, tz=self._tz, base_ms=None)
        except InvalidRange as error:
            raise AppendRejected(str(error)) from error


@cache
def _null(dtype: pl.DataType) -> pl.Series:
    return pl.Series([None], dtype=dtype)


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row of bytes is the record's."""
    found = {name: value for name, value in row.items() if name in APPEND}
    if found.get("headers"):
        found["headers"] = [
            one if isinstance(one, Mapping) else {"name": one[0], "value": one[1]}
            for one in found["headers"]
        ]
    return found


def _headers(given: Sequence[Header]) -> list[dict[str, Any]]:
    """Headers as the log keeps them: an ordered list; names may repeat, values may be null."""
    for one in given:
        name, value = one
        if not isinstance(name, str) or not isinstance(value, bytes | None):
            raise AppendRejected(f"a header is (name, bytes or None), not {one!r}")
    return [{"name": name, "value": value} for name, value in given]


def _batches(rows: Rows, size: int) -> Iterator[pl.DataFrame | list[Row | None]]:
    if isinstance(rows, pl.DataFrame):
        yield from rows.iter_slices(size)
        return
    if isinstance(rows, pl.LazyFrame | str | bytes) or not isinstance(rows, Iterable):
        raise AppendRejected(
            f"what is appended is a DataFrame, a dict or an iterable of dicts, not a "
            f"{type(rows).__name__}",
            hint="collect() a LazyFrame first; one text is a list of one",
        )
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch
