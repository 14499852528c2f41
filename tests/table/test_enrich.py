"""Records meet the rows that were true when they were stamped, held against a model."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import CompactedTopic, DefinitionError

from . import model
from .examples import EPOCH, EPOCH_MS, FIELDS, MEANINGS, same, streams
from .test_questions import compacted
from .test_table import BYS, append, logged, step, table

BY_KEY = st.tuples(st.none() | st.sampled_from(["a", "b", "c"]), st.integers(0, 13))


def with_events(tx: wb.Stream, events: list[tuple[str | None, int]]) -> wb.Stream:
    """Another topic, of records that ask."""
    log = wb.Log(tx.source.backend, tz=tx.source.tz, max_read=None)
    log.create("asks", schema={"account": pl.String, "kind": pl.String, "at": pl.Int64})
    rows = [{"account": a, "kind": "in", "at": EPOCH_MS + at} for a, at in events]
    if rows:
        log.append("asks", rows, timestamp="at", key="account")
    return log.stream("asks")


@settings(max_examples=settings.default.max_examples // 2)
@given(streams(), BYS, st.lists(BY_KEY, max_size=6))
def test_each_record_meets_the_row_that_was_true_by_its_time(
    events: list[model.Event], by: tuple[str, ...], asks: list[tuple[str | None, int]]
) -> None:
    on = ["key" if name == "key" else name for name in by]
    with logged(events) as tx:
        asking = with_events(tx, asks)
        frame = asking.enrich(table(tx, by), on=on)
        assert frame.select("partition", "offset").equals(
            asking.all().frame().select("partition", "offset")
        )
    for row, (account, at) in zip(frame.rows(named=True), asks, strict=True):
        seen = [e for e in events if e.timestamp <= at]
        key = tuple("in" if name == "kind" else account for name in by)
        meant = model.table(seen, by, MEANINGS).get(key, dict.fromkeys(MEANINGS))
        for name in MEANINGS.keys() - set(by):
            assert same(row[name], meant[name])


def test_the_last_record_of_a_key_is_a_row(log: wb.Log) -> None:
    log.create("accounts", schema={"owner": pl.String, "limit": pl.Int64})
    log.create("tx", schema={"account": pl.String, "n": pl.Int64, "at": pl.Int64})
    states = [{"owner": "Ada", "limit": 1}, {"owner": "Ada", "limit": 2}, None]
    for second, state in enumerate(states):
        stamp = EPOCH + timedelta(seconds=10 * second)
        log.append("accounts", [state], key=lambda _: "A-1", timestamp=lambda _, s=stamp: s)
    rows = [{"account": "A-1", "n": n, "at": EPOCH_MS + n * 1000} for n in (-1, 0, 9, 10, 15, 20)]
    log.append("tx", rows, timestamp="at")
    accounts = log.stream("accounts").table(by="key")
    tx = log.stream("tx")
    met = tx.enrich(accounts, on="account")
    assert met["limit"].to_list() == [None, 1, 1, 2, 2, None]
    assert met["row_offset"].to_list() == [None, 0, 0, 1, 1, None]
    assert met.columns[:6] == ["topic", "partition", "offset", "timestamp", "key", "account"]
    assert tx.enrich(accounts, on="account", as_of="now")["limit"].to_list() == [None] * 6
    assert tx.enrich(accounts, on="account", as_of={0: 2})["limit"].to_list() == [2] * 6
    some = tx.between({0: 2}, {0: 4})
    assert some.enrich(accounts, on="account")["limit"].to_list() == [1, 2]


def test_a_fold_enriches_too(log: wb.Log) -> None:
    with logged(
        [
            model.Event(n % 3, n // 3, n, None, {"account": "abc"[n % 3], "qty": n})
            for n in range(12)
        ]
    ) as tx:
        asking = with_events(tx, [("a", 4), ("c", 1), ("b", 12), (None, 3)])
        fold = tx.fold(by="account", step=step, initial={"seen": [], "digest": 7})
        assert asking.enrich(fold, on="account")["seen"].to_list() == [
            [0, 1], None, [0, 1, 2, 3], None,
        ]  # fmt: skip


def test_a_state_is_no_table(log: wb.Log) -> None:
    tx = log.create("tx", schema={"account": pl.String})
    table = tx.table(by="account", n=pl.len())
    with pytest.raises(DefinitionError, match=r"not by a State .*as_of= says"):
        tx.enrich(table.now(), on="account")  # type: ignore[arg-type]


def test_what_does_not_fit_is_said(log: wb.Log) -> None:
    log.create("tx", schema=FIELDS)
    append(log, [model.Event(0, 0, 0, "a", {"account": "a"})])
    tx = log.stream("tx")
    two = tx.table(by=["account", "kind"], n=pl.len())
    one = tx.table(by="account", n=pl.len())
    asked: list[tuple[Any, Any, str]] = [
        (two, "account", "does not name the table's key, which is account, kind"),
        (two, ["account", "account"], "does not name"),
        (one, "acount", "did you mean 'account'"),
        (one, "qty", "'qty' is Int64, and the table's 'account' is String"),
    ]
    for rows, on, why in asked:
        with pytest.raises(DefinitionError, match=why):
            tx.enrich(rows, on=on)
    surviving = compacted(log).stream("tx")
    with pytest.raises(CompactedTopic):
        tx.enrich(surviving.table(by="account", n=pl.len()), on="account")


def test_a_field_that_would_be_written_over_is_refused(log: wb.Log) -> None:
    log.create("rates", schema={"of": pl.String, "rate": pl.Int64})
    log.create("tx", schema={"of": pl.String, "_at": pl.Int64})
    log.append("rates", {"of": "A", "rate": 1})
    log.append("tx", {"of": "A", "_at": 5})
    rates = log.stream("rates").table(by="of", rate=pl.col("rate").last())
    with pytest.raises(DefinitionError, match="'_at' is a name that tables use"):
        log.stream("tx").enrich(rates, on="of")
