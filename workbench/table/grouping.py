"""Grouping records, or rows of parts of them, by key; with the rows that are first or last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from workbench.table.nodes import Pick
from workbench.table.reading import ORDER

#: From how many rows on grouping them goes by the streaming engine.
STREAMING_ROWS = 50_000

Coordinates = tuple[str, str, str]


@dataclass(frozen=True)
class Pull:
    """One row to be picked per group: by which coordinates, of which rows, taking what."""

    pick: Pick
    order: Coordinates
    where: pl.Expr | None
    values: list[pl.Expr]


def group(
    frame: pl.DataFrame, keys: Sequence[str], plain: list[pl.Expr], pulls: list[Pull]
) -> pl.DataFrame:
    """Group, aggregate, and look up the picked rows by their rank in the one order."""
    orders = {pull.order: f"_rank{i}" for i, pull in enumerate(pulls)}
    places = {order: _places(frame, order) for order in orders}
    ranked = frame.with_columns(
        (pl.int_range(pl.len()) if place is None else place.arg_sort()).alias(orders[order])
        for order, place in places.items()
    )
    picked = []
    for pull in pulls:
        rank = pl.col(orders[pull.order])
        rank = rank if pull.where is None else rank.filter(pull.where)
        picked.append((rank.max() if pull.pick.newest else rank.min()).alias(pull.pick.name))
    # On many rows the streaming engine takes half as long, on few it takes longer to start.
    engine: Literal["streaming", "in-memory"]
    engine = "streaming" if frame.height >= STREAMING_ROWS else "in-memory"
    rows = ranked.lazy().group_by(keys).agg(*plain, *picked).collect(engine=engine)
    for pull in pulls:
        place = places[pull.order]
        found = rows[pull.pick.name] if place is None else place.gather(rows[pull.pick.name])
        names = zip(pull.order, coordinates(pull.pick.name), strict=True)
        values = frame.select(*(pl.col(n).alias(c) for n, c in names), *pull.values)
        rows = rows.drop(pull.pick.name).hstack(values.select(pl.all().gather(found)))
    return rows


def _places(frame: pl.DataFrame, order: Coordinates) -> pl.Series | None:
    """The rows' numbers in order; None where they are in order already."""
    # A join may have moved rows, so that equal times in one lane do not imply ascending offsets.
    if order == ORDER and frame["_lane"].n_unique() <= 1:
        at, _, offset = (frame[name] for name in ORDER)
        if at.is_sorted() and offset.is_sorted():
            return None
    return frame.select(pl.arg_sort_by(order)).to_series()


def coordinates(pick: str) -> Coordinates:
    """The columns with the place of the row that was picked."""
    return f"{pick}.at", f"{pick}.lane", f"{pick}.offset"


def newer(left: Coordinates, right: Coordinates) -> pl.Expr:
    """Whether one record comes after another in the one order."""
    (at, lane, offset), (at2, lane2, offset2) = map(pl.col, left), map(pl.col, right)
    same_time = (lane > lane2) | ((lane == lane2) & (offset > offset2))
    return (at > at2) | ((at == at2) & same_time)
