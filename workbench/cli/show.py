"""Printing: tables for people, JSON lines for programs.  Event data stays data."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.errors import DefinitionError
from workbench.source.display import text

#: The largest integer up to which JSON numbers are exact everywhere.
_EXACT = 2**53

_TIME = "%Y-%m-%dT%H:%M:%S%.f"


def clean(line: str) -> str:
    """Text without anything that a terminal would act on: controls become visible escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def say(line: str) -> None:
    """One line of result."""
    typer.echo(clean(line))


def note(line: str) -> None:
    """One line beside the result, on stderr."""
    typer.echo(clean(line), err=True)


def complain(line: str) -> None:
    """What went wrong, on stderr."""
    note(f"workbench: {line}")


def show(frame: pl.DataFrame, *, as_json: bool) -> None:
    """Rows as a table, or as JSON lines."""
    if as_json:
        show_json(frame)
    else:
        show_table(frame)


def show_table(frame: pl.DataFrame) -> None:
    """A table in which every cell is plain text; long cells are cut, and say so."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    for name, dtype in frame.schema.items():
        table.add_column(
            Text(clean(name)), justify="right" if dtype.is_numeric() else "left", overflow="fold"
        )
    for row in frame.iter_rows():
        table.add_row(*(Text(clean(text(value)), "dim" if value is None else "") for value in row))
    # A pipe has no width; there a row stays on its line.
    console = Console(width=None if sys.stdout.isatty() else 100_000, highlight=False)
    console.print(table)


def show_json(frame: pl.DataFrame) -> None:
    """One JSON object a line."""
    for row in frame.iter_rows(named=True):
        show_object(row)
    sys.stdout.flush()


def show_object(fields: Mapping[str, Any]) -> None:
    """One JSON object."""
    sys.stdout.write(json_text(fields) + "\n")


def json_text(value: Any) -> str:
    """JSON that loses nothing.

    Bytes become Base64; decimals, integers beyond 2^53 and numbers that are none become text;
    times RFC 3339.
    """
    return msgspec.json.encode(_exact(value)).decode()


def show_csv(frame: pl.DataFrame) -> None:
    """Comma-separated values with a header; see `write`."""
    sys.stdout.write(_flat(frame).write_csv())


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write rows to a file whose suffix says how: `.parquet`, `.csv`, `.json` (JSON lines).

    In CSV a null is an empty field and an empty text a quoted one; bytes are Base64, lists and
    structs JSON.
    """
    match path.suffix.lower():
        case ".parquet":
            frame.write_parquet(path)
        case ".csv":
            _flat(frame).write_csv(path)
        case ".json" | ".jsonl" | ".ndjson":
            lines = (f"{json_text(row)}\n" for row in frame.iter_rows(named=True))
            with path.open("w", encoding="utf-8") as file:
                file.writelines(lines)
        case suffix:
            raise DefinitionError(
                f"no way to write {suffix or 'a file without suffix'}",
                hint="end the name in .parquet, .csv or .json",
            )


def _exact(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() if abs(value) > _EXACT:
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {name: _exact(item) for name, item in value.items()}
        case list() | tuple() | pl.Series():
            return [_exact(item) for item in value]
    return value


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Every column as one that CSV can hold."""
    return frame.with_columns(
        [_flat_column(frame[name], dtype) for name, dtype in frame.schema.items()]
    )


def _flat_column(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        return column.dt.strftime(_TIME + ("" if dtype.time_zone is None else "%:z"))
    if dtype == pl.Binary:
        return column.bin.encode("base64")
    if dtype.is_nested() or isinstance(dtype, pl.Duration):
        written = [None if item is None else json_text(item) for item in column]
        return pl.Series(column.name, written, dtype=pl.String)
    return column
