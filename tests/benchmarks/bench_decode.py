"""Decoding JSON records of some 220 bytes into typed columns, per second of one core.

Only ours are exact; the others let wrong values through, and are here as measures.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import polars as pl

from tests.benchmarks import table
from workbench.decode import decode_json
from workbench.schema import Schema

REPEATS = 5
SCHEMA = Schema(
    {
        "event_id": pl.String,
        "account": pl.String,
        "kind": pl.String,
        "amount": pl.Decimal(18, 2),
        "currency": pl.String,
        "balance": pl.Decimal(18, 2),
        "sequence": pl.Int64,
        "at": pl.Datetime("ms", "UTC"),
        "counterparty": pl.Struct({"iban": pl.String, "name": pl.String}),
        "card_present": pl.Boolean,
    }
)
#: The nearest that the others offer: times stay text; Polars reads Decimals through floats.
PLAIN = pl.Struct({**SCHEMA, "at": pl.String, "amount": pl.Float64, "balance": pl.Float64})


class Counterparty(msgspec.Struct):
    """For msgspec."""

    iban: str | None = None
    name: str | None = None


class Event(msgspec.Struct):
    """For msgspec."""

    event_id: str | None = None
    account: str | None = None
    kind: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    balance: Decimal | None = None
    sequence: int | None = None
    at: str | None = None
    counterparty: Counterparty | None = None
    card_present: bool | None = None


def run(records: int = 1_000_000) -> list[dict[str, Any]]:
    """A row per decoder: million records a second of processor time, and the ratio to DuckDB."""
    values = pl.Series("value", _events(records), dtype=pl.Binary)
    few = values.head(max(records // 20, 1))
    reordered = pl.Series("value", _events(records // 4, shuffled=True), dtype=pl.Binary)
    text = values.cast(pl.String)
    con = duckdb.connect()
    con.execute("SET threads = 1")
    con.register("events", _Arrow(values.to_frame()))
    types = {
        **dict.fromkeys(SCHEMA, "VARCHAR"),
        "amount": "DECIMAL(18,2)",
        "balance": "DECIMAL(18,2)",
        "sequence": "BIGINT",
        "counterparty": {"iban": "VARCHAR", "name": "VARCHAR"},
        "card_present": "BOOLEAN",
    }
    query = f"SELECT json_transform(value::JSON, '{json.dumps(types)}') FROM events"
    each = msgspec.json.Decoder(Event).decode
    contenders: dict[str, tuple[int, Callable[[], object]]] = {
        "workbench": (records, lambda: decode_json(values, SCHEMA)),
        "workbench, fields in any order": (
            len(reordered),
            lambda: decode_json(reordered, SCHEMA),
        ),
        "workbench, record by record": (
            len(few),
            lambda: [decode_json(few.slice(at, 100), SCHEMA) for at in range(0, len(few), 100)],
        ),
        "DuckDB json_transform": (records, lambda: pl.DataFrame(con.sql(query))),
        "msgspec, typed, to objects only": (len(few), lambda: [each(value) for value in few]),
        "Polars str.json_decode": (records, lambda: text.str.json_decode(PLAIN)),
    }
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(REPEATS):
        for name, (count, decode) in contenders.items():
            start = time.process_time()
            decode()
            best[name] = max(best[name], count / (time.process_time() - start))
    peer = best["DuckDB json_transform"]
    return [
        {"decoder": name, "M records/s of a core": rate / 1e6, "ratio to DuckDB": rate / peer}
        for name, rate in best.items()
    ]


def _events(count: int, *, shuffled: bool = False) -> list[bytes]:
    """Bank-like events; the same ones every time."""
    chance = random.Random(7)
    events = []
    for n in range(count):
        event = {
            "event_id": f"e{n:08d}",
            "account": f"A-{chance.randrange(1000, 9999)}",
            "kind": chance.choice(["deposit", "withdrawal", "transfer", "card"]),
            "amount": chance.randrange(1, 10**7) / 100,
            "currency": "EUR",
            "balance": chance.randrange(1, 10**9) / 100,
            "sequence": n,
            "at": f"2026-11-03T{n % 24:02d}:{n % 60:02d}:{n % 59:02d}.{n % 1000:03d}Z",
            "counterparty": {"iban": f"DE{chance.randrange(10**9, 10**10)}", "name": "Muster"},
            "card_present": n % 2 == 0,
        }
        if shuffled:
            names = list(event)
            chance.shuffle(names)
            event = {name: event[name] for name in names}
        events.append(json.dumps(event, separators=(",", ":")).encode())
    return events


class _Arrow:
    """What DuckDB takes without pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


if __name__ == "__main__":
    print(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)))
