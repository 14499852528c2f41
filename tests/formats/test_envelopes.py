"""Envelopes as Debezium's and CloudEvents' own documentation shows them."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

import workbench as wb

SOURCE = {
    "version": "3.0.0.Final",
    "connector": "postgresql",
    "name": "shop",
    "ts_ms": 1_700_000_000_000,
    "snapshot": "false",
    "db": "shop",
    "sequence": '["24023119","24023128"]',
    "schema": "public",
    "table": "orders",
    "txId": 571,
    "lsn": 24_023_128,
    "xmin": None,
}
TRANSACTION = {"id": "571:53195832", "total_order": 1, "data_collection_order": 1}


def envelope(op: str, before: Any, after: Any, **more: Any) -> bytes:
    whole = {"before": before, "after": after, "source": SOURCE, "op": op, "ts_ms": 5}
    return json.dumps({**whole, "transaction": None, **more}).encode()


def append(log: wb.Log, topic: str, rows: list[tuple[str | None, bytes | None]]) -> None:
    log.create(topic)
    keyed = [{"key": key.encode() if key else None, "value": value} for key, value in rows]
    log.append(topic, keyed, encode="bytes")


def test_a_table_of_changes_with_transactions_deletes_and_truncation(log: wb.Log) -> None:
    one, two = {"id": 1, "total": 10}, {"id": 2, "total": 20}
    append(
        log,
        "orders",
        [
            ('{"id":1}', envelope("r", None, one)),
            ('{"id":2}', envelope("c", None, two, transaction=TRANSACTION)),
            ('{"id":1}', envelope("d", one, None)),
            ('{"id":1}', None),
            (None, envelope("t", None, None)),
        ],
    )
    stream = log.stream("orders", decode="debezium")
    frame = stream.all().frame()
    assert frame["op"].to_list() == ["r", "c", "d", None, "t"]
    assert "decode_error" not in frame.columns
    assert frame["transaction"].to_list()[1] == TRANSACTION
    assert frame["source"].to_list()[1]["lsn"] == SOURCE["lsn"]
    assert frame["id"].to_list() == [1, 2, 1, None, None]
    table = stream.table(by="key", total=pl.col("total").last())
    assert table.at({0: 4}).frame.to_dicts() == [{"key": '{"id":2}', "total": 20}]


def test_a_message_of_the_log_has_no_row(log: wb.Log) -> None:
    message = {"prefix": "audit", "content": "aGk="}
    body = {"op": "m", "ts_ms": 1, "source": SOURCE, "message": message}
    append(
        log,
        "orders",
        [
            ('{"id":1}', envelope("c", None, {"id": 1})),
            ('{"prefix":"audit"}', json.dumps(body).encode()),
        ],
    )
    stream = log.stream("orders", decode="debezium")
    assert stream.table(by="key", n=pl.len()).now().frame["key"].to_list() == ['{"id":1}']
    frame = stream.all().frame()
    assert frame["op"].to_list() == ["c", "m"]
    assert frame["message"].to_list() == [None, message]
    assert frame["id"].to_list() == [1, None]


def test_the_topic_of_schema_changes_is_no_changelog_and_reads_as_json(log: wb.Log) -> None:
    change = {
        "source": {"connector": "mysql", "server": "shop"},
        "databaseName": "shop",
        "ddl": "ALTER TABLE orders ADD note VARCHAR(20)",
        "tableChanges": [{"type": "ALTER", "id": '"shop"."orders"'}],
    }
    append(log, "shop", [('{"databaseName":"shop"}', json.dumps(change).encode())])
    assert log.stream("shop").all().frame()["ddl"].to_list() == [change["ddl"]]
    with pytest.raises(wb.errors.SchemaError, match="no Debezium envelopes"):
        _ = log.stream("shop", decode="debezium").schema


def test_a_batch_of_cloudevents_is_refused_with_a_sentence(log: wb.Log) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "made", "subject": "o-1"}
    log.create("events")
    batch = {"content-type": b"application/cloudevents-batch+json; charset=UTF-8"}
    structured = {"content-type": b"application/cloudevents+json"}
    for headers, body in ((structured, event), (batch, [event, event])):
        listed = [{"name": name, "value": value} for name, value in headers.items()]
        row = {"value": json.dumps(body).encode(), "headers": listed}
        log.append("events", [row], encode="bytes")
    frame = log.stream("events", decode="cloudevents").all().frame()
    assert frame["subject"].to_list() == ["o-1", None]
    assert "a batch of CloudEvents" in frame["decode_error"][1]
