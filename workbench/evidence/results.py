"""What a sealed slice's filter matched, for people who open a spreadsheet or a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from pathlib import Path, PurePath
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from workbench.errors import DefinitionError, EvidenceError
from workbench.records import COORDINATES
from workbench.source.display import html_page, html_table
from workbench.source.export import flat, harmless
from workbench.source.export import write as export

#: How many records the page for printing shows; it says so when there are more.
PRINTED_ROWS = 1_000

_CSV_ROWS = 100_000

#: What is written of the records themselves.
_RECORDS = ("records.parquet", "records.csv", "records.html")

#: A file's name that means the same on every system.
_NAME = re.compile(r"\w[\w .,+=()-]*(?<![ .])")

#: Frames, and files by their paths, by the names that they are to have.
Enclosed = Mapping[str, pl.DataFrame | str | Path]


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


def checked(results: Enclosed) -> dict[str, pl.DataFrame | Path]:
    """What is to be enclosed by the names of the files.  Raises EvidenceError for what cannot be.

    A frame whose name says no form becomes Parquet.
    """
    found: dict[str, pl.DataFrame | Path] = {}
    if not isinstance(results, Mapping):
        raise EvidenceError(f"results= maps names to frames and files, {results!r} does not")
    for name, given in ((str(name), given) for name, given in results.items()):
        is_frame = isinstance(given, pl.DataFrame)
        file = f"{name}.parquet" if is_frame and not PurePath(name).suffix else name
        if not _NAME.fullmatch(file) or file.casefold() in (*_RECORDS, *map(str.casefold, found)):
            raise EvidenceError(
                f"no result can be called {name!r}",
                hint="the name of a file, without a folder, that no other one has",
            )
        if isinstance(given, str | Path) and Path(given).is_file():
            found[file] = Path(given)
        elif isinstance(given, pl.DataFrame):
            found[file] = given
        else:
            raise EvidenceError(
                f"the result {name!r} is neither a frame nor a file: {given!r}",
                hint='such as results={"balances": state.frame, "case.html": "reports/case.html"}',
            )
    return found


def enclose(results: Mapping[str, pl.DataFrame | Path], folder: Path) -> None:
    """Write frames and copy files.  Raises EvidenceError for one that cannot be had or written."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, given in results.items():
        try:
            if isinstance(given, Path):
                shutil.copyfile(given, folder / file)
            else:
                export(given, folder / file)
        except (OSError, DefinitionError) as error:
            raise EvidenceError(f"the result {file!r} cannot be enclosed: {error}") from error


def _once(batches: Iterable[pl.DataFrame]) -> Callable[..., Iterator[pl.DataFrame]]:
    """Batches as Polars asks for them; a file that takes all of them asks for nothing less."""

    def read(*asked: Any) -> Iterator[pl.DataFrame]:
        yield from batches

    return read
