"""Handing columns between Polars and DuckDB, neither of which then needs pyarrow."""

from __future__ import annotations

from typing import Any


class ArrowStream:
    """Something as nothing but an Arrow stream (the Arrow PyCapsule interface).

    DuckDB then reads a Polars frame, and Polars reads a DuckDB relation without keeping its type
    for ever, of which DuckDB complains when the process ends.
    """

    def __init__(self, held: Any) -> None:
        self._held = held

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._held.__arrow_c_stream__(requested_schema)
