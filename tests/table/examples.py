"""Streams that are as awkward as they come, and aggregates with their meaning in Python."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from statistics import fmean, pvariance, variance
from typing import Any

import polars as pl
from hypothesis import strategies as st

from .model import Aggregate, Event, Row

FIELDS = {
    "account": pl.String(),
    "kind": pl.String(),
    "amount": pl.Decimal(18, 2),
    "qty": pl.Int64(),
    "rate": pl.Float64(),
}
#: The moment that the events' timestamps (in milliseconds) count from.
EPOCH = datetime(2026, 11, 3, tzinfo=UTC)
EPOCH_MS = int(EPOCH.timestamp() * 1000)


def known(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def spread(ddof: int) -> Aggregate:
    def of(rows: list[Row]) -> float | None:
        values = known(rows, "rate")
        if len(values) <= ddof:
            return None
        return variance(values) if ddof else pvariance(values)

    return of


def last_of(pick: Callable[[list[Any]], list[Any]]) -> Aggregate:
    return lambda rows: next(iter(pick(rows)[-1:]), None)


amount, qty, kind, rate = (pl.col(name) for name in ("amount", "qty", "kind", "rate"))

#: Name to the expression and to what it means over the rows of a key, in order.
AGGREGATES: dict[str, tuple[pl.Expr, Aggregate]] = {
    "total": (amount.sum(), lambda rows: sum(known(rows, "amount"), Decimal(0))),
    "events": (pl.len(), len),
    "quantities": (qty.count(), lambda rows: len(known(rows, "qty"))),
    "quantity": (qty.sum(), lambda rows: sum(known(rows, "qty"))),
    "lowest": (qty.min(), lambda rows: min(known(rows, "qty"), default=None)),
    "greatest": (kind.max(), lambda rows: max(known(rows, "kind"), default=None)),
    "mean": (rate.mean(), lambda rows: fmean(known(rows, "rate")) if known(rows, "rate") else None),
    "var": (rate.var(), spread(1)),
    "std": (rate.std(ddof=0), lambda rows: None if (v := spread(0)(rows)) is None else v**0.5),
    "first": (qty.first(), lambda rows: rows[0]["qty"]),
    "last": (qty.last(), lambda rows: rows[-1]["qty"]),
    "last_known": (qty.drop_nulls().last(), last_of(lambda rows: known(rows, "qty"))),
    "first_in": (
        amount.filter(kind == "in").first(),
        lambda rows: next((row["amount"] for row in rows if row["kind"] == "in"), None),
    ),
    "kinds": (kind.n_unique(), lambda rows: len({row["kind"] for row in rows})),
    "paid_in": (
        amount.filter(kind == "in", amount > 0).sum(),
        lambda rows: sum(
            (a for a in known([r for r in rows if r["kind"] == "in"], "amount") if a > 0),
            Decimal(0),
        ),
    ),
    "above": (
        (qty.sum() - qty.min()).fill_null(0) + pl.len(),
        lambda rows: sum(known(rows, "qty")) - min(known(rows, "qty"), default=0) + len(rows),
    ),
}
EXPRESSIONS = {name: expr for name, (expr, _) in AGGREGATES.items()}
MEANINGS = {name: meaning for name, (_, meaning) in AGGREGATES.items()}

maybe = st.none() | st.sampled_from(["a", "b"])
values = st.fixed_dictionaries(
    {
        "account": maybe,
        "kind": st.none() | st.sampled_from(["in", "out", ""]),
        "amount": st.none() | st.decimals(-(10**15), 10**15, places=2).map(Decimal),
        "qty": st.none() | st.integers(-(2**53), 2**53),
        "rate": st.none() | st.floats(-1e6, 1e6).map(lambda rate: round(rate, 3)),
    }
)
#: What a record may hold: fields, a tombstone, or something that does not decode.
contents = st.tuples(values, st.just(False)) | st.sampled_from([(None, False), (None, True)])


@st.composite
def streams(draw: st.DrawFn, partitions: int = 3) -> list[Event]:
    """Events of several partitions in the order of their appends, with times out of order.

    Now and then a record is resent: the same again, under a new offset.
    """
    offsets = dict.fromkeys(range(partitions), 0)
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 25))):
        partition = draw(st.integers(0, partitions - 1))
        if events and draw(st.integers(0, 9)) == 0:
            sent = events[-1]
            partition, timestamp, key = sent.partition, sent.timestamp, sent.key
            value, error = sent.value, sent.error
        else:
            timestamp, key = draw(st.integers(0, 12)), draw(maybe)
            value, error = draw(contents)
        events.append(Event(partition, offsets[partition], timestamp, key, value, error))
        offsets[partition] += 1
    return events


def ends(events: list[Event], partitions: int = 3) -> dict[int, int]:
    """One past the last offset of each partition."""
    return {p: sum(e.partition == p for e in events) for p in range(partitions)}


def to_json(event: Event) -> bytes | None:
    """The event's value as a producer writes it."""
    if event.error:
        return b'{"amount": "one'
    if event.value is None:
        return None
    # Decimals are written as numbers: json has no other way to keep them exact.
    row = {k: f"<{v}>" if isinstance(v, Decimal) else v for k, v in event.value.items()}
    return json.dumps(row).replace('"<', "").replace('>"', "").encode()


def rows_of(frame: pl.DataFrame, by: tuple[str, ...]) -> dict[tuple[Any, ...], Row]:
    """A state's frame as the model has it."""
    rows = {tuple(row[name] for name in by): row for row in frame.iter_rows(named=True)}
    assert len(rows) == frame.height
    return {k: {n: v for n, v in row.items() if n not in by} for k, row in rows.items()}


def same(left: Any, right: Any) -> bool:
    """Equal; floats within rounding of the largest values that streams hold."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-4)
    return bool(left == right) and (left is None) == (right is None)
