"""Tables that are fed by changelogs: upserts with tombstones, and the changes of a database."""

from __future__ import annotations

import json
import warnings
from typing import Any

import polars as pl
import pytest

import workbench as wb
from workbench.errors import Truncated

from .conftest import Kind

Row = dict[str, Any]


def change(op: str, before: Row | None, after: Row | None) -> bytes:
    return json.dumps({"op": op, "before": before, "after": after, "ts_ms": 1}).encode()


def person(number: int, name: str) -> Row:
    return {"id": number, "name": name}


def append(log: wb.Log, topic: str, records: list[tuple[bytes | None, bytes | None]]) -> None:
    log.append(topic, [{"key": key, "value": value} for key, value in records], encode="bytes")


def rows(table: Any, when: Any = "now") -> dict[str, str]:
    return dict(table.at(when).frame.select("key", "name").rows())


def test_upserts_and_tombstones_are_the_table_that_they_tell_of(
    shared_log: wb.Log, kind: Kind
) -> None:
    shared_log.create("upserts", partitions=1, schema={"name": pl.String})
    append(shared_log, "upserts", [(b"1", b'{"name":"Ada"}'), (b"2", b'{"name":"Bo"}')])
    kind.settle(shared_log)
    people = shared_log.stream("upserts").table(by="key")
    assert rows(people) == {"1": "Ada", "2": "Bo"}
    append(shared_log, "upserts", [(b"1", b'{"name":"Ada L."}'), (b"2", None)])
    assert rows(people) == {"1": "Ada L."}
    assert rows(people, {0: 3}) == {"1": "Ada L.", "2": "Bo"}
    append(shared_log, "upserts", [(b"2", b'{"name":"Bob"}')])
    assert rows(people) == {"1": "Ada L.", "2": "Bob"}
    assert people.history("2")["name"].to_list() == ["Bo", None, "Bob"]
    assert people.now().counts.tombstones == 1


def test_changes_of_a_database_are_its_table_and_feed_other_streams(
    shared_log: wb.Log, kind: Kind
) -> None:
    shared_log.create("people", partitions=1)
    ada, bo, ada_l = person(1, "Ada"), person(2, "Bo"), person(1, "Ada L.")
    append(
        shared_log,
        "people",
        [
            (b'{"id":1}', change("r", None, ada)),
            (b'{"id":2}', change("c", None, bo)),
            (b'{"id":1}', change("u", ada, ada_l)),
            (b'{"id":2}', change("d", bo, None)),
            (b'{"id":2}', None),
        ],
    )
    kind.settle(shared_log)
    stream = shared_log.stream("people", decode="debezium")
    people = stream.table(by="key", id=pl.col("id").last(), name=pl.col("name").last())
    assert rows(people) == {'{"id":1}': "Ada L."}
    assert rows(people, {0: 2}) == {'{"id":1}': "Ada", '{"id":2}': "Bo"}
    assert people.diff({0: 2}, "now").frame["change"].to_list() == ["changed", "removed"]
    assert people.now().counts.tombstones == 2

    shared_log.create("orders", partitions=1, schema={"n": pl.Int64})
    append(shared_log, "orders", [(b'{"id":1}', b'{"n":7}'), (b'{"id":2}', b'{"n":8}')])
    met = shared_log.stream("orders").enrich(people, on="key", as_of="now")
    assert met.sort("n")["name"].to_list() == ["Ada L.", None]


def test_a_truncation_is_told_once_and_counted(shared_log: wb.Log, kind: Kind) -> None:
    shared_log.create("emptied", partitions=1)
    append(
        shared_log,
        "emptied",
        [(b'{"id":1}', change("c", None, person(1, "Ada"))), (None, change("t", None, None))],
    )
    kind.settle(shared_log)
    append(shared_log, "emptied", [(b'{"id":2}', change("c", None, person(2, "Bo")))])
    stream = shared_log.stream("emptied", decode="debezium")
    people = stream.table(by="key", name=pl.col("name").last())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert people.at({0: 1}).counts.truncations == 0
    with pytest.warns(Truncated, match=r"emptied its table 1 time.*start= after the last") as told:
        state = people.now()
    assert len(told) == 1
    assert told[0].filename == __file__
    assert (state.counts.truncations, state.counts.tombstones) == (1, 1)
    assert "1 truncations" in str(state.counts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows(people) == {'{"id":1}': "Ada", '{"id":2}': "Bo"}
        later = stream.table(by="key", start={0: 2}, name=pl.col("name").last())
        assert rows(later) == {'{"id":2}': "Bo"}
    with pytest.warns(Truncated):
        assert stream.table(by="id", n=pl.len()).now().counts.truncations == 1
    for ask in (
        lambda table: table.explain('{"id":1}'),
        lambda table: table.history('{"id":2}'),
        lambda table: stream.enrich(table, on="key"),
        lambda table: stream.enrich(table, on="key", as_of="now"),
    ):
        asked = stream.table(by="key", name=pl.col("name").last())
        assert asked.explain('{"id":1}', at={0: 1})["after_name"].to_list() == ["Ada"]
        with pytest.warns(Truncated, match="emptied its table 1 time") as told:
            ask(asked)
        assert (len(told), told[0].filename) == (1, __file__)
        ask(asked)
    with pytest.warns(Truncated):
        assert stream.fold(by="key", step=lambda n, _: n + 1, initial=0).now().frame.height == 2
