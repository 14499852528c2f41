"""The frame that producers with a schema registry put around a value: a zero byte and the id."""

from __future__ import annotations

import struct
from typing import NamedTuple

import polars as pl

#: A zero byte, and the id of the schema in four bytes.
HEAD = 5


class Frames(NamedTuple):
    """Schema ids (UInt32; null where a value is null or has no frame), and what follows them."""

    ids: pl.Series
    bodies: pl.Series


def unframe(values: pl.Series) -> Frames:
    """Take a Binary column apart."""
    value = pl.col("value")
    framed = value.bin.starts_with(b"\0") & (value.bin.size() >= HEAD)
    head = pl.when(framed).then(value.bin.slice(1, 4))
    made = (
        values.alias("value")
        .to_frame()
        .select(
            ids=head.bin.reinterpret(dtype=pl.UInt32, endianness="big"),
            bodies=pl.when(framed).then(value.bin.slice(HEAD)),
        )
    )
    return Frames(made["ids"], made["bodies"])


def frame_of(schema_id: int) -> bytes:
    """What stands before a body."""
    return struct.pack(">bI", 0, schema_id)
