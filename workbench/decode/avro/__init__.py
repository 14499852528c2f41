"""Apache Avro: schemas to column types, and bodies of records to columns."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from workbench.decode.avro.nodes import is_by_column, parse_avro, record_name
from workbench.decode.avro.records import decode_one_by_one
from workbench.decode.protocol import Columns

__all__ = ["AvroReader"]

#: Fewer records are read one by one sooner than by column.
_FEW = 200


class AvroReader:
    """Reads bodies of one Avro schema.  Thread-safe.

    Raises SchemaError for a text that is no schema.
    """

    def __init__(self, text: str, references: Mapping[str, str] | None = None) -> None:
        self._root = parse_avro(text, references)
        self.fields: Mapping[str, pl.DataType] = {
            name: part.dtype for name, part in zip(self._root.names, self._root.parts, strict=True)
        }
        #: The full name of the record.
        self.record = record_name(text)
        self._by_column = is_by_column(self._root)

    def read(self, bodies: pl.Series) -> Columns:
        """One column per field, and per record an error or null."""
        if len(bodies) < _FEW or not self._by_column:
            return Columns(*decode_one_by_one(bodies, self._root))
        from workbench.decode.avro.columns import decode_by_column  # brings NumPy

        return Columns(*decode_by_column(bodies, self._root))
