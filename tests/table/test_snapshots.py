"""Snapshots change what an answer costs, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.errors import OffsetOutOfRange
from workbench.private import private_folder
from workbench.table import Table, plain, snapshots

from . import model
from .examples import EPOCH, EXPRESSIONS, MEANINGS, ends, rows_of, same, streams
from .test_table import BYS, PARTITIONS, append, check, counted, logged, step, table

qty, amount = pl.col("qty"), pl.col("amount")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The private folder; every fold is worth a snapshot, and long ones stop for some."""
    return eager(monkeypatch, tmp_path / "private")


def eager(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    patch.setenv("WORKBENCH_CACHE", str(folder))
    patch.setattr(snapshots, "LEAST_SECONDS", 0.0)
    patch.setattr(snapshots, "WORTH", 0.0)
    patch.setattr(snapshots, "STOP_WORTH", 0.0)
    patch.setattr(snapshots, "LEAST_STEP", 5)
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


class Reads:
    """How many records a log has handed out, as offsets."""

    def __init__(self, log: wb.Log, patch: pytest.MonkeyPatch) -> None:
        self.offsets = 0
        read = log.backend.read

        def counting(topic: str, partition: int, start: int, end: int, *rest: Any) -> Any:
            self.offsets += end - start
            return read(topic, partition, start, end, *rest)

        patch.setattr(log.backend, "read", counting)

    def during(self, call: Callable[[], Any]) -> int:
        before = self.offsets
        call()
        return self.offsets - before


@pytest.fixture
def tx(log: wb.Log) -> wb.Stream:
    log.create("tx", partitions=2, schema={"account": pl.String, "qty": pl.Int64})
    grow(log, 100)
    return log.stream("tx")


def grow(log: wb.Log, records: int) -> None:
    rows = [{"account": f"A-{n % 7}", "qty": n} for n in range(records)]
    log.append("tx", rows, key="account")


def balances(tx: wb.Stream) -> Table:
    return tx.table(by="account", total=qty.sum(), events=pl.len(), last=qty.last())


moments = st.one_of(
    st.just("now"),
    st.tuples(st.just("at"), st.randoms(use_true_random=False)),
    st.tuples(st.just("time"), st.integers(0, 13)),
    st.tuples(st.just("record"), st.integers(0, 13)),
    st.tuples(st.just("append"), streams(PARTITIONS)),
    st.just("restart"),
    st.just("forget"),
)


@settings(max_examples=settings.default.max_examples // 2)
@given(streams(PARTITIONS), BYS, st.lists(moments, min_size=2, max_size=8), st.integers(0, 30))
def test_whatever_was_asked_before_an_answer_is_the_fold_of_the_records(
    events: list[model.Event], by: tuple[str, ...], asked: list[Any], sealed: int
) -> None:
    """Any order of questions, appends, restarts, and deletions of what was kept."""
    with (
        pytest.MonkeyPatch.context() as patch,
        logged(events, sealed=min(sealed, len(events))) as tx,
    ):
        folder = eager(patch, Path(tx.source.backend.hint).parent / "private")
        held = table(tx, by)
        for ask in [*asked, "restart", "now"]:
            match ask:
                case "now":
                    check(held.now(), events, by)
                case "restart":
                    held = table(wb.Log(tx.source.backend, tz=UTC, max_read=None).stream("tx"), by)
                case "forget":
                    shutil.rmtree(folder, ignore_errors=True)
                case ("at", random):
                    at = {p: random.randint(0, end) for p, end in ends(events).items()}
                    check(held.at(at), model.before(events, at), by)
                case ("time", at):
                    cut = model.cut(events, at, range(PARTITIONS))
                    state = held.at(EPOCH + timedelta(milliseconds=at))
                    check(state, model.before(events, cut), by)
                case ("record", at):
                    stamped = [e for e in events if e.timestamp < at]
                    state = held.at(EPOCH + timedelta(milliseconds=at), as_of="record")
                    check(state, stamped, by)
                case ("append", more):
                    first = ends(events)
                    moved = [replace(e, offset=e.offset + first[e.partition]) for e in more]
                    if moved:
                        append(wb.Log(tx.source.backend, tz=UTC, max_read=None), moved)
                    events = events + moved


@given(streams(partitions=1), st.sampled_from([("account",), ("key",)]), st.data())
def test_a_fold_goes_on_from_its_snapshots(
    events: list[model.Event], by: tuple[str, ...], data: st.DataObject
) -> None:
    initial = {"seen": [], "digest": 7}

    def pure(state: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
        return step({"seen": list(state["seen"]), "digest": state["digest"]}, record)

    with pytest.MonkeyPatch.context() as patch, logged(events) as tx:
        eager(patch, Path(tx.source.backend.hint).parent / "private")
        for _ in range(3):
            folded = tx.fold(by=by[0], step=step, initial=initial, version="1")
            for _ in range(2):
                end = data.draw(st.integers(0, len(events)))
                state = folded.at({0: end, 1: 0, 2: 0})
                before = model.before(events, {0: end, 1: 0, 2: 0})
                assert rows_of(state.frame, by) == model.fold(before, by, pure, initial)
                assert counted(state.counts) == model.counts(before, by)


def test_now_reads_only_what_came_since(
    log: wb.Log, tx: wb.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = balances(tx)
    table.now()
    grow(log, 3)
    reads = Reads(log, monkeypatch)
    assert reads.during(table.now) == 3
    assert reads.during(table.now) == 0
    assert table.now().frame.equals(balances(tx).now().frame)


def test_a_new_table_goes_on_from_the_files_of_an_older_one(
    log: wb.Log, tx: wb.Stream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "LEAST_STEP", 200)
    grow(log, 900)
    before = balances(tx).now()
    middle = {tp[1]: end * 2 // 3 for tp, end in tx.source.end().items()}
    fresh = balances(tx).at(middle)
    assert len(files(folder)) > 3
    grow(log, 10)
    reads = Reads(log, monkeypatch)
    table = balances(tx)
    # Ten new ones, and those that witnesses look at.
    assert reads.during(table.now) < 100
    assert reads.during(lambda: table.at(middle)) < 100
    assert table.at(before.position).frame.equals(before.frame)
    assert table.at(middle).frame.equals(fresh.frame)
    shutil.rmtree(folder)
    assert reads.during(balances(tx).now) >= 1010


def test_record_time_reads_what_is_late_and_no_more(
    log: wb.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.create("tx", schema={"account": pl.String, "qty": pl.Int64, "at": pl.Int64})
    rows = [{"account": "A", "qty": n, "at": n * 1000} for n in range(1000)]
    log.append("tx", [*rows, {"account": "A", "qty": 7, "at": 10}], timestamp="at")
    log.maintain()
    table = log.stream("tx").table(by="account", total=qty.sum())
    when = datetime.fromtimestamp(500, UTC)
    assert table.at(when).frame["total"].to_list() == [sum(range(500))]
    reads = Reads(log, monkeypatch)
    assert reads.during(lambda: table.at(when, as_of="record")) <= 501
    assert table.at(when, as_of="record").frame["total"].to_list() == [sum(range(500)) + 7]


OTHERS: dict[str, Callable[[wb.Log], Table]] = {
    "an aggregate": lambda log: log.stream("tx").table(by="account", total=qty.max()),
    "its input": lambda log: log.stream("tx").table(by="account", total=(qty + 1).sum()),
    "its filter": lambda log: log.stream("tx").table(by="account", total=qty.filter(qty > 1).sum()),
    "its finaliser": lambda log: log.stream("tx").table(by="account", total=qty.sum() + 1),
    "its name": lambda log: log.stream("tx").table(by="account", sum=qty.sum()),
    "one more": lambda log: log.stream("tx").table(by="account", total=qty.sum(), n=pl.len()),
    "the key": lambda log: log.stream("tx").table(by="key", total=qty.sum()),
    "two keys": lambda log: log.stream("tx").table(by=["account", "partition"], total=qty.sum()),
    "the start": lambda log: log.stream("tx").table(
        by="account", start={0: 1, 1: 0}, total=qty.sum()
    ),
    "the keys' form": lambda log: log.stream("tx", decode_key="bytes").table(
        by="account", total=qty.sum()
    ),
    "the schema": lambda log: log.stream(
        "tx", schema={"account": pl.String, "qty": pl.Int32}
    ).table(by="account", total=qty.sum()),
    "the topics": lambda log: log.stream(["other", "tx"]).table(by="account", total=qty.sum()),
    "a fold": lambda log: fold(log),
}


def add(total: int, record: dict[str, Any]) -> int:
    return total + record["qty"]


def subtract(total: int, record: dict[str, Any]) -> int:
    return total - record["qty"]


def fold(log: wb.Log, step: Any = add, initial: Any = 0, version: str | None = "1") -> Table:
    return log.stream("tx").fold(by="account", step=step, initial=initial, version=version)


@pytest.mark.parametrize("what", OTHERS)
def test_a_changed_definition_never_meets_an_old_snapshot(
    log: wb.Log, tx: wb.Stream, folder: Path, what: str
) -> None:
    log.create("other", schema={"account": pl.String, "qty": pl.Int64})
    log.append("other", [{"account": "A-1", "qty": 1}])
    log.stream("tx").table(by="account", total=qty.sum()).now()
    before = names(folder)
    assert len(before) == 1
    OTHERS[what](log).now()
    assert len(names(folder) - before) == 1
    log.stream("tx").table(by="account", total=qty.sum()).now()
    assert len(names(folder)) == 2


def test_another_library_never_meets_an_old_snapshot(
    tx: wb.Stream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balances(tx).now()
    monkeypatch.setattr(pl, "__version__", "99.0")
    balances(tx).now()
    monkeypatch.setattr(snapshots, "FORMAT", 99)
    balances(tx).now()
    assert len(names(folder)) == 3


def test_a_fold_is_told_apart_by_its_version_step_and_initial(
    log: wb.Log, tx: wb.Stream, folder: Path
) -> None:
    fold(log).now()
    for other in ({"version": "2"}, {"step": subtract}, {"initial": 5}):
        before = names(folder)
        fold(log, **other).now()
        assert len(names(folder) - before) == 1


def test_a_fold_without_a_version_or_of_odd_values_leaves_no_file(
    log: wb.Log, tx: wb.Stream, folder: Path
) -> None:
    fold(log, version=None).now()
    state = fold(log, step=lambda state, record: np.int64(record["qty"])).now()
    assert state.frame["state"].sum() == sum(range(93, 100))
    assert files(folder) == []


def names(folder: Path) -> set[str]:
    return {path.parent.name for path in files(folder)}


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "no parquet"])
def test_a_damaged_snapshot_is_ignored_with_a_warning(
    tx: wb.Stream, folder: Path, damage: str
) -> None:
    whole = balances(tx).now()
    for path in files(folder):
        content = bytearray(path.read_bytes())
        if damage == "flipped":
            content[len(content) // 3] ^= 0x10
        path.write_bytes(
            {
                "flipped": bytes(content),
                "truncated": bytes(content[: len(content) // 2]),
                "empty": b"",
                "no parquet": b"cos\nsystem\n(S'false'\ntR.",
            }[damage]
        )
    damaged = len(files(folder))
    with pytest.warns(RuntimeWarning, match=r"the snapshot .* is not used") as warned:
        again = balances(tx).now()
    assert len([w for w in warned if "snapshot" in str(w.message)]) == damaged
    assert again.frame.equals(whole.frame)
    assert again.counts == whole.counts
    assert balances(tx).now().frame.equals(whole.frame)


def test_a_log_that_was_put_back_and_went_another_way_has_no_snapshots(
    tmp_path: Path, folder: Path
) -> None:
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("tx", schema={"account": pl.String, "qty": pl.Int64})
        grow(log, 20)
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    with wb.connect(tmp_path / "log") as log:
        grow(log, 20)
        balances(log.stream("tx")).now()
    shutil.rmtree(tmp_path / "log")
    shutil.move(tmp_path / "backup", tmp_path / "log")
    with wb.connect(tmp_path / "log") as log:
        log.append("tx", [{"account": "B", "qty": 1}] * 20, key="account")
        with pytest.warns(RuntimeWarning, match="other records than it was made from"):
            state = balances(log.stream("tx")).now()
        assert state.frame.filter(account="B")["total"].to_list() == [20]
        assert state.frame["total"].sum() == sum(range(20)) + 20


def test_a_log_that_was_put_back_may_differ_in_values_alone(tmp_path: Path, folder: Path) -> None:
    at = {"at": "2026-11-03T12:00"}
    with wb.connect(tmp_path / "log", create=True) as log:
        log.create("tx", schema={"account": pl.String, "qty": pl.Int64, "at": pl.String})
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    with wb.connect(tmp_path / "log") as log:
        log.append("tx", [{"account": "A", "qty": 1, **at}] * 40, timestamp="at")
        balances(log.stream("tx")).now()
    shutil.rmtree(tmp_path / "log")
    shutil.move(tmp_path / "backup", tmp_path / "log")
    with wb.connect(tmp_path / "log") as log:
        log.append("tx", [{"account": "A", "qty": 2, **at}] * 40, timestamp="at")
        with pytest.warns(RuntimeWarning, match="other records than it was made from"):
            state = balances(log.stream("tx")).now()
        assert state.frame["total"].to_list() == [80]


def test_a_snapshot_whose_last_records_have_expired_is_left_alone(
    log: wb.Log, folder: Path
) -> None:
    """Nobody can say any more whether it is of this log."""
    log.create("tx", schema={"account": pl.String, "qty": pl.Int64, "at": pl.Int64}, retention="1d")
    log.append("tx", [{"account": "A", "qty": 1, "at": 1_000}] * 4, timestamp="at")
    start = log.stream("tx").source.start()
    make = lambda: log.stream("tx").table(by="account", start=start, total=qty.sum())  # noqa: E731
    make().now()
    assert len(files(folder)) == 1
    log.backend.maintain()
    log.append("tx", [{"account": "A", "qty": 1, "at": 0}])
    with pytest.raises(OffsetOutOfRange, match="which has expired"):
        make().now()
    assert len(files(folder)) == 1


def test_a_folder_that_others_can_read_is_not_used(tx: wb.Stream, folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.warns(RuntimeWarning, match="not a folder of this user alone"):
        balances(tx).now()
    assert files(folder) == []
    folder.chmod(0o700)
    balances(tx).now()
    assert files(folder)


def test_a_folder_that_is_a_link_is_not_used(tx: wb.Stream, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(RuntimeWarning, match="not a folder of this user alone"):
        balances(tx).now()
    assert files(tmp_path / "elsewhere") == []


def test_the_private_folder_is_private(folder: Path) -> None:
    assert private_folder("tables") == folder / "tables"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_disk_use_is_bounded_and_the_oldest_use_goes_first(
    log: wb.Log, tx: wb.Stream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = balances(tx).now()
    (newest,) = [p for p in files(folder) if _records(p) == state.counts.records]
    for number, path in enumerate(files(folder)):
        os.utime(path, ns=(number, number) if path != newest else (10**9, 10**9))
    monkeypatch.setenv("WORKBENCH_CACHE_MB", "0")
    log.append("tx", [{"account": "A-1", "qty": 5}])
    balances(tx).now()
    assert files(folder) == []
    monkeypatch.setenv("WORKBENCH_CACHE_MB", "1")
    assert balances(tx).now().frame.height == 7
    assert files(folder)
    shutil.rmtree(folder)
    monkeypatch.setenv("WORKBENCH_CACHE_MB", "2 GB")
    with pytest.warns(RuntimeWarning, match="'2 GB' is no number of megabytes; 2048 are used"):
        assert balances(tx).now().frame.height == 7
    assert files(folder)


def _records(path: Path) -> int:
    import json

    told = json.loads(pl.read_parquet_metadata(path)["workbench"])
    return int(told["tally"]["counts"]["records"])


def test_without_a_folder_tables_work(
    tx: wb.Stream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = balances(tx).now()
    shutil.rmtree(folder)
    folder.write_text("a file in the way")
    assert balances(tx).now().frame.equals(kept.frame)
    monkeypatch.setenv("WORKBENCH_CACHE", "off")
    assert balances(tx).now().frame.equals(kept.frame)


def test_small_tables_leave_no_files(
    tx: wb.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "private"))
    monkeypatch.setattr(snapshots, "LEAST_SECONDS", 1e9)
    balances(tx).now()
    assert files(tmp_path) == [] or not files(tmp_path / "private")


PLAIN: list[Any] = [
    None, True, 0, 2**70, -1.5, float("inf"), "", "ä\x00", [], {}, (), (1, [2, (3,)]), b"\x00\xff",
    {"$": "tuple", "of": [1]}, {"a": {"$": {"$": 1}}}, Decimal("1.10"), Decimal("-0"),
    datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 3, 1, 2, 3, 4), date(2026, 11, 3),
    timedelta(days=-1, microseconds=5),
]  # fmt: skip


@given(
    st.recursive(
        st.sampled_from(PLAIN),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    back = plain.loads(plain.dumps(value))
    assert repr(back) == repr(value)
    assert back == value


@pytest.mark.parametrize(
    "value", [1j, {1: 2}, {1, 2}, object(), [object()], type("T", (int,), {})(3)]
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="no plain value"):
        plain.dumps(value)


def test_states_of_every_aggregate_survive_a_file(folder: Path) -> None:
    """Types included: integers of 128 bits, categories, lists, times."""
    fields = {"account": "a", "kind": "in", "rate": 0.5}
    events = [
        model.Event(
            n % 3, n // 3, n, "k" if n % 2 else None, {**fields, "amount": Decimal(n), "qty": n}
        )
        for n in range(12)
    ]
    with logged(events) as tx:
        extra = {
            "topics": pl.col("topic").n_unique(),
            "topic_last": pl.col("topic").last(),
            "when": pl.col("timestamp").max() - pl.col("timestamp").min(),
            "waited": (pl.col("timestamp") - pl.col("timestamp").dt.truncate("1h")).mean(),
        }
        make = lambda: tx.table(by="account", **EXPRESSIONS, **extra)  # noqa: E731
        whole = make().now().frame
        assert files(folder)
        again = make()
        monkey = again.now().frame
        assert monkey.equals(whole)
        assert monkey.schema == whole.schema
        assert same(
            rows_of(whole.drop(extra), ("account",)), model.table(events, ("account",), MEANINGS)
        )


def test_the_log_behind_a_file_is_looked_at_once(
    tx: wb.Stream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balances(tx).at({0: 20, 1: 20})
    monkeypatch.setattr(snapshots, "MEMORY_BYTES", 0)
    looked_at: list[Any] = []
    held = balances(tx)

    def witness(position: Any) -> str | None:
        looked_at.append(position)
        return held._moments.witness(position)

    monkeypatch.setattr(held._snapshots, "_witness", witness)
    monkeypatch.setattr(snapshots.Snapshots, "_save", lambda *_: None)
    first = held.at({0: 25, 1: 25})
    held.at({0: 1, 1: 1})  # the newest in memory is not before what is asked next
    assert len(looked_at) == 1
    assert held.at({0: 25, 1: 25}).frame.equals(first.frame)
    assert len(looked_at) == 1


def test_what_follows_a_log_leaves_fewer_files_than_what_looks_back(
    log: wb.Log, tx: wb.Stream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = balances(tx)
    held.now()
    monkeypatch.setattr(snapshots, "STOP_WORTH", 1e9)
    known = files(folder)
    for _ in range(3):
        grow(log, 10)
        held.now()
    assert files(folder) == known
    end = {partition: offset for (_, partition), offset in held.end().items()}
    held.at({partition: offset - 1 for partition, offset in end.items()})
    assert len(files(folder)) > len(known)


def test_a_folder_is_listed_again_only_when_it_has_changed(
    log: wb.Log, tx: wb.Stream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "LEAST_STEP", 1000)
    grow(log, 900)
    balances(tx).at({0: 10, 1: 10})
    held, other = balances(tx), balances(tx)
    monkeypatch.setattr(snapshots, "_TICK_NS", -(10**18))
    scandir, listed = os.scandir, []

    def counting(path: Any) -> Any:
        listed.append(path)
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(snapshots.os, "scandir", counting)
        patch.setattr(snapshots.Snapshots, "_save", lambda *_: None)
        for end in (11, 12, 13):
            held.at({0: end, 1: end})
        assert len(listed) == 1
    other.at({0: 250, 1: 250})  # leaves a file there
    loaded: list[str] = []
    load = snapshots.Snapshots._load

    def loading(self: Any, path: str) -> Any:
        loaded.append(path)
        return load(self, path)

    monkeypatch.setattr(snapshots.Snapshots, "_load", loading)
    assert held.at({0: 251, 1: 251}).counts.records == 502
    assert [_records(Path(path)) for path in loaded] == [500]


def test_states_near_each_other_are_held_once(
    log: wb.Log, tx: wb.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(log, 100)
    monkeypatch.setenv("WORKBENCH_CACHE", "off")
    monkeypatch.setattr(snapshots, "WORTH", 0.0)
    # By the guess of what a record costs states are no records apart, or 24.
    for seconds, kept in ((0.0, [*range(8, 84, 8)]), (24e-7, [8, 32, 56, 80])):
        monkeypatch.setattr(snapshots, "LEAST_SECONDS", seconds)
        held = balances(tx)
        for end in range(4, 44, 4):
            held.at({0: end, 1: end})
        ends = [one.distance for one, _ in held._snapshots._recent]
        assert sorted(ends) == kept
        assert held.at({0: 21, 1: 20}).counts.records == 41
