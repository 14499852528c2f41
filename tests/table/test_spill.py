"""A table that outgrows the memory goes on in files, and nobody can tell from its answers."""

from __future__ import annotations

import gc
import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings

import workbench as wb
from workbench.errors import ReadLimitExceeded
from workbench.table import aggregation, machine, memory, spill
from workbench.table.definition import define

from . import model
from .examples import streams
from .test_table import BYS, PARTITIONS, append, check, logged, table


@pytest.fixture
def tight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No state fits; the folder where its files are."""
    folder = tmp_path / "files"
    folder.mkdir()
    return spilling(monkeypatch, folder)


def spilling(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    patch.setenv("WORKBENCH_CACHE", "off")
    patch.setattr(aggregation, "WAITING_ROWS", -1)
    patch.setattr(aggregation, "fits", lambda size: False)
    patch.setattr(spill, "PARTS", 3)
    patch.setattr("tempfile.tempdir", str(folder))
    patch.setenv("TMPDIR", str(folder))
    return folder


@settings(max_examples=max(5, settings.default.max_examples // 4))
@given(streams(PARTITIONS), streams(PARTITIONS), BYS)
def test_a_table_in_files_is_the_fold_of_its_records(
    events: list[model.Event], more: list[model.Event], by: tuple[str, ...]
) -> None:
    ends = {p: sum(e.partition == p for e in events) for p in range(PARTITIONS)}
    more = [
        model.Event(e.partition, e.offset + ends[e.partition], e.timestamp, e.key, e.value, e.error)
        for e in more
    ]
    half = {p: end // 2 for p, end in ends.items()}
    with (
        pytest.MonkeyPatch.context() as patch,
        logged(events, sealed=len(events) // 2) as tx,
    ):
        folder = Path(tx.source.backend.hint).parent / "files"
        folder.mkdir()
        spilling(patch, folder)
        balances = table(tx, by)
        check(balances.now(), events, by)
        check(balances.at(half), model.before(events, half), by)
        if more:
            with wb.connect(tx.source.backend.hint) as log:
                append(log, more)
        check(balances.now(), events + more, by)  # goes on from files
        assert bool(list(folder.iterdir())) == bool(events + more)
        del balances
        gc.collect()
        assert list(folder.iterdir()) == []


KEYS: list[tuple[pl.DataType, list[Any]]] = [
    (pl.Float64(), [0.0, -0.0, float("nan"), 1.5, None]),
    (pl.Binary(), [b"", b"\xff", b"a", None]),
    (pl.Boolean(), [True, False, None]),
    (pl.Decimal(10, 2), ["0.00", "1.10", "-1.10", None]),
    (pl.Date(), ["2026-11-03", "2026-11-04", None]),
]


@pytest.mark.parametrize(("dtype", "keys"), KEYS, ids=[str(dtype) for dtype, _ in KEYS])
def test_a_key_of_any_type_is_one_row(tight: Path, dtype: pl.DataType, keys: list[Any]) -> None:
    schema = {"offset": pl.Int64(), "topic": pl.Categorical(), "k": dtype}
    engine = aggregation.Aggregation(define(("topic", "k"), {"n": pl.len()}, schema), schema)
    values = pl.Series("k", keys)
    values = values.str.to_date() if dtype == pl.Date else values.cast(dtype)
    frame = pl.DataFrame({"k": values}).with_columns(
        pl.lit("tx").cast(pl.Categorical).alias("topic"),
        offset=pl.int_range(pl.len()),
        _at=pl.lit(0, pl.Int64),
        _lane=pl.lit(0, pl.Int64),
        _counts=True,
        _tombstone=False,
    )
    frames = [frame.slice(n, 2) for n in range(0, frame.height, 2)] * 2
    state = engine.fold(engine.empty(), frames, lambda torn: [])
    assert isinstance(state, spill.Spilled)
    expected = pl.concat(frames).group_by("topic", "k").agg(n=pl.len().cast(pl.Int64))
    assert engine.finalise(state).equals(expected.sort("topic", "k", nulls_last=True))


@pytest.fixture
def tx(log: wb.Log) -> wb.Stream:
    log.create("tx", schema={"account": pl.String, "qty": pl.Int64})
    log.append("tx", [{"account": f"A-{n % 5}", "qty": n} for n in range(40)], key="account")
    return log.stream("tx")


def test_all_that_a_table_is_asked_it_answers_from_files(
    tx: wb.Stream, request: pytest.FixtureRequest
) -> None:
    def answers() -> list[pl.DataFrame]:
        balances = tx.table(by="account", total=pl.col("qty").sum(), last=pl.col("qty").last())
        return [
            balances.now().frame,
            balances.diff({0: 10}, "now").frame,
            balances.explain(pl.col("total") > 150),
            balances.history("A-3", at={0: 30}),
            tx.enrich(balances, on="account", as_of={0: 20}),
        ]

    plain = answers()
    request.getfixturevalue("tight")
    for one, other in zip(answers(), plain, strict=True):
        assert one.equals(other)


def hold(log: Path, folder: Path, made: Event) -> None:
    with pytest.MonkeyPatch.context() as patch, wb.connect(log) as opened:
        spilling(patch, folder)
        balances = opened.stream("tx").table(by="account", total=pl.col("qty").sum())
        balances.now()
        made.set()
        time.sleep(3600)


def test_the_files_of_the_killed_go_and_those_of_the_living_stay(
    tx: wb.Stream, tight: Path
) -> None:
    spawn = multiprocessing.get_context("spawn")
    others = []
    for _ in range(2):
        made = spawn.Event()
        others.append(spawn.Process(target=hold, args=(tx.source.backend.hint, tight, made)))
        others[-1].start()
        assert made.wait(60)
    assert len(list(tight.iterdir())) == 2
    try:
        for left in (1, 0):
            others.pop().kill()
            while multiprocessing.active_children()[left:]:
                time.sleep(0.01)
            balances = tx.table(by="account", total=pl.col("qty").sum())
            assert balances.now().frame.height == 5
            assert len(list(tight.iterdir())) == left + 1
            del balances
            gc.collect()
            assert len(list(tight.iterdir())) == left
    finally:
        for other in others:
            other.kill()


def test_what_does_not_fit_even_so_names_a_way_that_works(
    log: wb.Log, tx: wb.Stream, tight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 0)
    with pytest.raises(ReadLimitExceeded, match=r"keys so far.* 0 MB are free") as raised:
        tx.table(by="account", total=pl.col("qty").sum()).now()
    said = str(raised.value)
    query = said[said.index("SELECT") : said.index("', tx=")].replace("amount", "qty")
    every = pl.concat(log.sql(query.replace("= 0", f"= {n}"), tx=tx.all()) for n in range(8))
    plain = tx.all().frame().group_by("account").agg(pl.col("qty").sum())
    assert sorted(every.rows()) == sorted(plain.rows())


def test_a_disk_without_room_is_told(
    tx: wb.Stream, tight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    balances = tx.table(by="account", total=pl.col("qty").sum())
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_ipc", full)
        with pytest.raises(ReadLimitExceeded, match=r"cannot be written to .*No space.*TMPDIR"):
            balances.now()
    tight.rmdir()
    with pytest.raises(ReadLimitExceeded, match=r"cannot be written to a temporary folder.*TMPDIR"):
        balances.now()


def test_a_fold_that_outgrows_the_memory_says_so(
    tx: wb.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_BETWEEN_LOOKS", 10)
    monkeypatch.setattr(machine, "taken", lambda: 0)
    monkeypatch.setattr(memory, "available", lambda: 4_500)
    folded = tx.fold(by="account", step=lambda n, _: n + 1, initial=0)
    assert folded.at({0: 4}).frame.height == 4
    with pytest.raises(ReadLimitExceeded, match=r"5 keys so far.*keep less in the state"):
        folded.now()
