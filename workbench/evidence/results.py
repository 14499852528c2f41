"""What a sealed slice's filter matched, for people who open a spreadsheet or a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from workbench.records import COORDINATES
from workbench.source.display import html_page, html_table
from workbench.source.export import flat, harmless

#: How many records the page for printing shows; it says so when there are more.
PRINTED_ROWS = 1_000

_CSV_ROWS = 100_000


def write(
    batches: Iterable[pl.DataFrame],
    schema: pl.Schema,
    folder: Path,
    *,
    title: str,
    facts: list[str],
) -> int:
    """Write decoded records as Parquet, CSV and HTML; returns how many they are.

    Streams in bounded memory.  The CSV is one for spreadsheets; see `harmless`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parquet = folder / "records.parquet"
    register_io_source(_once(batches), schema=schema).sink_parquet(parquet)
    rows = int(pl.scan_parquet(parquet).select(pl.len()).collect().item())
    with (folder / "records.csv").open("wb") as file:
        for first in range(0, max(rows, 1), _CSV_ROWS):
            frame = pl.scan_parquet(parquet).slice(first, _CSV_ROWS).collect()
            harmless(flat(frame)).write_csv(file, include_header=first == 0)
    shown = pl.scan_parquet(parquet).head(PRINTED_ROWS).collect()
    cut = f" (the first {PRINTED_ROWS:,} of {rows:,})" if rows > PRINTED_ROWS else ""
    told = "".join(f"<p>{escape(fact)}</p>" for fact in facts)
    fields = [name for name in shown.columns if name not in (*COORDINATES, "decode_error")]
    table = html_table(shown, caption=f"Records{cut}", rows=PRINTED_ROWS, fold=fields)
    page = html_page(title, told + table)
    (folder / "records.html").write_text(page, encoding="utf-8")
    return rows


def _once(batches: Iterable[pl.DataFrame]) -> Callable[..., Iterator[pl.DataFrame]]:
    """Batches as Polars asks for them; a file that takes all of them asks for nothing less."""

    def read(*asked: Any) -> Iterator[pl.DataFrame]:
        yield from batches

    return read
