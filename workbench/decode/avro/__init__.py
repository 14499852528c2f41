"""Apache Avro: schemas to column types, and bodies of records to columns."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from workbench.decode.avro.nodes import parse_avro
from workbench.decode.avro.records import decode_one_by_one

__all__ = ["AvroReader"]


class AvroReader:
    """Reads bodies of one Avro schema.  Thread-safe.

    Raises SchemaError for a text that is no schema.
    """

    def __init__(self, text: str, references: Mapping[str, str] | None = None) -> None:
        self._root = parse_avro(text, references)
        self.fields: Mapping[str, pl.DataType] = {
            name: part.dtype for name, part in zip(self._root.names, self._root.parts, strict=True)
        }

    def read(self, bodies: pl.Series) -> tuple[list[pl.Series], pl.Series]:
        """One column per field, and per record an error or null."""
        return decode_one_by_one(bodies, self._root)
