"""Handing columns between Polars and DuckDB, neither of which then needs pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source


class ArrowStream:
    """Something as nothing but an Arrow stream (the Arrow PyCapsule interface).

    DuckDB then reads a Polars frame, and Polars reads a DuckDB relation without keeping its type
    for ever, of which DuckDB complains when the process ends.
    """

    def __init__(self, held: Any) -> None:
        self._held = held

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._held.__arrow_c_stream__(requested_schema)


class ArrowBatches:
    """Frames of one schema as Arrow streams, a frame at a time; for each they are made anew.

    `failure` is what making them raised, of which whoever reads a stream knows the text alone.
    """

    def __init__(self, schema: pl.Schema, frames: Callable[[], Iterator[pl.DataFrame]]) -> None:
        self._schema = schema
        self._frames = frames
        self.failure: Exception | None = None

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        frames = register_io_source(self._made, schema=self._schema)
        return frames.collect_batches(lazy=True).__arrow_c_stream__(requested_schema)

    def _made(self, *_: object) -> Iterator[pl.DataFrame]:
        try:
            yield from self._frames()
        except Exception as error:
            self.failure = error
            raise
