"""Frames as files and text that lose nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import polars as pl

from workbench.errors import DefinitionError, ReadOnly
from workbench.source.times import readable

#: The largest integer up to which JSON numbers are exact everywhere.
_EXACT = 2**53

#: What makes a spreadsheet take the text of a cell for a formula, and what marks such a text.
_FORMULA = r"^['=+\-@\t\r]"

#: How many characters of a number a spreadsheet keeps.
_KEPT = 15

_NANOSECONDS = (pl.Datetime("ns"), pl.Datetime("ns", "UTC"))

_TIME = "%Y-%m-%dT%H:%M:%S%.f"


def json_text(value: Any) -> str:
    """JSON that loses nothing.

    Bytes become Base64; decimals, integers beyond 2^53 and numbers that are none become text;
    times RFC 3339.
    """
    return msgspec.json.encode(_exact(value)).decode()


def json_lines(frame: pl.DataFrame) -> Iterator[str]:
    """A JSON object per row, as of `json_text`.

    Nanoseconds are kept, which Python's times lack, and the 39th digit of a decimal, which its
    decimals round away.
    """
    fine = [_flat_column(column, column.dtype) for column in frame if column.dtype in _NANOSECONDS]
    fine += [column.cast(pl.String) for column in frame if column.dtype.is_decimal()]
    yield from map(json_text, readable(frame.with_columns(fine)).iter_rows(named=True))


def file_path(path: object, what: str = "a file") -> Path:
    """A path as a user gives it.  Raises DefinitionError for what can be none."""
    try:
        found = Path(cast(Any, path))
        with suppress(FileNotFoundError, NotADirectoryError):
            found.lstat()
    except (TypeError, ValueError, OSError) as error:
        reason = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise DefinitionError(
            f"{what} has a path, not {path!r:.200}{reason}", hint='such as "evidence/case-7"'
        ) from error
    return found


@contextmanager
def writing(path: object) -> Iterator[Path]:
    """The path of a file that is written.  Raises ReadOnly where it cannot be."""
    file = file_path(path)
    try:
        yield file
    except OSError as error:
        reason = error.strerror or str(error).partition(" (")[0]
        raise ReadOnly(
            f"{file} cannot be written: {reason}", hint="give the name of a file in a folder"
        ) from error


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write rows to a file whose suffix says how: `.parquet`, `.csv`, `.json` (JSON lines).

    In CSV a null is an empty field and an empty text a quoted one; bytes are Base64, lists and
    structs JSON.  Raises DefinitionError for another suffix.
    """
    match path.suffix.lower():
        case ".parquet":
            frame.write_parquet(path)
        case ".csv":
            flat(frame).write_csv(path)
        case ".json" | ".jsonl" | ".ndjson":
            with path.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in json_lines(frame))
        case suffix:
            raise DefinitionError(
                f"no way to write {suffix or 'a file without suffix'}",
                hint="end the name in .parquet, .csv or .json",
            )


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Every column as one that CSV can hold."""
    return frame.with_columns(
        [_flat_column(frame[name], dtype) for name, dtype in frame.schema.items()]
    )


def harmless(frame: pl.DataFrame) -> pl.DataFrame:
    """What `flat` gives, so that a spreadsheet keeps it as it is.

    An apostrophe stands before text that it would take for a formula (or that begins with one),
    and before numbers that it would round; whoever takes one off again has the value.
    """
    return frame.with_columns(
        pl.when(_spoilt(name, dtype))
        .then(pl.concat_str(pl.lit("'"), name))
        .otherwise(pl.col(name).cast(pl.String))
        .alias(name)
        for name, dtype in frame.schema.items()
        if dtype == pl.String or dtype.is_decimal() or dtype.is_integer()
    )


def _spoilt(name: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String:
        return pl.col(name).str.contains(_FORMULA)
    return pl.col(name).cast(pl.String).str.len_bytes() > _KEPT


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


def _flat_column(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        return column.dt.strftime(_TIME + ("" if dtype.time_zone is None else "%:z"))
    if dtype == pl.Binary:
        return column.bin.encode("base64")
    if dtype.is_nested() or isinstance(dtype, pl.Duration):
        written = [None if item is None else json_text(item) for item in column]
        return pl.Series(column.name, written, dtype=pl.String)
    return column
