"""The windows of the engine against a naive re-computation from all records."""

from __future__ import annotations

import os
from collections import defaultdict
from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.monitor.definition import Definition, define
from workbench.monitor.engine import Engine

SCHEMA = pl.Schema(
    {
        "topic": pl.Categorical(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "timestamp": pl.Datetime("ms", "UTC"),
        "key": pl.String(),
        "kind": pl.String(),
        "amount": pl.Int64(),
        "decode_error": pl.String(),
    }
)
EXAMPLES = 5000 if os.environ.get("WORKBENCH_SOAK") == "1" else 120


def plan(**options: object) -> Definition:
    given_options = {
        "window": 10,
        "every": None,
        "by": "kind",
        "time": "timestamp",
        "late": 0,
        "keep_ms": None,
        "alerts": None,
        "metrics": {
            "volume": pl.col("amount").sum(),
            "first": pl.col("amount").first(),
            "most": pl.col("amount").max(),
        },
    }
    return define(SCHEMA, **(given_options | options))  # type: ignore[arg-type]


def batch(records: list[dict[str, object]]) -> pl.DataFrame:
    """Records as a log's decoded frame; `at` is the time in milliseconds."""
    columns = {name: [r.get(name) for r in records] for name in SCHEMA if name != "timestamp"}
    columns["topic"] = ["bank"] * len(records)
    columns["timestamp"] = [r["at"] for r in records]
    return pl.DataFrame(columns, schema={**SCHEMA, "timestamp": pl.Int64()}).with_columns(
        pl.col("timestamp").cast(SCHEMA["timestamp"])
    )


def run(definition: Definition, batches: list[pl.DataFrame], partitions: range) -> Engine:
    engine = Engine(definition, SCHEMA, [("bank", p) for p in partitions])
    for frame in batches:
        engine.feed(frame)
    for partition in partitions:
        engine.finish(("bank", partition))
    return engine


def naive(definition: Definition, partitions: list[list[dict]]) -> dict[tuple, tuple]:
    """(start, kind) -> (volume, first, most, late), from all records at once."""
    size, step = definition.windows.size_ms, definition.windows.step_ms
    inside: dict[tuple, list] = defaultdict(list)
    late: dict[tuple, int] = defaultdict(int)
    for number, records in enumerate(partitions):
        newest = None
        for record in records:
            if record["decode_error"] is not None:
                continue
            at = record["at"]
            for start in range(-100, 200):
                if start % step or not start <= at < start + size:
                    continue
                passed = None if newest is None else newest - definition.late_ms
                window = (start, record["kind"])
                keep = definition.keep_ms
                if passed is not None and start + size <= passed:
                    late[window] += 1
                if keep is None or passed is None or start + size + keep > passed:
                    inside[window].append((at, number, record["offset"], record["amount"]))
            newest = at if newest is None else max(newest, at)
    result = {}
    for window in inside.keys() | late.keys():
        amounts = [amount for *_, amount in sorted(inside[window])]
        known = [a for a in amounts if a is not None]
        result[window] = (
            sum(known) if amounts else None,
            amounts[0] if amounts else None,
            max(known, default=None),
            late[window],
        )
    return result


def found(engine: Engine) -> dict[tuple, tuple]:
    rows = engine.rows().with_columns(pl.col("window_start").dt.epoch("ms"))
    taken = rows.select("window_start", "kind", "volume", "first", "most", "late").rows()
    return {(start, kind): tuple(values) for start, kind, *values in taken}


record = st.fixed_dictionaries(
    {
        "at": st.integers(-30, 90),
        "kind": st.sampled_from(["a", "b", None]),
        "amount": st.one_of(st.none(), st.integers(-5, 5)),
        "decode_error": st.sampled_from([None, None, None, "not JSON"]),
    }
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[list[dict]], list[pl.DataFrame]]:
    """Some partitions, and one way of reading them: interleaved, cut into batches."""
    partitions = [
        [
            {**r, "partition": number, "offset": offset * 2}
            for offset, r in enumerate(draw(st.lists(record, max_size=12)))
        ]
        for number in range(draw(st.integers(1, 3)))
    ]
    turns = [number for number, records in enumerate(partitions) for _ in records]
    queues = [iter(records) for records in partitions]
    order = [next(queues[number]) for number in draw(st.permutations(turns))]
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=6)))
    pieces = [order[a:b] for a, b in pairwise([0, *cuts, len(order)])]
    return partitions, [
        batch(sorted(piece, key=lambda r: (r["partition"], r["offset"]))) for piece in pieces
    ]


definitions = st.builds(
    lambda every, late, keep: plan(window=10, every=every, late=late, keep_ms=keep),
    every=st.sampled_from([None, 5, 3, 1]),
    late=st.sampled_from([0, 4, 25]),
    keep=st.sampled_from([None, 0, 12]),
)


@settings(max_examples=EXAMPLES)
@given(definitions, streams())
def test_rows_are_those_of_a_naive_computation_however_the_partitions_interleave(
    definition: Definition, stream: tuple[list[list[dict]], list[pl.DataFrame]]
) -> None:
    partitions, batches = stream
    engine = run(definition, batches, range(len(partitions)))

    assert found(engine) == naive(definition, partitions)
    decoded = [r for records in partitions for r in records if r["decode_error"] is None]
    assert engine.events == len(decoded)
    assert engine.undecodable == sum(map(len, partitions)) - len(decoded)


@settings(max_examples=EXAMPLES // 2)
@given(definitions, streams())
def test_a_closed_window_changes_only_where_late_records_amend_it(
    definition: Definition, stream: tuple[list[list[dict]], list[pl.DataFrame]]
) -> None:
    partitions, batches = stream
    engine = Engine(definition, SCHEMA, [("bank", p) for p in range(len(partitions))])
    before: dict[tuple, tuple] = {}
    for frame in batches:
        engine.feed(frame)
        after = found(engine)
        assert before.keys() <= after.keys()
        for window, values in before.items():
            *metrics, late = values
            if definition.keep_ms == 0 or after[window][-1] == late:
                assert list(after[window][:-1]) == metrics
        before = after


@settings(max_examples=EXAMPLES // 2)
@given(definitions, streams())
def test_open_and_closed_windows_together_hold_every_record_read_so_far(
    definition: Definition, stream: tuple[list[list[dict]], list[pl.DataFrame]]
) -> None:
    partitions, batches = stream
    engine = Engine(definition, SCHEMA, [("bank", p) for p in range(len(partitions))])
    read: list[list[dict]] = [[] for _ in partitions]
    for frame in batches:
        engine.feed(frame)
        for row in frame.with_columns(at=pl.col("timestamp").dt.epoch("ms")).to_dicts():
            read[row["partition"]].append(row)

    rows = engine.rows(with_open=True).with_columns(pl.col("window_start").dt.epoch("ms"))
    values = rows.select("window_start", "kind", "volume", "first", "most", "late").rows()
    assert {(start, kind): tuple(rest) for start, kind, *rest in values} == naive(definition, read)
    closed = rows.filter("closed")["window_start"]
    assert set(closed) == {start for start, _ in found(engine)}


def rows_of(partition: int, *times: int, start: int = 0) -> pl.DataFrame:
    return batch(
        [
            {"at": at, "partition": partition, "offset": start + n, "amount": 1, "kind": "a"}
            for n, at in enumerate(times)
        ]
    )


def test_each_row_names_the_offsets_behind_it() -> None:
    engine = run(plan(), [rows_of(0, 1, 2, 15), rows_of(1, 3)], range(2))

    first, second = engine.rows()["__spans"].to_list()
    assert sorted(first, key=lambda span: span["partition"]) == [
        {"topic": "bank", "partition": 0, "start": 0, "end": 2},
        {"topic": "bank", "partition": 1, "start": 0, "end": 1},
    ]
    assert second == [{"topic": "bank", "partition": 0, "start": 2, "end": 3}]


def test_a_record_that_comes_again_is_not_counted_again() -> None:
    frame = rows_of(0, 1, 2, 3)
    engine = run(plan(), [frame, frame, rows_of(0, 3, 4, start=2)], range(1))

    assert engine.events == 4
    assert engine.rows()["volume"].to_list() == [4]


def test_no_window_closes_before_every_partition_has_passed_its_end() -> None:
    engine = Engine(plan(), SCHEMA, [("bank", 0), ("bank", 1)])
    engine.feed(rows_of(0, 5, 35))
    assert engine.rows().is_empty()
    engine.feed(rows_of(1, 12))
    assert engine.rows()["window_end"].dt.epoch("ms").to_list() == [10]


def test_an_idle_partition_holds_no_window_open_while_others_advance() -> None:
    engine = Engine(plan(), SCHEMA, [("bank", 0), ("bank", 1)], idle_s=5.0)
    engine.feed(rows_of(0, 5, 35), now_s=1.0)
    engine.tick(now_s=5.0)
    assert engine.rows().is_empty()
    engine.feed(rows_of(0, 36, start=2), now_s=5.5)
    assert engine.rows()["volume"].to_list() == [1]

    engine.tick(now_s=60.0)
    assert engine.watermark_ms == 36


def test_what_an_idle_partition_brings_too_late_is_counted_as_late() -> None:
    engine = Engine(plan(keep_ms=0), SCHEMA, [("bank", 0), ("bank", 1)], idle_s=5.0)
    engine.feed(rows_of(0, 5, 35), now_s=6.0)
    engine.feed(rows_of(1, 7), now_s=6.5)

    assert (engine.late, engine.left_out) == (1, 1)
    assert engine.rows().select("volume", "late").rows() == [(1, 1)]


def test_a_row_of_which_all_records_came_too_late_is_there_with_nothing_but_their_number() -> None:
    engine = run(plan(keep_ms=0), [rows_of(0, 35, 5)], range(1))

    assert engine.rows().select("volume", "first", "late").rows() == [(None, None, 1), (1, 1, 0)]


def test_records_of_closed_windows_are_not_held() -> None:
    engine = Engine(plan(keep_ms=20), SCHEMA, [("bank", 0)])
    for start in range(0, 10_000, 100):
        engine.feed(rows_of(0, *range(start, start + 100), start=start))
        assert engine.held <= 40


def test_a_long_run_lets_the_oldest_rows_go_and_says_so() -> None:
    engine = Engine(plan(keep_ms=0), SCHEMA, [("bank", 0)], history=20)
    engine.feed(rows_of(0, *range(0, 1000, 10)))

    rows = engine.rows()
    assert rows.height == 20
    assert engine.let_go == 99 - 20
    assert rows["window_end"].dt.epoch("ms").to_list() == list(range(800, 1000, 10))
