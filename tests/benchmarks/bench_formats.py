"""Avro records into typed columns, against confluent-kafka's deserialiser and a DataFrame.

    python -m tests.benchmarks.bench_formats [RECORDS]

Both in one run, by CPU time; the ratio is what counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from confluent_kafka.schema_registry import Schema as ConfluentSchema
from confluent_kafka.schema_registry import topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.formats.support import framed
from workbench.decode.codebook import Codebook
from workbench.decode.framed import decode_framed, framed_schema
from workbench.decode.registry import Registered

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "account", "type": "string"},
        {"name": "counterparty", "type": ["null", "string"]},
        {
            "name": "amount",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        },
        {"name": "currency", "type": {"type": "enum", "name": "C", "symbols": ["EUR", "USD"]}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "risk", "type": "double"},
        {"name": "flagged", "type": "boolean"},
        {"name": "note", "type": "string"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {
            "name": "place",
            "type": {
                "type": "record",
                "name": "Place",
                "fields": [{"name": "city", "type": "string"}, {"name": "code", "type": "int"}],
            },
        },
    ],
}


class _Held:
    """A registry of this one schema, for both."""

    hint = "memory"

    def by_id(self, schema_id: int) -> Registered:
        return Registered(json.dumps(SCHEMA), "AVRO", schema_id)

    def get_by_id(self, *_: Any) -> ConfluentSchema:
        return ConfluentSchema(json.dumps(SCHEMA), "AVRO")

    get_schema = get_by_id


def payment(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "account": f"A-{n % 50_000:08}",
        "counterparty": None if n % 3 else f"B-{n % 7_919:08}",
        "amount": Decimal(n % 10_000_000).scaleb(-2),
        "currency": "EUR" if n % 4 else "USD",
        "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=n),
        "risk": n / 7,
        "flagged": n % 97 == 0,
        "note": f"payment {n} of a customer, by standing order, " + "x" * (60 + n % 60),
        "tags": ["card", "abroad"][: n % 3],
        "place": {"city": "Lisbon", "code": n % 1000},
    }


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def main(records: int) -> None:
    distinct = [framed(1, SCHEMA, payment(n)) for n in range(min(records, 20_000))]
    values = (distinct * -(-records // len(distinct)))[:records]
    column = pl.Series(values, dtype=pl.Binary)
    size = sum(map(len, distinct)) / len(distinct)
    codebook = Codebook(_Held())  # type: ignore[arg-type]
    schema = framed_schema(column.head(10), codebook)
    decode_framed(column.head(1_000), schema, codebook)
    ours, decoded = cpu(lambda: decode_framed(column, schema, codebook))
    assert decoded.error.null_count() == records

    conf = {"subject.name.strategy": topic_subject_name_strategy}
    deserialise = AvroDeserializer(_Held(), json.dumps(SCHEMA), conf=conf)
    context = SerializationContext("payments", MessageField.VALUE)
    deserialise(values[0], context)
    theirs, frame = cpu(lambda: pl.DataFrame([deserialise(value, context) for value in values]))
    assert frame["id"].equals(decoded.fields["id"])
    print(f"{records:,} records of {size:.0f} bytes")
    print(f"  by column             {ours:7.2f} s CPU  {records / ours / 1e6:.2f} M records/s")
    print(f"  confluent, DataFrame  {theirs:7.2f} s CPU  {records / theirs / 1e6:.2f} M records/s")
    print(f"  ratio                 {theirs / ours:7.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
