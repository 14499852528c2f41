"""Avro and Protobuf records into typed columns, against confluent-kafka and a DataFrame.

    python -m tests.benchmarks.bench_formats [RECORDS]

All in one run; the ratio of CPU times is what counts.  Confluent's deserialisers are given their
best form: a registry that answers from memory with one object, and no reader's schema, which would
have fastavro resolve every field.  Most of what is left of their time for Avro is spent outside
fastavro: version 2.16 walks the whole schema for its tags, for every record.  So fastavro alone is
measured beside it.
"""

from __future__ import annotations

import cProfile
import io
import json
import pstats
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import fastavro
import polars as pl
from confluent_kafka.schema_registry import Schema as ConfluentSchema
from confluent_kafka.schema_registry import topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.message_factory import GetMessageClass

from tests.benchmarks import table
from tests.formats.support import framed
from workbench.decode.codebook import Codebook
from workbench.decode.framed import decode_framed, framed_schema
from workbench.decode.protobuf.schemas import ProtobufSchema
from workbench.decode.registry import Kind, Registered

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


PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Payment {
  int64 id = 1; string account = 2; optional string counterparty = 3; string amount = 4;
  Currency currency = 5; google.protobuf.Timestamp at = 6; double risk = 7; bool flagged = 8;
  string note = 9; repeated string tags = 10; Place place = 11;
  message Place { string city = 1; int32 code = 2; }
  enum Currency { EUR = 0; USD = 1; }
}
"""


class _Held:
    """A registry of one schema, for both."""

    hint = "memory"

    def __init__(self, text: str, kind: Kind) -> None:
        self._ours = Registered(text, kind, 1)
        self._theirs = ConfluentSchema(text, kind)

    def by_id(self, schema_id: int) -> Registered:
        return self._ours

    def get_by_id(self, *_: Any) -> ConfluentSchema:
        return self._theirs

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


def cpu(work: Callable[[], Any]) -> tuple[float, float, Any]:
    began, clock = time.process_time(), time.perf_counter()
    made = work()
    return time.process_time() - began, time.perf_counter() - clock, made


def repeated(distinct: list[bytes], records: int) -> list[bytes]:
    return (distinct * -(-records // len(distinct)))[:records]


class Contest:
    """Readers of the same records, ours first; a row each."""

    def __init__(self, name: str, values: list[bytes], codebook: Codebook) -> None:
        size = sum(map(len, values[:20_000])) / min(len(values), 20_000)
        self._what = f"{len(values):,} {name} of {size:.0f} bytes"
        self._records = len(values)
        column = pl.Series(values, dtype=pl.Binary)
        schema = framed_schema(column.head(10), codebook)
        decode_framed(column.head(1_000), schema, codebook)
        self._ours, clock, decoded = cpu(lambda: decode_framed(column, schema, codebook))
        assert decoded.error.null_count() == len(values)
        self.fields = decoded.fields
        self.rows: list[dict[str, Any]] = []
        bounds = bounded_by(lambda: decode_framed(column.head(100_000), schema, codebook))
        self.add("workbench, by column", self._ours, clock, bounds)

    def add(self, reader: str, took: float, clock: float, bounds: str = "") -> None:
        self.rows.append(
            {
                "records": self._what,
                "reader": reader,
                "CPU s": took,
                "s": clock,
                "M records/s of CPU": self._records / took / 1e6,
                "CPU, to ours": took / self._ours,
                "bound by (own time)": bounds,
            }
        )


def bounded_by(work: Callable[[], Any]) -> str:
    """Where the time of ours goes: the functions with the most of their own, by cProfile."""
    profile = cProfile.Profile()
    profile.runcall(work)
    found: Any = pstats.Stats(profile)
    own = sorted(((one[2], name) for name, one in found.stats.items()), reverse=True)
    return ", ".join(f"{name[2]} {took / found.total_tt:.0%}" for took, name in own[:4])


def avro(records: int) -> list[dict[str, Any]]:
    distinct = [framed(1, SCHEMA, payment(n)) for n in range(min(records, 20_000))]
    values = repeated(distinct, records)
    text = json.dumps(SCHEMA)
    held: Any = _Held(text, "AVRO")
    contest = Contest("Avro", values, Codebook(held))

    conf = {"subject.name.strategy": topic_subject_name_strategy}
    deserialise = AvroDeserializer(held, conf=conf)
    context = SerializationContext("payments", MessageField.VALUE)
    deserialise(values[0], context)
    took, clock, frame = cpu(
        lambda: pl.DataFrame([deserialise(value, context) for value in values])
    )
    assert frame["id"].equals(contest.fields["id"])
    contest.add("confluent, DataFrame", took, clock)

    parsed = fastavro.parse_schema(SCHEMA)

    def alone(value: bytes) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), parsed, None)

    took, clock, frame = cpu(lambda: pl.DataFrame([alone(value) for value in values]))
    contest.add("fastavro alone, DataFrame", took, clock)
    return contest.rows


def protobuf(records: int) -> list[dict[str, Any]]:
    codebook = Codebook(cast(Any, _Held(PROTO, "PROTOBUF")))
    made = GetMessageClass(ProtobufSchema(PROTO).named("Payment"))
    distinct = []
    for n in range(min(records, 20_000)):
        row = payment(n)
        at = row.pop("at")
        one = made(**{**row, "amount": str(row["amount"])})
        one.at.FromDatetime(at)
        distinct.append(b"\0\0\0\0\1\0" + one.SerializeToString())
    values = repeated(distinct, records)
    contest = Contest("Protobuf", values, codebook)

    deserialise = ProtobufDeserializer(made, {"use.deprecated.format": False})
    context = SerializationContext("payments", MessageField.VALUE)

    def theirs() -> pl.DataFrame:
        messages = [deserialise(value, context) for value in values]
        names = ("id", "account", "amount", "currency", "risk", "flagged", "note")
        columns: dict[str, Any] = {n: [getattr(one, n) for one in messages] for n in names}
        columns["counterparty"] = [
            one.counterparty if one.HasField("counterparty") else None for one in messages
        ]
        columns["at"] = [one.at.seconds * 1_000_000 + one.at.nanos // 1_000 for one in messages]
        columns["tags"] = [list(one.tags) for one in messages]
        columns["place"] = [{"city": one.place.city, "code": one.place.code} for one in messages]
        return pl.DataFrame(columns).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))

    took, clock, frame = cpu(theirs)
    assert frame["id"].equals(contest.fields["id"])
    assert frame["at"].equals(contest.fields["at"])
    contest.add("confluent, DataFrame", took, clock)
    took, clock, _ = cpu(lambda: [made.FromString(value[6:]) for value in values])
    contest.add("google's parser, no columns", took, clock)
    return contest.rows


def run(records: int = 1_000_000) -> list[dict[str, Any]]:
    """A row per format and reader."""
    return avro(records) + protobuf(records)


if __name__ == "__main__":
    print(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)))
