"""Parts of a stream merge to the table of the whole, however they are cut and ordered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DefinitionError
from workbench.table import aggregation, grouping
from workbench.table.aggregation import Aggregation, Partial
from workbench.table.definition import check_by, define
from workbench.table.spill import Spilled

from . import model
from .examples import EXPRESSIONS, FIELDS, MEANINGS, rows_of, same, streams

SCHEMA: dict[str, pl.DataType] = {"offset": pl.Int64(), "key": pl.String(), **FIELDS}
BYS = st.sampled_from([("account",), ("key",), ("account", "kind"), ("key", "account")])


def engine(by: tuple[str, ...]) -> Aggregation:
    aggregates = {name: expr for name, expr in EXPRESSIONS.items() if name not in by}
    return Aggregation(define(check_by(by, SCHEMA), aggregates, SCHEMA), SCHEMA)


def frame(events: list[model.Event]) -> pl.DataFrame:
    blank = dict.fromkeys(FIELDS)
    rows = [
        {
            **blank,
            **(e.value or {}),
            "offset": e.offset,
            "key": e.key,
            "_at": e.timestamp,
            "_lane": e.partition,
            "_counts": not e.error and not e.is_tombstone,
            "_tombstone": e.is_tombstone,
        }
        for e in events
    ]
    marks = {"_at": pl.Int64, "_lane": pl.Int64, "_counts": pl.Boolean, "_tombstone": pl.Boolean}
    return pl.DataFrame(rows, schema={**SCHEMA, **marks})


def cut(frame: pl.DataFrame, random: Random) -> Iterator[pl.DataFrame]:
    """The rows of a frame, in pieces."""
    while frame.height:
        size = random.randint(1, frame.height)
        yield frame.head(size)
        frame = frame.slice(size)


def check(table: Aggregation, state: Partial | Spilled, events: list[model.Event]) -> None:
    by = tuple(table.by)
    assert same(rows_of(table.finalise(state), by), model.table(events, by, MEANINGS))


@given(streams(), BYS, st.randoms(use_true_random=False))
def test_any_parts_in_any_order_fold_to_the_table(
    events: list[model.Event], by: tuple[str, ...], random: Random
) -> None:
    table = engine(by)
    shuffled = frame(random.sample(events, len(events)))

    def reread(keys: pl.DataFrame) -> Iterator[pl.DataFrame]:
        return cut(shuffled.join(keys, on=table.by, how="semi", nulls_equal=True), random)

    with pytest.MonkeyPatch.context() as patch:
        # Merge every few rows, or all at the end.
        patch.setattr(aggregation, "WAITING_ROWS", random.choice([0, 3, 10**6]))
        fits = random.choice([True, True, False])  # else it goes on in files
        patch.setattr(aggregation, "fits", lambda size: fits)
        patch.setattr(grouping, "STREAMING_ROWS", random.choice([0, 10**6]))
        state = table.fold(table.empty(), cut(shuffled, random), reread)
        assert isinstance(state, Partial) or not fits
    check(table, state, events)


@given(streams(), BYS, st.randoms(use_true_random=False))
def test_a_fold_continues_where_another_ended(
    events: list[model.Event], by: tuple[str, ...], random: Random
) -> None:
    table = engine(by)
    middle = random.randint(0, len(events))

    def among(seen: list[model.Event]) -> Callable[[pl.DataFrame], list[pl.DataFrame]]:
        return lambda keys: [frame(seen).join(keys, on=table.by, how="semi", nulls_equal=True)]

    half = table.fold(table.empty(), [frame(events[:middle])], among(events[:middle]))
    whole = table.fold(half, [frame(events[middle:])], among(events))
    check(table, whole, events)
    check(table, half, events[:middle])


@given(streams(), st.randoms(use_true_random=False))
def test_merging_is_associative_and_commutative_where_nothing_is_deleted(
    events: list[model.Event], random: Random
) -> None:
    table = engine(("account",))
    parts = [table.partial(part) for part in cut(frame(events), random)] or [table.empty()]
    while len(parts) > 1:
        one, other = (parts.pop(random.randrange(len(parts))) for _ in range(2))
        parts.append(table.merge(one, other))
    check(table, parts[0], events)


@given(streams(), BYS)
def test_merging_one_part_changes_not_a_bit(events: list[model.Event], by: tuple[str, ...]) -> None:
    table = engine(by)
    once = table.fold(table.empty(), [frame(events)], lambda keys: [frame(events)])
    again = table.merge(once, table.empty())
    assert table.finalise(again).equals(table.finalise(once))


@given(streams(), st.sampled_from(["a", "b"]))
def test_the_trace_of_a_key_is_the_row_after_each_event(
    events: list[model.Event], key: str
) -> None:
    table = engine(("key",))
    mine = sorted((e for e in events if e.key == key and not e.error), key=lambda e: e.order)
    rows = table.trace(frame(mine)).rows(named=True)
    assert len(rows) == len(mine)
    for number, row in enumerate(rows, start=1):
        meant = model.table(mine[:number], ("key",), MEANINGS)
        assert same(row, meant.get((key,), dict.fromkeys(row)))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**62, 2**62], pl.Int64()),
        ([-(2**63), -1], pl.Int64()),
        ([2**63, 2**63], pl.UInt64()),
        ([9 * 10**37, 9 * 10**37], pl.Decimal(38, 0)),
        ([2**126, 2**126], pl.Int128()),
    ],
)
def test_a_sum_that_leaves_its_type_raises_and_names_the_key(
    values: list[int], dtype: pl.DataType
) -> None:
    schema = {"offset": pl.Int64(), "k": pl.String(), "v": dtype}
    table = Aggregation(define(("k",), {"total": pl.col("v").sum()}, schema), schema)
    records = pl.DataFrame(
        {"k": ["x", "x"], "v": values, "offset": [0, 1], "_at": [0, 0], "_lane": [0, 0]},
        schema_overrides={"v": dtype},
    ).with_columns(_counts=True, _tombstone=False)
    with pytest.raises(DefinitionError, match="leaves its type at k='x'"):
        table.finalise(table.partial(records))


def test_a_sum_may_pass_through_what_does_not_fit() -> None:
    schema = {"offset": pl.Int64(), "k": pl.String(), "v": pl.Int64()}
    table = Aggregation(define(("k",), {"total": pl.col("v").sum()}, schema), schema)
    records = pl.DataFrame(
        {"k": ["x"] * 4, "v": [2**62, 2**62, -(2**62), -3], "offset": range(4)}
    ).with_columns(
        _at=pl.lit(0, pl.Int64), _lane=pl.lit(0, pl.Int64), _counts=True, _tombstone=False
    )
    parts = [table.partial(records.slice(first, 1)) for first in range(4)]
    assert table.finalise(table.merge(*parts))["total"].to_list() == [2**62 - 3]
