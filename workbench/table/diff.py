"""What changed between two states of one table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from workbench.source.display import html_block, html_table
from workbench.table.state import State

COLOURS = {"added": "#d7f0dc", "removed": "#f6d9d6", "changed": "#fbf0cf"}


@dataclass(frozen=True, eq=False, repr=False)
class Diff:
    """The rows that differ between two states.  Immutable; safe to share between threads.

    Attributes
    ----------
    frame
        A row per key that differs: `change` (String: added, removed or changed), the `by`
        columns, then `old_<name>` and `new_<name>` of each aggregate; sorted by key, nulls last.
    old, new
        The two states.
    """

    frame: pl.DataFrame
    old: State
    new: State

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many rows were added, removed, changed."""
        found = dict(self.frame["change"].value_counts().rows())
        return {change: found.get(change, 0) for change in COLOURS}

    @property
    def title(self) -> str:
        """One line: what was compared, and what came out."""
        counts = ", ".join(f"{number:,} {change}" for change, number in self.counts.items())
        return f"From {self.old.as_of} to {self.new.as_of}: {counts}"

    def __repr__(self) -> str:
        return f"{self.title}\n{self.frame}"

    def _repr_html_(self) -> str:
        marks = {row: COLOURS[change] for row, change in enumerate(self.frame["change"])}
        table = html_table(self.frame, caption=f"by {', '.join(self.old.by)}", marks=marks)
        return html_block(self.title, [table])


def compare(old: State, new: State) -> Diff:
    """Rows of two states of one table, joined by key.  Nulls are equal, and so are NaNs."""
    by = list(old.by)
    # The states of a fold may differ in columns and types; together they have one schema.
    both = pl.concat(
        [
            frame.with_columns(_new=pl.lit(which))
            for which, frame in enumerate(_touched(old.frame, new.frame, by))
        ],
        how="diagonal_relaxed",
    )
    names = [name for name in both.columns if name not in (*by, "_new")]
    sides = [
        both.filter(pl.col("_new") == number)
        .select(*by, *(pl.col(name).alias(f"{side}_{name}") for name in names))
        .with_columns(pl.lit(True).alias(f"_{side}"))
        for number, side in enumerate(("old", "new"))
    ]
    joined = sides[0].join(sides[1], on=by, how="full", nulls_equal=True, coalesce=True)
    same = [pl.col(f"old_{name}").eq_missing(pl.col(f"new_{name}")) for name in names]
    change = (
        pl.when(pl.col("_old").is_null())
        .then(pl.lit("added"))
        .when(pl.col("_new").is_null())
        .then(pl.lit("removed"))
        .when(~pl.all_horizontal(*same, pl.lit(True)))
        .then(pl.lit("changed"))
    )
    frame = (
        joined.with_columns(change.alias("_change"))
        .filter(pl.col("_change").is_not_null())
        .sort(by, nulls_last=True)
        .select(
            pl.col("_change").alias("change"),
            *by,
            *(f"{side}_{name}" for name in names for side in ("old", "new")),
        )
    )
    return Diff(frame, old, new)


def _touched(
    old: pl.DataFrame, new: pl.DataFrame, by: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The frames without rows that are the same; all of them where keys came or went."""
    if old.schema != new.schema or not old.select(by).equals(new.select(by)):
        return old, new
    differs = pl.repeat(False, old.height, dtype=pl.Boolean, eager=True)
    for name in old.columns:
        differs |= old[name].ne_missing(new[name])
    return old.filter(differs), new.filter(differs)
