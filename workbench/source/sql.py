"""SQL over slices and frames, by DuckDB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import duckdb
import polars as pl
from duckdb.sqltypes import DuckDBPyType

from workbench.arrow import ArrowBatches, ArrowStream
from workbench.errors import DefinitionError
from workbench.records import TIMESTAMP, Chunk
from workbench.source.columns import frame_schema, is_stored
from workbench.source.pieces import joined
from workbench.source.slice import SliceSource
from workbench.source.temporary import temporary_folder

Relation = SliceSource | pl.DataFrame | pl.LazyFrame

#: Types of which Polars makes something else without a word, or nothing.
_FOREIGN = ("interval", "uhugeint", "bignum", "bit", "time with time zone", "union")


def query(sql: str, relations: Mapping[str, Relation], *, raw: bool = False) -> pl.DataFrame:
    """Run one DuckDB query over relations by the names given.

    A slice's `offset` is there as `record_offset` too, since OFFSET is a keyword.  Stored decoded
    segments are read by DuckDB itself, so only the columns and row groups that the query needs
    are.  With `raw`, slices have the columns of raw records as well; these, and the records of a
    cluster, come a batch at a time, all of them, once for each time that the query names the
    slice.  Times come back as UTC.  What does not fit into memory goes on in temporary files.

    Raises DefinitionError with DuckDB's message when the query cannot be run, and what reading
    raises.
    """
    with temporary_folder() as folder, duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'; SET autoinstall_known_extensions = false")
        if folder is not None:  # else DuckDB's is below the working directory
            con.execute(f"SET temp_directory = {_text(folder)}")
        streams: list[ArrowBatches] = []
        try:
            for name, relation in relations.items():
                if isinstance(relation, SliceSource) and (raw or relation.backend.kind == "kafka"):
                    streams.append(_stream(con, name, relation, raw=raw))
                else:
                    _register(con, name, relation)
            result = con.sql(sql)
            _check_result(result)
            return _in_utc(pl.DataFrame(ArrowStream(_executed(con, result))))
        except duckdb.Error as error:
            for failure in (stream.failure for stream in streams):
                if failure is not None:
                    raise failure from None
            message = " ".join(str(error).split())
            raise DefinitionError(
                f"the query cannot be run: {message}",
                hint=f"relations here: {', '.join(relations)}",
            ) from error


def _check_result(result: duckdb.DuckDBPyRelation | None) -> None:
    """Raise DefinitionError for what cannot become a frame."""
    if result is None:
        raise DefinitionError("the query is empty", hint="for example SELECT * FROM slice")
    for name, times in Counter(result.columns).items():
        if times > 1:
            raise DefinitionError(
                f"the query's result has {times} columns {name!r}", hint="name them apart with AS"
            )
    for name, kind in zip(result.columns, result.types, strict=True):
        if _is_foreign(kind):
            raise DefinitionError(
                f"column {name!r} of the query's result is {kind}, which frames do not have",
                hint="cast it to VARCHAR",
            )


def _is_foreign(kind: DuckDBPyType) -> bool:
    """Whether a frame would not have such values, or other ones in their place."""
    if kind.id in ("list", "array", "struct", "map"):
        # An array's size is among its children, too.
        inner = [child for _, child in kind.children if isinstance(child, DuckDBPyType)]
        return any(map(_is_foreign, inner))
    return kind.id in _FOREIGN


def _executed(con: duckdb.DuckDBPyConnection, query: Any) -> Any:
    """The rows of a query, as a relation.

    In a thread of its own: asked for by Polars, DuckDB could not ask Polars for batches.
    """
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(query.materialize)
        try:
            return rows.result()
        except BaseException:  # as Ctrl-C, for which the query would not end
            con.interrupt()
            raise


def _stream(
    con: duckdb.DuckDBPyConnection, name: str, relation: SliceSource, *, raw: bool
) -> ArrowBatches:
    schema = frame_schema(relation.address.decoding, relation.address.topics, raw=raw)
    check_names(schema)
    stream = ArrowBatches(schema, partial(relation.batches, raw=raw))
    batches = f"{name} (in batches)"
    con.register(batches, stream)
    _view(con, name, f"FROM {_quoted(batches)}")
    return stream


def _register(con: duckdb.DuckDBPyConnection, name: str, relation: Relation) -> None:
    if not isinstance(relation, SliceSource | pl.DataFrame | pl.LazyFrame):
        raise DefinitionError(
            f"{name!r} is of type {type(relation).__name__}, which SQL cannot read",
            hint="give slices, states and frames",
        )
    if not isinstance(relation, SliceSource):
        con.register(name, ArrowStream(relation.lazy().collect()))
        return
    schema = relation.schema
    check_names(schema)
    # Companions keep keys as text or as bytes, segment by segment: one scan holds one kind.
    stored: dict[tuple[str, int, bool], list[Chunk]] = {}
    frames = [pl.DataFrame(schema=schema)]
    for chunk in joined(relation.looked_up()):
        if chunk.typed_path is not None and is_stored(chunk, relation.address.decoding):
            as_text = chunk.typed is not None and chunk.typed.collect_schema()["key"] == pl.String
            stored.setdefault((chunk.topic, chunk.partition, as_text), []).append(chunk)
        else:
            frames.append(relation.decode(chunk).collect())
    loose = f"{name} (not in segments)"
    con.register(loose, ArrowStream(pl.concat(frames, how="diagonal").select(schema.names())))
    columns = ", ".join(_quoted(column) for column in schema)
    parts = [f"SELECT {columns} FROM {_quoted(loose)}"]
    parts += [_scan(relation, schema, topic, chunks) for (topic, _, _), chunks in stored.items()]
    _view(con, name, " UNION ALL BY NAME ".join(parts))


def _view(con: duckdb.DuckDBPyConnection, name: str, records: str) -> None:
    con.execute(
        f'CREATE TEMP VIEW {_quoted(name)} AS SELECT *, "offset" AS record_offset FROM ({records})'
    )


def _scan(relation: SliceSource, schema: pl.Schema, topic: str, chunks: list[Chunk]) -> str:
    """A SELECT over the companions of one partition, cut to the slice and filtered."""
    held = chunks[0].typed
    assert held is not None
    stored = held.collect_schema()
    columns = [f"{_text(topic)} AS topic"]
    columns += [_quoted(column) for column in schema if column in stored and column != "key"]
    as_bytes = schema["key"] == pl.Binary and stored["key"] == pl.String
    columns.append("encode(key) AS key" if as_bytes else "key")
    paths = ", ".join(_text(chunk.typed_path or "") for chunk in chunks)
    conditions = [f'"offset" >= {chunks[0].start}', f'"offset" < {chunks[-1].end}']
    times, keys = relation.address.times, relation.address.keys
    if times is not None and times.start_ms is not None:
        conditions.append(f'"timestamp" >= make_timestamptz({times.start_ms * 1000})')
    if times is not None and times.end_ms is not None:
        conditions.append(f'"timestamp" < make_timestamptz({times.end_ms * 1000})')
    if keys is not None:
        blobs = ", ".join(f"from_hex('{key.hex()}')" for key in keys)
        key = "encode(key)" if stored["key"] == pl.String else "key"
        conditions.append(f"{key} IN ({blobs})" if keys else "false")
    return (
        f"SELECT {', '.join(columns)} FROM read_parquet([{paths}]) WHERE {' AND '.join(conditions)}"
    )


def check_names(schema: pl.Schema) -> None:
    """Raise DefinitionError for columns that SQL, which ignores case, cannot tell apart."""
    seen = {"record_offset": "record_offset"}
    for name in schema:
        other = seen.setdefault(name.casefold(), name)
        if other != name or name == "record_offset":
            raise DefinitionError(
                f"SQL cannot tell the columns {other!r} and {name!r} apart",
                hint="use lazy(), or rename one in the schema",
            )


def _in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """DuckDB answers in microseconds of `Etc/UTC`; frames here are in `UTC`."""
    zoned = [
        pl.col(name).dt.convert_time_zone("UTC").dt.cast_time_unit("us")
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    ]
    return frame.with_columns(zoned).with_columns(
        pl.col(name).cast(TIMESTAMP)
        for name in frame.columns
        if name == "timestamp" and isinstance(frame.schema[name], pl.Datetime)
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
