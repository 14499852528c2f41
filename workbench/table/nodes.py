"""The aggregates that merge: for each, what a part keeps, how parts join, and the value.

A node works in three places, always as Polars expressions:

- `partial()` over the records of one key: the columns that a part of the stream leaves,
- `merge()` over the partial rows of one key: the same columns again,
- `value()` over one merged row: what the user asked for.

`merge` gives a single row back unchanged, bit for bit, so that rows which nothing touched compare
equal however often they went through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

#: A sum of fewer digits than this cannot leave Decimal(38) within 10^10 records.
SAFE_DECIMAL_DIGITS = 28


@dataclass(frozen=True)
class Node:
    """One aggregate of a definition: `name` is the prefix of its columns, `input` is row-wise."""

    name: str
    input: pl.Expr

    def partial(self) -> Sequence[pl.Expr]:
        """Over the records of a key."""
        return []

    def merge(self) -> Sequence[pl.Expr]:
        """Over the partial rows of a key."""
        return []

    def value(self) -> pl.Expr:
        """Over a merged row."""
        return pl.col(self.name)

    def overflow(self) -> pl.Expr | None:
        """Over a merged row: whether the exact value does not fit its type; None for never."""
        return None

    @property
    def additive(self) -> bool:
        """Whether two rows merge by adding column to column, and no column is ever null."""
        return False


@dataclass(frozen=True)
class Count(Node):
    """`len` and `count`: records, or values that are not null.  Int64."""

    nulls: bool = True

    def partial(self) -> Sequence[pl.Expr]:
        counted = self.input.len() if self.nulls else self.input.count()
        return [counted.cast(pl.Int64).alias(self.name)]

    def merge(self) -> Sequence[pl.Expr]:
        return [pl.col(self.name).sum()]

    @property
    def additive(self) -> bool:
        return True


@dataclass(frozen=True)
class Sum(Node):
    """`sum`: 0 where there is no value.  Exact but for floats; Decimals keep their scale.

    Integers are added in 128 bits, so that neither a part nor the whole wraps around.  Where 128
    bits may not do, a sum of floats beside it tells.
    """

    dtype: pl.DataType

    @property
    def out(self) -> pl.DataType:
        """The type of the value: Int64 or UInt64 for the integers that fit there."""
        if self.dtype == pl.UInt64:
            return pl.UInt64()
        if self.dtype == pl.Int128:
            return pl.Int128()
        return pl.Int64() if self.dtype.is_integer() or self.dtype == pl.Boolean else self.dtype

    @property
    def _shadowed(self) -> bool:
        if isinstance(self.dtype, pl.Decimal):
            return (self.dtype.precision or 38) > SAFE_DECIMAL_DIGITS
        return self.dtype == pl.Int128

    def partial(self) -> Sequence[pl.Expr]:
        if isinstance(self.dtype, pl.Decimal):
            wide = self.input
        elif self.dtype.is_float():
            wide = self.input.cast(pl.Float64)
        else:
            wide = self.input.to_physical().cast(pl.Int128)
        sums = [wide.sum().alias(self.name)]
        if self._shadowed:
            sums.append(self.input.cast(pl.Float64).sum().alias(f"{self.name}.about"))
        return sums

    def merge(self) -> Sequence[pl.Expr]:
        sums = [pl.col(self.name).sum()]
        return [*sums, pl.col(f"{self.name}.about").sum()] if self._shadowed else sums

    @property
    def additive(self) -> bool:
        # Where a sum can leave its type, adding two numbers fails, and adding many tells.
        return not self._shadowed

    def value(self) -> pl.Expr:
        if isinstance(self.dtype, pl.Decimal):
            return pl.col(self.name)
        if self.dtype == pl.Duration:
            return pl.col(self.name).cast(pl.Int64).cast(self.dtype)
        return pl.col(self.name).cast(self.out)

    def overflow(self) -> pl.Expr | None:
        if self._shadowed:
            limit = 2.0**127
            if isinstance(self.dtype, pl.Decimal):
                limit = 10.0 ** (38 - self.dtype.scale)
            return pl.col(f"{self.name}.about").abs() >= limit * (1 - 1e-9)
        if isinstance(self.dtype, pl.Decimal) or self.dtype.is_float():
            return None
        low, high = (0, 2**64) if self.out == pl.UInt64 else (-(2**63), 2**63)
        exact = pl.col(self.name)
        return (exact < pl.lit(low, pl.Int128)) | (exact >= pl.lit(high, pl.Int128))


@dataclass(frozen=True)
class Mean(Node):
    """`mean`: of the values that are not null, from their exact sum.  Float64."""

    dtype: pl.DataType

    @property
    def _parts(self) -> tuple[Sum, Count]:
        total = Sum(f"{self.name}.sum", self.input, self.dtype)
        return total, Count(f"{self.name}.count", self.input, nulls=False)

    def partial(self) -> Sequence[pl.Expr]:
        return [expr for part in self._parts for expr in part.partial()]

    def merge(self) -> Sequence[pl.Expr]:
        return [expr for part in self._parts for expr in part.merge()]

    @property
    def additive(self) -> bool:
        return all(part.additive for part in self._parts)

    def value(self) -> pl.Expr:
        count = pl.col(f"{self.name}.count")
        mean = pl.col(f"{self.name}.sum").cast(pl.Float64) / count
        if self.dtype == pl.Duration:
            mean = mean.cast(pl.Int64).cast(self.dtype)
        return pl.when(count > 0).then(mean)

    def overflow(self) -> pl.Expr | None:
        total, _ = self._parts
        return total.overflow() if total.dtype.is_decimal() or total.dtype == pl.Int128 else None


@dataclass(frozen=True)
class Spread(Node):
    """`var` and `std`: count, sum and squared deviations, joined by Chan's formula.  Float64."""

    ddof: int
    root: bool

    def partial(self) -> Sequence[pl.Expr]:
        values = self.input.cast(pl.Float64)
        return [
            values.count().cast(pl.Int64).alias(f"{self.name}.count"),
            values.sum().alias(f"{self.name}.sum"),
            (values.var(ddof=0) * values.count()).fill_null(0.0).alias(f"{self.name}.squares"),
        ]

    def merge(self) -> Sequence[pl.Expr]:
        count, total, squares = (
            pl.col(f"{self.name}.{part}") for part in ("count", "sum", "squares")
        )
        shift = total / count - total.sum() / count.sum()
        between = pl.when(count > 0).then(count * shift * shift).sum()
        return [count.sum(), total.sum(), squares.sum() + between]

    def value(self) -> pl.Expr:
        freedom = pl.col(f"{self.name}.count") - self.ddof
        variance = pl.when(freedom > 0).then(pl.col(f"{self.name}.squares") / freedom)
        return variance.sqrt() if self.root else variance


@dataclass(frozen=True)
class Extreme(Node):
    """`min` and `max`, which ignore nulls; `nan_min` and `nan_max`, which heed NaN."""

    method: str

    def _of(self, values: pl.Expr) -> pl.Expr:
        found: pl.Expr = getattr(values, self.method)()
        return found.alias(self.name)

    def partial(self) -> Sequence[pl.Expr]:
        return [self._of(self.input)]

    def merge(self) -> Sequence[pl.Expr]:
        return [self._of(pl.col(self.name))]


@dataclass(frozen=True)
class Distinct(Node):
    """`n_unique`: exact, so a part keeps every distinct value; null counts as one.  Int64."""

    def partial(self) -> Sequence[pl.Expr]:
        return [self.input.unique().alias(self.name)]

    def merge(self) -> Sequence[pl.Expr]:
        return [pl.col(self.name).list.explode().unique()]

    def value(self) -> pl.Expr:
        return pl.col(self.name).list.len().cast(pl.Int64)


@dataclass(frozen=True)
class Pick:
    """Which record `first` or `last` means: by (timestamp, partition, offset), where it matches.

    Not a node: a part keeps the coordinates of the picked record and what each `Picked` took.
    """

    name: str
    newest: bool
    where: pl.Expr | None = None

    @property
    def coordinates(self) -> tuple[str, str, str]:
        """The columns that a part keeps; all null where no record matched."""
        return f"{self.name}.at", f"{self.name}.lane", f"{self.name}.offset"


@dataclass(frozen=True)
class Picked(Node):
    """A value of the record that a `Pick` means, nulls included.  Merged along with its pick."""

    pick: str
