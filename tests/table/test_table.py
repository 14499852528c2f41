"""Tables over a log, held against the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.records import APPEND
from workbench.table import Counts, State, reading

from . import model
from .examples import (
    EPOCH,
    EPOCH_MS,
    EXPRESSIONS,
    FIELDS,
    MEANINGS,
    ends,
    rows_of,
    same,
    streams,
    to_json,
)

BYS = st.sampled_from([("account",), ("key",), ("account", "kind")])
PARTITIONS = 3


def append(log: wb.Log, events: list[model.Event], topic: str = "tx") -> None:
    """The events as they are: their partitions, times, keys, and raw values."""
    records = pl.DataFrame(
        {
            "partition": [e.partition for e in events],
            "timestamp": [EPOCH_MS + e.timestamp for e in events],
            "key": [None if e.key is None else e.key.encode() for e in events],
            "value": [to_json(e) for e in events],
            "headers": [[] for _ in events],
        },
        schema={**APPEND, "timestamp": pl.Int64},
    ).cast({"timestamp": APPEND["timestamp"]})
    log.backend.append(topic, records)


@contextmanager
def logged(events: list[model.Event], *, sealed: int = 0) -> Iterator[wb.Stream]:
    """A log of the events, the first few of them in sealed segments."""
    with (
        TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        wb.connect(Path(folder) / "log", create=True, durability="process") as log,
    ):
        patch.setattr(reading, "BATCH_ROWS", 10)
        log.create("tx", partitions=PARTITIONS, schema=FIELDS)
        if sealed:
            append(log, events[:sealed])
            log.backend.seal("tx", force=True)  # type: ignore[attr-defined]
        if events[sealed:]:
            append(log, events[sealed:])
        yield log.stream("tx")


def table(tx: wb.Stream, by: tuple[str, ...]) -> Any:
    return tx.table(by=list(by), **{n: e for n, e in EXPRESSIONS.items() if n not in by})


def positions(events: list[model.Event]) -> st.SearchStrategy[dict[int, int]]:
    return st.fixed_dictionaries({p: st.integers(0, end) for p, end in ends(events).items()})


def counted(counts: Counts) -> dict[str, int]:
    return {
        name: getattr(counts, name)
        for name in ("records", "undecodable", "tombstones", "null_keys", "late")
    }


def check(state: State, events: list[model.Event], by: tuple[str, ...]) -> None:
    assert same(rows_of(state.frame, by), model.table(events, by, MEANINGS))
    assert counted(state.counts) == model.counts(events, by)
    keys = state.frame.select(by)
    assert keys.equals(keys.sort(by, nulls_last=True))


@settings(max_examples=settings.default.max_examples // 2)
@given(streams(), BYS, st.data())
def test_a_state_is_the_fold_of_the_records_before_it(
    events: list[model.Event], by: tuple[str, ...], data: st.DataObject
) -> None:
    with logged(events, sealed=data.draw(st.integers(0, len(events)))) as tx:
        balances = table(tx, by)
        check(balances.now(), events, by)
        position = data.draw(positions(events))
        state = balances.at(position)
        check(state, model.before(events, position), by)
        assert dict(state.position) == {("tx", p): offset for p, offset in position.items()}
        assert state.address.end == state.position
        assert wb.open_slice(state.address).frame().height == state.counts.records


@given(streams(), st.integers(0, 13), BYS)
def test_a_time_is_the_position_cut_at_it_and_late_arrivals_are_counted(
    events: list[model.Event], timestamp: int, by: tuple[str, ...]
) -> None:
    when = EPOCH + timedelta(milliseconds=timestamp)
    position = model.cut(events, timestamp, range(PARTITIONS))
    before = model.before(events, position)
    with logged(events) as tx:
        cut = table(tx, by).at(when)
        check(cut, before, by)
        stamped = [e for e in events if e.timestamp < timestamp]
        assert cut.counts.late_arrivals == len(stamped) - len(before)
        assert cut.counts.late_within_ms is None
        by_record = table(tx, by).at(when, as_of="record")
        check(by_record, stamped, by)
        assert by_record.counts.late_arrivals is None


@given(streams(), BYS, st.data())
def test_a_diff_is_what_differs_between_two_states(
    events: list[model.Event], by: tuple[str, ...], data: st.DataObject
) -> None:
    one, other = data.draw(positions(events)), data.draw(positions(events))
    with logged(events) as tx:
        diff = table(tx, by).diff(one, other)
    old, new = (model.table(model.before(events, p), by, MEANINGS) for p in (one, other))
    changes = {tuple(row[n] for n in by): row for row in diff.frame.rows(named=True)}
    assert {key: row["change"] for key, row in changes.items()} == model.diff(old, new)
    for key, row in changes.items():
        for side, rows in (("old", old), ("new", new)):
            for name in MEANINGS.keys() - set(by):
                meant = rows[key][name] if key in rows else None
                assert same(row[f"{side}_{name}"], meant)


@given(streams(), BYS, st.data())
def test_explain_gives_the_events_of_a_row_and_the_row_after_each(
    events: list[model.Event], by: tuple[str, ...], data: st.DataObject
) -> None:
    position = data.draw(positions(events))
    before = model.before(events, position)
    groups = model.table([e for e in before if not e.is_tombstone], by, {})
    key = data.draw(st.sampled_from(sorted(groups, key=repr) or [("a",) * len(by)]))
    deletes = by == ("key",) and key != (None,)
    mine = [
        e
        for e in sorted(before, key=lambda e: e.order)
        if not e.error and ((deletes and e.key == key[0]) if e.is_tombstone else _key(e, by) == key)
    ]
    with logged(events) as tx:
        balances = table(tx, by)
        explained = balances.explain(dict(zip(by, key, strict=True)), at=position)
        history = balances.history(key if len(by) > 1 else key[0], at=position)
    assert explained.select("partition", "offset").rows() == [(e.partition, e.offset) for e in mine]
    assert history.select("partition", "offset").rows() == [(e.partition, e.offset) for e in mine]
    for number, (row, brief) in enumerate(
        zip(explained.rows(named=True), history.rows(named=True), strict=True), start=1
    ):
        meant = model.table(mine[:number], by, MEANINGS).get(key, dict.fromkeys(MEANINGS))
        for name in MEANINGS.keys() - set(by):
            assert same(row[f"after_{name}"], meant[name])
            assert same(brief[name], meant[name])
        assert row["amount"] == (mine[number - 1].value or {}).get("amount")
        assert tuple(brief[name] for name in by) == key
        if by == ("key",):
            assert row["tombstone"] == mine[number - 1].is_tombstone


@given(streams(), st.data())
def test_without_aggregates_a_table_has_the_last_record_of_each_key(
    events: list[model.Event], data: st.DataObject
) -> None:
    position = data.draw(positions(events))
    with logged(events) as tx:
        frame = tx.table(by="key").at(position).frame
    latest = model.latest(model.before(events, position))
    assert frame.columns == ["key", "topic", "partition", "offset", "timestamp", *FIELDS]
    assert frame.height == len(latest)
    for row in frame.drop("topic").rows(named=True):
        stamp = row.pop("timestamp")
        meant = latest[row["key"],]
        assert row | {"timestamp": int(stamp.timestamp() * 1000) - EPOCH_MS} == meant


def step(state: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """Order-sensitive on purpose; changes the state it is given."""
    state["seen"].append(record["offset"])
    state["digest"] = (state["digest"] * 31 + record["offset"] + (record["qty"] or 0)) % 1_000_003
    return state


@given(streams(partitions=1), st.sampled_from([("account",), ("key",)]), st.data())
def test_a_fold_runs_its_steps_in_the_order_of_offsets(
    events: list[model.Event], by: tuple[str, ...], data: st.DataObject
) -> None:
    position = dict.fromkeys(range(PARTITIONS), 0) | {0: data.draw(st.integers(0, len(events)))}
    before = model.before(events, position)
    initial = {"seen": [], "digest": 7}

    def pure(state: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
        return step({"seen": list(state["seen"]), "digest": state["digest"]}, record)

    with logged(events) as tx:
        folded = tx.fold(by=by[0], step=step, initial=initial)
        state = folded.at(position)
        diff = folded.diff(position, "now")
        explained = folded.explain("a")
    assert rows_of(state.frame, by) == model.fold(before, by, pure, initial)
    assert counted(state.counts) == model.counts(before, by)
    assert initial == {"seen": [], "digest": 7}
    new = model.fold(events, by, pure, initial)
    changes = {(row[by[0]],): row["change"] for row in diff.frame.rows(named=True)}
    assert changes == model.diff(model.fold(before, by, pure, initial), new)
    if ("a",) in new:
        assert explained["after_digest"].to_list()[-1] == new[("a",)]["digest"]


def _key(event: model.Event, by: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(event.row[name] for name in by)
