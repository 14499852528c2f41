"""Long slices are read by plan where segments say what there is to count: no one can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.conftest import SOAK
from workbench.table import aggregation, parts, reading
from workbench.table.parts import Parts

from . import model
from .examples import AGGREGATES, FIELDS, maybe, same, streams, values
from .examples import rows_of as rows_by
from .test_table import PARTITIONS, append, check, counted, positions, table

#: What needs no record to be looked up, so that records may come as plans.
PICKS = {"first", "last", "last_known", "first_in"}
PLAIN = {name: one for name, one in AGGREGATES.items() if name not in PICKS}
BYS = [("account",), ("account", "kind"), ("key", "account"), ("partition",)]
Batch = list[model.Event]
EXAMPLES = 200 if SOAK else 20


@st.composite
def calm(draw: st.DrawFn) -> Batch:
    """Records that all decode and come in the order of their times; some without an account."""
    times = sorted(draw(st.lists(st.integers(0, 12), min_size=1, max_size=8)))
    named = draw(st.sampled_from([True, True, False]))
    events = []
    for at in times:
        value = draw(values)
        value["account"] = value["account"] or "c" if named else value["account"]
        value["kind"] = value["kind"] or "in" if named else value["kind"]
        partition, key = draw(st.integers(0, PARTITIONS - 1)), draw(maybe)
        events.append(model.Event(partition, 0, at, key or "k" if named else key, value))
    return events


@st.composite
def batches(draw: st.DrawFn) -> list[Batch]:
    """What is appended and sealed at a time, the last of it not: calm or anything.

    The times of one may lie behind all before, or go back.
    """
    several = calm() | calm() | streams(PARTITIONS)
    drawn = draw(st.lists(st.tuples(several, st.sampled_from([1, 1, 0])), min_size=2, max_size=4))
    offsets, since, found = dict.fromkeys(range(PARTITIONS), 0), 0, []
    for batch, later in drawn:
        since += 13 * later
        placed = []
        for event in batch:
            p = event.partition
            placed.append(replace(event, offset=offsets[p], timestamp=since + event.timestamp))
            offsets[p] += 1
        found.append(placed)
    return found


class Plans:
    """A log of batches, read as if all slices were long, and how many plans it made."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made = 0
        patch.setattr(reading, "BATCH_ROWS", 1)
        patch.setattr(parts, "LEAST_ROWS", 1)
        patch.setattr(parts, "PLAN_ROWS", 6)
        patch.setattr(aggregation, "WAITING_ROWS", 3)
        make = Parts._plan

        def counting(*args: Any) -> Any:
            self.made += 1
            return make(*args)

        patch.setattr(Parts, "_plan", counting)

    def logged(self, drawn: list[Batch], folder: str) -> Iterator[wb.Stream]:
        with wb.connect(Path(folder) / "log", create=True, durability="process") as log:
            log.create("tx", partitions=PARTITIONS, schema=FIELDS)
            for number, batch in enumerate(drawn):
                if batch:
                    append(log, batch)
                if number < len(drawn) - 1:
                    log.backend.seal("tx", force=True)  # type: ignore[attr-defined]
            yield log.stream("tx")


def planned(tx: wb.Stream, by: tuple[str, ...]) -> Any:
    aggregates: dict[str, Any] = {n: e for n, (e, _) in PLAIN.items() if n not in by}
    return tx.table(by=list(by), **aggregates)


def hold(state: Any, events: Batch, by: tuple[str, ...]) -> None:
    meanings = {name: meaning for name, (_, meaning) in PLAIN.items()}
    assert same(rows_by(state.frame, by), model.table(events, by, meanings))
    assert counted(state.counts) == model.counts(events, by)
    newest = max((e.timestamp for e in events), default=None)
    assert (state.newest is None) == (newest is None)


def test_a_table_of_plans_is_the_fold_of_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = Plans(monkeypatch)
    monkeypatch.setenv("WORKBENCH_CACHE", "off")

    @settings(max_examples=EXAMPLES)
    @given(batches(), st.sampled_from(BYS), st.data())
    def law(drawn: list[Batch], by: tuple[str, ...], data: st.DataObject) -> None:
        events = [event for batch in drawn for event in batch]
        with TemporaryDirectory() as folder:
            for tx in plans.logged(drawn, folder):
                balances, position = planned(tx, by), data.draw(positions(events))
                if data.draw(st.booleans()):
                    hold(balances.now(), events, by)
                hold(balances.at(position), model.before(events, position), by)
                hold(balances.now(), events, by)  # goes on from a state, within segments
                made = plans.made
                looked_up = data.draw(st.sampled_from([by, ("key",)]))
                check(table(tx, looked_up).now(), events, looked_up)
                assert plans.made == made

    law()
    assert plans.made >= EXAMPLES // 2


@pytest.mark.parametrize(("by", "planned_rows"), [("account", 3), ("partition", 4)])
def test_only_segments_with_nothing_to_count_are_read_by_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str, planned_rows: int
) -> None:
    plans = Plans(monkeypatch)
    monkeypatch.setenv("WORKBENCH_CACHE", "off")
    row = dict.fromkeys(FIELDS) | {"account": "a", "kind": "in", "qty": 1}
    segments: list[Batch] = [
        [model.Event(0, 0, 5, "k", row), model.Event(0, 1, 5, "k", row)],  # planned
        [model.Event(0, 2, 3, "k", row), model.Event(0, 3, 9, "k", row)],  # late
        [model.Event(0, 4, 9, "k", row | {"account": None})],  # nobody's, which is to be counted
        [model.Event(0, 5, 9, "k", None, error=True)],
        [model.Event(0, 6, 9, "k", None)],
        [model.Event(0, 7, 9, "k", row)],  # planned
        [model.Event(0, 8, 12, "k", row), model.Event(0, 9, 10, "k", row)],  # late within
    ]
    events = [event for batch in segments for event in batch]
    for tx in plans.logged([*segments, []], str(tmp_path)):
        balances = planned(tx, (by,))
        hold(balances.now(), events, (by,))
        whole = tx.source.slice(balances.start, balances.end())
        read = list(Parts(whole, ["tx"], balances._engine, reading.Tally()))
        heights = [part.collect().height for part in read if isinstance(part, pl.LazyFrame)]
        assert heights == [planned_rows]
