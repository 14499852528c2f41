"""What a decoder is: a column of bytes in; typed columns, errors and leftovers out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import polars as pl

from workbench.schema import Schema


class Decoded(NamedTuple):
    """What a decoder makes of a column of values; row for row the same records.

    Attributes
    ----------
    fields
        One column per schema field, named as `Schema.columns` says, of exactly its type.  All
        null where the value is null (a tombstone) or did not decode.
    error
        String: one sentence on why the record did not decode; null where it did.
    rest
        String: JSON text of what the schema does not know; null where there is nothing.
    """

    fields: pl.DataFrame
    error: pl.Series
    rest: pl.Series


class Decoder(Protocol):
    """Decodes a Binary column.  Pure: never raises for what a record holds; thread-safe."""

    def __call__(self, values: pl.Series) -> Decoded:
        """Decode the column."""


class Columns(NamedTuple):
    """What a reader gives: one column per field, and per record an error or null.

    Where there is an error, or the body is null, the columns are null.  `rest` is what the schema
    does not know, as JSON text; None where no record can hold such a thing.
    """

    columns: list[pl.Series]
    errors: pl.Series
    rest: pl.Series | None = None


class Reader(Protocol):
    """Reads the bodies of one schema.  Thread-safe."""

    @property
    def fields(self) -> Mapping[str, pl.DataType]:
        """The columns, in order."""

    @property
    def record(self) -> str | None:
        """The full name of what is read, where it has one."""

    def read(self, bodies: pl.Series) -> Columns:
        """Read some bodies."""


class Part(NamedTuple):
    """Some of the values that name one schema: where they stand among these, and what reads them.

    One of `reader` and `problem` is there.
    """

    rows: pl.Series
    bodies: pl.Series
    reader: Reader | None
    problem: str | None = None


def empty_columns(schema: Schema, height: int) -> pl.DataFrame:
    """`height` rows of nulls with the columns of a schema."""
    return pl.DataFrame(
        [
            pl.Series(schema.columns[field], [None], dtype=dtype).new_from_index(0, height)
            for field, dtype in schema.items()
        ],
        height=height,
    )
