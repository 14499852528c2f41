"""What a sealed slice's filter matched, for people who open a spreadsheet or a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from workbench.source.display import html_table
from workbench.source.export import flat

#: How many records the page for printing shows; it says so when there are more.
PRINTED_ROWS = 1_000

_CSV_ROWS = 100_000

#: What makes a spreadsheet take the text of a cell for a formula.
_FORMULA = r"^[=+\-@\t\r]"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 12px/1.4 sans-serif; margin: 2em }} td, th {{ padding: 1px 6px; text-align: left;
border-bottom: 1px solid #ccc; vertical-align: top; overflow-wrap: anywhere }}
table {{ border-collapse: collapse }} thead {{ display: table-header-group }}
tr {{ break-inside: avoid }} @page {{ size: A4 landscape; margin: 12mm }}
@media print {{ body {{ font-size: 8px; margin: 0 }} }}
</style></head><body><h1>{title}</h1>{facts}{table}</body></html>
"""


def write(
    batches: Iterable[pl.DataFrame],
    schema: pl.Schema,
    folder: Path,
    *,
    title: str,
    facts: list[str],
) -> int:
    """Write decoded records as Parquet, CSV and HTML; returns how many they are.

    Streams in bounded memory.  In the CSV an apostrophe stands before text that a spreadsheet would
    take for a formula.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parquet = folder / "records.parquet"
    register_io_source(_once(batches), schema=schema).sink_parquet(parquet)
    rows = int(pl.scan_parquet(parquet).select(pl.len()).collect().item())
    with (folder / "records.csv").open("wb") as file:
        for first in range(0, max(rows, 1), _CSV_ROWS):
            frame = pl.scan_parquet(parquet).slice(first, _CSV_ROWS).collect()
            _harmless(flat(frame)).write_csv(file, include_header=first == 0)
    shown = pl.scan_parquet(parquet).head(PRINTED_ROWS).collect()
    cut = f" (the first {PRINTED_ROWS:,} of {rows:,})" if rows > PRINTED_ROWS else ""
    page = _PAGE.format(
        title=escape(title),
        facts="".join(f"<p>{escape(fact)}</p>" for fact in facts),
        table=html_table(shown, caption=f"Records{cut}", rows=PRINTED_ROWS),
    )
    (folder / "records.html").write_text(page, encoding="utf-8")
    return rows


def _once(batches: Iterable[pl.DataFrame]) -> Callable[..., Iterator[pl.DataFrame]]:
    """Batches as Polars asks for them; a file that takes all of them asks for nothing less."""

    def read(*asked: Any) -> Iterator[pl.DataFrame]:
        yield from batches

    return read


def _harmless(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(_FORMULA))
        .then(pl.concat_str(pl.lit("'"), name))
        .otherwise(name)
        .alias(name)
        for name, dtype in frame.schema.items()
        if dtype == pl.String
    )
