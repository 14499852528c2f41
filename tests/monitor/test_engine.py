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
EXAMPLES = 2000 if os.environ.get("WORKBENCH_SOAK") else 150


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


@settings(max_examples=EXAMPLES, deadline=None)
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
