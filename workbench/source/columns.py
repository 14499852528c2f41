"""From a log's chunks to decoded columns."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from workbench.address import Decoding, TimeFilter
from workbench.decode import PLAIN_FORMATS, Codebook, decode_records
from workbench.decode.framing import unframe
from workbench.decode.headed import headed
from workbench.errors import SchemaError
from workbench.records import COORDINATES, RAW, RAW_COLUMNS, TIMESTAMP, Chunk
from workbench.schema import Schema
from workbench.source.times import literal

TOPIC = pl.Categorical()


def frame_schema(
    decoding: Decoding,
    topics: Sequence[str],
    *,
    raw: bool = False,
    rest: bool = False,
    marks: bool = False,
) -> pl.Schema:
    """Columns and types of the decoded frame of these topics, without reading.

    Raises SchemaError when two topics give one column different types or different fields.
    """
    fields: dict[str, str] = {}
    columns: dict[str, pl.DataType] = {
        "topic": TOPIC,
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp": TIMESTAMP,
        "key": pl.Binary() if decoding.key == "bytes" else pl.String(),
    }
    for topic in topics:
        named = payload_columns(decoding, topic, raw=raw)
        for name, field in zip(named, _fields(decoding, topic), strict=False):
            if fields.setdefault(name, field) != field:
                raise SchemaError(
                    f"column {name!r} is the field {fields[name]!r} in one topic and {field!r} in "
                    f"{topic!r}",
                    hint="read the topics apart",
                )
        for name, dtype in named.items():
            if columns.setdefault(name, dtype) != dtype:
                raise SchemaError(
                    f"field {name!r} is {columns[name]} in one topic and {dtype} in {topic!r}",
                    hint="read the topics apart, or give one schema= for both",
                )
    if raw:
        columns |= {name: RAW[name] for name in RAW_COLUMNS}
    columns["decode_error"] = pl.String()
    if rest:
        columns["_rest"] = pl.String()
    if marks:
        columns["_tombstone"] = pl.Boolean()
    return pl.Schema(columns)


def payload_columns(decoding: Decoding, topic: str, *, raw: bool = False) -> dict[str, pl.DataType]:
    """Name and type of the columns that the payload of one topic becomes."""
    if decoding.value not in PLAIN_FORMATS:
        schema = decoding.schema(topic) or Schema({})
        columns = {column: schema[field] for field, column in schema.columns.items()}
    elif raw and decoding.value == "bytes":
        columns = {}  # the record's own value is that column
    else:
        columns = {"value": PLAIN_FORMATS[decoding.value]}
    renamed = beside_raw(columns) if raw else {}
    return {renamed.get(name, name): dtype for name, dtype in columns.items()}


def _fields(decoding: Decoding, topic: str) -> list[str]:
    """The fields behind the payload's columns, in their order; none where no schema says them."""
    return [] if decoding.value in PLAIN_FORMATS else list(decoding.schema(topic) or ())


def decode_chunk(
    chunk: Chunk,
    decoding: Decoding,
    codebook: Codebook,
    *,
    times: TimeFilter | None = None,
    keys: tuple[bytes, ...] | None = None,
    schema_ids: tuple[int, ...] | None = None,
    raw: bool = False,
    rest: bool = False,
    marks: bool = False,
) -> pl.LazyFrame:
    """One chunk as decoded columns, filtered; what is stored decoded is not decoded again."""
    columns = payload_columns(decoding, chunk.topic)
    if raw and decoding.value == "bytes":
        columns = {}
    renamed = beside_raw(columns) if raw else {}
    if is_stored(chunk, decoding):
        assert chunk.typed is not None
        frame = chunk.typed
        if raw:
            frame = pl.concat(
                [frame.rename(renamed), chunk.raw.select(RAW_COLUMNS)], how="horizontal"
            )
        frame = _filtered(frame, times, keys, frame.collect_schema()["key"])
        if decoding.key == "bytes":
            frame = frame.with_columns(pl.col("key").cast(pl.Binary))
    elif decoding.value == decoding.key == "bytes":
        frame = _kept(chunk.raw, times, keys, schema_ids, codebook).with_columns(
            decode_error=pl.lit(None, dtype=pl.String),
            _rest=pl.lit(None, dtype=pl.String),
            _tombstone=pl.col("value").is_null(),
        )
    else:
        schema = frame_schema(decoding, [chunk.topic], raw=raw, rest=True, marks=True)

        def decode(records: pl.DataFrame) -> pl.DataFrame:
            decoded = decode_records(
                records,
                decoding.schema(chunk.topic) or Schema({}),
                key=decoding.key,
                format=decoding.value,
                codebook=codebook,
                topic=chunk.topic,
            )
            if raw:
                # What bytes decode to is the raw value itself.
                decoded = decoded.drop("value") if decoding.value == "bytes" else decoded
                decoded = decoded.rename(renamed).hstack(records.select(RAW_COLUMNS))
            return decoded.select(name for name in schema if name != "topic")

        frame = _kept(chunk.raw, times, keys, schema_ids, codebook).map_batches(
            decode,
            schema={name: dtype for name, dtype in schema.items() if name != "topic"},
            streamable=True,
        )
    names = [
        *(name for name in COORDINATES if name != "topic"),
        *(renamed.get(name, name) for name in columns),
        *(RAW_COLUMNS if raw else ()),
        "decode_error",
        *(["_rest"] if rest else []),
        *(["_tombstone"] if marks else []),
    ]
    return frame.select(pl.lit(chunk.topic, dtype=TOPIC).alias("topic"), *names)


def _kept(
    raw: pl.LazyFrame,
    times: TimeFilter | None,
    keys: tuple[bytes, ...] | None,
    schema_ids: tuple[int, ...] | None,
    codebook: Codebook,
) -> pl.LazyFrame:
    """The records that the slice's filters keep."""
    kept = _filtered(raw, times, keys, pl.Binary())
    if schema_ids is not None:

        def named(records: pl.Series) -> pl.Series:
            values, headers = records.struct.field("value"), records.struct.field("headers")
            ids = unframe(headed(values, headers, codebook.registry).values).ids
            return ids.is_in(pl.Series(schema_ids, dtype=pl.Int64).implode())

        by_id = pl.struct("value", "headers").map_batches(named, pl.Boolean, is_elementwise=True)
        kept = kept.filter(by_id)
    # A few values would keep all the memory that was fetched; a slice is a copy.
    return (
        kept
        if keys is None and schema_ids is None
        else kept.with_columns(pl.col("value").bin.slice(0))
    )


def is_stored(chunk: Chunk, decoding: Decoding) -> bool:
    """Whether the chunk's companion holds these columns: same schema, keys as asked for."""
    schema = decoding.schema(chunk.topic)
    if chunk.typed is None or schema is None or decoding.value != "json":
        return False
    if chunk.typed_schema != schema.fingerprint:
        return False
    return decoding.key == "bytes" or chunk.typed.collect_schema()["key"] == pl.String


def beside_raw(columns: Sequence[str] | dict[str, pl.DataType]) -> dict[str, str]:
    """New names for the payload columns that `raw=True` would collide with."""
    renamed: dict[str, str] = {}
    for name in columns:
        if name in RAW_COLUMNS:
            renamed[name] = f"value_{name}"
            while renamed[name] in columns:
                renamed[name] = f"value_{renamed[name]}"
    return renamed


def _filtered(
    frame: pl.LazyFrame,
    times: TimeFilter | None,
    keys: tuple[bytes, ...] | None,
    key_type: pl.DataType,
) -> pl.LazyFrame:
    """The rows of stored columns that the slice's filters keep."""
    conditions: list[pl.Expr] = []
    at = pl.col("timestamp")
    if times is not None and times.start_ms is not None:
        conditions.append(at >= literal(times.start_ms))
    if times is not None and times.end_ms is not None:
        conditions.append(at < literal(times.end_ms))
    if keys is not None:
        wanted: list[bytes] | list[str] = list(keys)
        if key_type == pl.String:
            wanted = [key.decode() for key in keys if is_text(key)]
        conditions.append(pl.col("key").is_in(pl.Series(wanted, dtype=key_type).implode()))
    # A filter that keeps all still copies the columns.
    return frame.filter(*conditions) if conditions else frame


def is_text(key: bytes) -> bool:
    """Whether a key is UTF-8."""
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
