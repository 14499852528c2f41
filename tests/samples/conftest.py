"""The made streams at their usual size, decoded with the standard library alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from workbench.samples import TopicSample, generate

Read = Callable[..., pl.DataFrame]


def decode(topic: TopicSample, raw: pl.DataFrame) -> pl.DataFrame:
    """Rows by arrival: `row`, `timestamp`, `headers`, `record_key`, `payload`, then the fields.

    Fields are cast from their JSON text; `bad` marks a value that is not what the schema says,
    and `unknown` lists the fields that the schema does not name.
    """
    assert topic.schema is not None
    rows: list[dict[str, Any]] = []
    for value in raw["value"]:
        try:
            fields = json.loads(value, parse_float=str, parse_int=str) if value else {}
            bad = isinstance(fields.get("amount"), str) and "," in fields["amount"]
        except ValueError:
            fields, bad = {}, True
        known = {name: None if bad else fields.get(name) for name in topic.schema}
        rows.append(known | {"bad": bad, "unknown": sorted(fields.keys() - topic.schema.keys())})
    text = dict.fromkeys(topic.schema, pl.String)
    decoded = pl.DataFrame(rows, schema={**text, "bad": pl.Boolean, "unknown": pl.List(pl.String)})
    typed = decoded.with_columns(
        pl.col(name).str.to_datetime(time_unit="ms", time_zone="UTC")
        if isinstance(dtype, pl.Datetime)
        else pl.col(name).str.to_date()
        if isinstance(dtype, pl.Date)
        else pl.col(name).cast(dtype)
        for name, dtype in topic.schema.items()
    )
    record = raw.select(
        "timestamp",
        "headers",
        pl.col("key").cast(pl.String).alias("record_key"),
        pl.col("value").alias("payload"),
    )
    return (
        pl.concat([record, typed], how="horizontal")
        .with_row_index("row")
        .with_columns(pl.col("row").cast(pl.Int64))
    )


@pytest.fixture(scope="session")
def read() -> Read:
    """`read(name, topic, events=, seed=)`: a decoded topic, made once."""
    made: dict[tuple[Any, ...], dict[str, pl.DataFrame]] = {}

    def read(name: str, topic: str, events: int | None = None, seed: int = 1) -> pl.DataFrame:
        asked = (name, events, seed)
        if asked not in made:
            stream = generate(name, events, seed)
            parts: dict[str, list[pl.DataFrame]] = {}
            for named, frame in stream.batches:
                parts.setdefault(named, []).append(frame)
            made[asked] = {
                t.name: decode(t, pl.concat(parts[t.name])) for t in stream.topics if t.schema
            }
        return made[asked][topic]

    return read
