"""Printing: tables for people, JSON lines for programs.  Event data stays data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import polars as pl
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from workbench.source.display import text
from workbench.source.export import flat, json_lines, json_text
from workbench.source.times import readable

#: What names a record, and so the paragraph that shows it.
_PLACE = ("topic", "partition", "offset")
#: A column is not given more than this, if room is short.
_FOLDS_AT = 24
#: Of how many rows the width is told.
_JUDGED = 50


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


def show_table(frame: pl.DataFrame, width: int | None = None) -> None:
    """A table in which every cell is plain text; long cells are cut, and say so.

    Where a terminal is too narrow for it, each row becomes a paragraph of its own.
    """
    right = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    # As text, a decimal has all of its digits.
    exact = [column.cast(pl.String) for column in frame if column.dtype.is_decimal()]
    frame = readable(frame.with_columns(exact))
    # A pipe has no width; there a row stays on its line.
    console = Console(width=width or (None if sys.stdout.isatty() else 100_000), highlight=False)
    if _needs(frame) > console.width:
        _show_paragraphs(frame, console)
    else:
        _show_rows(frame, right, console)


def _needs(frame: pl.DataFrame) -> int:
    """How wide a table has to be to be read with ease: cells beyond some length may fold."""
    texts = ([name, *map(text, frame[name].head(_JUDGED))] for name in frame.columns)
    widths = [min(max(map(len, column)), _FOLDS_AT) for column in texts]
    return sum(widths) + 2 * (len(widths) - 1)


def _show_paragraphs(frame: pl.DataFrame, console: Console) -> None:
    names = [name for name in frame.columns if name not in _PLACE or not _has_place(frame)]
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        title = "{topic} {partition}:{offset}".format(**row) if _has_place(frame) else f"{number}"
        console.print(Text(clean(title), "bold"))
        fields = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        fields.add_column(no_wrap=True)
        fields.add_column(overflow="fold")
        for name in names:
            value = row[name]
            fields.add_row(
                Text("  " + clean(name), "dim"),
                Text(clean(text(value)), "dim" if value is None else ""),
            )
        console.print(fields)


def _has_place(frame: pl.DataFrame) -> bool:
    return set(_PLACE) <= set(frame.columns)


def _show_rows(frame: pl.DataFrame, right: list[str], console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    for name in frame.columns:
        side: JustifyMethod = "right" if name in right else "left"
        table.add_column(Text(clean(name)), justify=side, overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*(Text(clean(text(value)), "dim" if value is None else "") for value in row))
    console.print(table)


def show_json(frame: pl.DataFrame) -> None:
    """One JSON object a line."""
    for line in json_lines(frame):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show_object(fields: Mapping[str, Any]) -> None:
    """One JSON object."""
    sys.stdout.write(json_text(fields) + "\n")


def show_csv(frame: pl.DataFrame) -> None:
    """Comma-separated values with a header; see `export.write`."""
    sys.stdout.write(flat(frame).write_csv())
